"""A small practice to talk in: two coaches, their clients, a stranger, an admin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import DictRow

Connection = psycopg.Connection[DictRow]


def one(conn: Connection, query: str, *params: Any) -> Any:
    """The first column of the first row."""
    row = conn.execute(query, params).fetchone()  # type: ignore[call-overload]
    return None if row is None else next(iter(row.values()))


def rows(conn: Connection, query: str, *params: Any) -> list[dict[str, Any]]:
    """All rows."""
    return conn.execute(query, params).fetchall()  # type: ignore[call-overload]


def make_person(conn: Connection, name: str, role: str = "client") -> UUID:
    """An active account with a profile, name and role."""
    user_id = one(conn, "select private.create_account(%s)", f"{name}-{uuid4().hex[:8]}@example.com".lower())
    conn.execute(
        "update public.users set first_name = %s, last_name = 'Levi', role = %s::public.user_role where id = %s",
        [name, role, user_id],
    )
    return user_id


def relate(conn: Connection, coach: UUID, client: UUID) -> None:
    """Makes somebody a coach's client."""
    conn.execute(
        "insert into public.coach_clients (coach_id, client_id, status, source) values (%s, %s, 'active', 'manual')",
        [coach, client],
    )


@dataclass(frozen=True)
class World:
    """Ids of everybody, and a group of the coach with dana and amir."""

    coach: UUID
    other_coach: UUID
    dana: UUID
    amir: UUID
    noa: UUID
    stranger: UUID
    admin: UUID
    group: UUID


def make_world(owner: Connection, as_user: Any) -> World:
    """Noa is the coach's client too, but not in the group; the stranger is the other coach's."""
    names = ["Coach", "Other", "Dana", "Amir", "Noa", "Stranger", "Admin"]
    roles = ["coach", "coach", "client", "client", "client", "client", "admin"]
    coach, other, dana, amir, noa, stranger, admin = (
        make_person(owner, name, role) for name, role in zip(names, roles, strict=True)
    )
    for client in (dana, amir, noa):
        relate(owner, coach, client)
    relate(owner, other, stranger)
    with as_user(coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Circle', %s)", [dana, amir])
    return World(coach, other, dana, amir, noa, stranger, admin, group)


def post(as_user: Any, sender: UUID, conversation: UUID, content: str, **more: Any) -> dict[str, Any]:
    """Sends through post_message and gives the message's row."""
    with as_user(sender) as conn:
        return conn.execute(
            "select * from public.post_message(%s, %s, %s, %s, %s)",
            [conversation, content, more.get("key"), more.get("mentions", []), more.get("reply_to")],
        ).fetchone()
