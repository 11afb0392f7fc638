"""Packages, credits and seats of a small practice, made the way its people make them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.features.billing.world import World, one

LEFT = "select balance as v from public.credits where id = %s"
LEDGER = "select change, reason from public.credit_entries where credit_id = %s order by created_at, id"


def template(world: World, price: int = 35000) -> UUID:
    return one(
        world.owner,
        "insert into public.session_templates (coach_id, title, default_duration_minutes, default_price_cents)"
        " values (%s, 'Coaching', 60, %s) returning id as v",
        world.coach,
        price,
    )


def package(world: World, of: UUID, sessions: int = 3, **more: Any) -> UUID:
    said = {"spent_at": "booking", "granted_at": "payment", "valid_days": None, "price_cents": 90000} | more
    with world.coaching() as conn:
        return one(
            conn,
            "insert into public.packages (practice_id, template_id, title, sessions, price_cents, currency, spent_at,"
            " granted_at, valid_days) values (%s, %s, 'Card', %s, %s, 'ILS', %s, %s, %s) returning id as v",
            world.practice,
            of,
            sessions,
            said["price_cents"],
            said["spent_at"],
            said["granted_at"],
            said["valid_days"],
        )


def sell(world: World, what: UUID) -> tuple[UUID, UUID]:
    """A draft with the package on it, and its credits."""
    draft = world.draft()
    with world.coaching() as conn:
        return draft, one(conn, "select public.sell_package(%s, %s) as v", draft, what)


def give(
    world: World, of: UUID, sessions: int, *, spent_at: str = "booking", expires_at: datetime | None = None
) -> UUID:
    with world.coaching() as conn:
        return one(
            conn,
            "select public.give_credits(%s, %s, %s, 'a gift', %s, %s) as v",
            world.relation,
            of,
            sessions,
            expires_at,
            spent_at,
        )


def book(world: World, of: UUID, days: int = 10, hour: int = 9) -> tuple[UUID, UUID]:
    """A session of the client that the coach booked, and the client's seat."""
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0, hour=hour) + timedelta(days=days)
    with world.coaching() as conn:
        session = one(conn, "select public.book_session(%s, %s, %s) as v", of, at, world.client)
    seat = one(
        world.owner, "select id as v from public.session_attendees where session_id = %s and role = 'client'", session
    )
    return session, seat


def begin(world: World, session: UUID, hours: float = 2) -> None:
    """Lets so many hours pass since the session began."""
    world.owner.execute(
        "update public.sessions set scheduled_at = now() - make_interval(secs => %s) where id = %s",
        [hours * 3600, session],
    )


def policy(world: World, of: UUID, tiers: str) -> None:
    with world.coaching() as conn:
        conn.execute(
            "insert into public.cancellation_policies (coach_id, template_id, tiers) values (%s, %s, %s)",
            [world.coach, of, tiers],
        )


def left(world: World, credit: UUID) -> int:
    return one(world.owner, LEFT, credit)


def ledger(world: World, credit: UUID) -> list[tuple[int, str]]:
    return [(row["change"], row["reason"]) for row in world.owner.execute(LEDGER, [credit]).fetchall()]
