"""People in the test's database, made the way accounts come about: an account first, the profile by its trigger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg

Owner = psycopg.Connection[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Person:
    """A user. `email` is as the account has it."""

    id: UUID
    email: str


def a_person(owner: Owner, name: str = "somebody", *, role: str = "client", verified: bool = True) -> Person:
    """A user with an address of their own; `verified` says that the address is proven."""
    person = Person(uuid4(), f"{name}.{uuid4().hex[:8]}@example.com")
    add_account(owner, person, name=name, verified=verified)
    if role != "client":
        owner.execute("update public.users set role = %s where id = %s", [role, person.id])
    return person


def add_account(owner: Owner, person: Person, *, name: str = "somebody", verified: bool = True) -> None:
    """Signs a person up."""
    owner.execute(
        "insert into auth.users (id, email, raw_user_meta_data)"
        " values (%s, %s, jsonb_build_object('first_name', %s::text))",
        [person.id, person.email, name.title()],
    )
    if verified:
        verify(owner, person)


def verify(owner: Owner, person: Person) -> None:
    """The person proves the address."""
    owner.execute("update auth.users set email_confirmed_at = now() where id = %s", [person.id])


def a_coach(owner: Owner, name: str = "coach") -> Person:
    """A coach, who has a practice from the first moment."""
    return a_person(owner, name, role="coach")


def make_client(owner: Owner, coach: Person, client: Person) -> UUID:
    """Ties a client to a coach, as a booking does; the relation's id."""
    row = owner.execute("select private.relate(%s, %s, 'booking') as id", [coach.id, client.id]).fetchone()
    assert row is not None
    return UUID(str(row["id"]))


def a_session(owner: Owner, coach: Person, client: Person) -> UUID:
    """A session of last week."""
    row = owner.execute(
        "insert into public.sessions (coach_id, client_id, title, scheduled_at)"
        " values (%s, %s, 'Session', date_trunc('hour', now()) - interval '7 days') returning id",
        [coach.id, client.id],
    ).fetchone()
    assert row is not None
    return UUID(str(row["id"]))
