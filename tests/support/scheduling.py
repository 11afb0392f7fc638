"""A small practice to book in: coaches with hours in Jerusalem, their clients, offers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import DictRow

T = TypeVar("T")
Owner = psycopg.Connection[DictRow]

JERUSALEM = "Asia/Jerusalem"


@dataclass(frozen=True, slots=True)
class Scene:
    """A coach with hours 09:00 to 17:00 every day, a single and a group offer, two clients, and a stranger."""

    coach: UUID
    other_coach: UUID
    client: UUID
    second_client: UUID
    stranger: UUID
    single: UUID
    group: UUID


def one(conn: psycopg.Connection[DictRow], query: str, params: Sequence[object] | Mapping[str, object] = ()) -> Any:
    """The first column of the first row."""
    row = conn.execute(query, params).fetchone()  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert row is not None
    return next(iter(row.values()))


def add_user(owner: Owner, first_name: str, role: str = "client", zone: str = JERUSALEM) -> UUID:
    """An active user with an address of their own."""
    user_id = uuid4()
    owner.execute(
        "insert into auth.users (id, email) values (%s, %s)",
        [user_id, f"{first_name.lower()}.{user_id.hex[:8]}@example.com"],
    )
    owner.execute(
        "update public.users set first_name = %s, role = %s, timezone = %s where id = %s",
        [first_name, role, zone, user_id],
    )
    return user_id


def make_client(owner: Owner, coach: UUID, client: UUID) -> None:
    """Makes somebody a coach's client."""
    owner.execute("select private.relate(%s, %s, 'invitation')", [coach, client])


def set_hours(owner: Owner, coach: UUID, zone: str, start: str, end: str) -> None:
    """The same hours every day of the week, and no others."""
    owner.execute("delete from public.coach_availability where coach_id = %s", [coach])
    owner.execute(
        "insert into public.coach_availability (coach_id, day_of_week, start_time, end_time, timezone)"
        " select %s, day, %s, %s, %s from generate_series(0, 6) as day",
        [coach, start, end, zone],
    )


def add_template(owner: Owner, coach: UUID, **columns: object) -> UUID:
    """An offer: 60 minutes at 300 shekels unless said otherwise."""
    values: dict[str, object] = {
        "coach_id": coach,
        "title": "Single session",
        "default_duration_minutes": 60,
        "default_price_cents": 30000,
    } | columns
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    return one(
        owner, f"insert into public.session_templates ({names}) values ({marks}) returning id", list(values.values())
    )


def make_scene(owner: Owner) -> Scene:
    """A practice of its own for one test."""
    coach, other_coach = add_user(owner, "Noa", "coach"), add_user(owner, "Omer", "coach")
    client, second, stranger = add_user(owner, "Dana"), add_user(owner, "Avi"), add_user(owner, "Zoe")
    for who in (client, second):
        make_client(owner, coach, who)
    set_hours(owner, coach, JERUSALEM, "09:00", "17:00")
    single = add_template(owner, coach)
    group = add_template(
        owner,
        coach,
        title="Group coaching",
        default_duration_minutes=90,
        default_price_cents=25000,
        session_type="group",
        default_capacity=5,
    )
    return Scene(coach, other_coach, client, second, stranger, single, group)


def at(days: int, hour: int = 10, minute: int = 0) -> datetime:
    """So many days from today at a time of the clock in Jerusalem."""
    day = (datetime.now(UTC) + timedelta(days=days)).astimezone(ZoneInfo(JERUSALEM)).date()
    return datetime.combine(day, time(hour, minute), ZoneInfo(JERUSALEM)).astimezone(UTC)


def add_session(owner: Owner, coach: UUID, client: UUID | None, start: datetime, **columns: object) -> UUID:
    """A session as an import would write it."""
    values: dict[str, object] = {
        "coach_id": coach,
        "client_id": client,
        "title": "Session",
        "scheduled_at": start,
        "type": "individual" if client else "group",
    } | columns
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    return one(owner, f"insert into public.sessions ({names}) values ({marks}) returning id", list(values.values()))


def refusal(exc: psycopg.Error) -> tuple[int, str]:
    """Status and code of a refusal that `private.fail` raised; constraint and 0 of any other."""
    state = exc.sqlstate or ""
    return (int(state[2:]) if state.startswith("PT") else 0, exc.diag.constraint_name or state)


def race(work: Sequence[Callable[[], T]]) -> list[T | psycopg.Error]:
    """Runs all at the same moment, each in a thread; what each gave, or the database's refusal."""
    barrier = threading.Barrier(len(work))
    results: list[T | psycopg.Error | None] = [None] * len(work)

    def run(place: int) -> None:
        barrier.wait()
        try:
            results[place] = work[place]()
        except psycopg.Error as exc:
            results[place] = exc

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert None not in results
    return results  # pyright: ignore[reportReturnType]
