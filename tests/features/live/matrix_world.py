"""The two ways to the readers of an event, compared over the world of the policy matrix, with something weakened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import DictRow

Change = str | tuple[str, str, str]


def differing(owner: psycopg.Connection[DictRow], change: Change | None) -> list[str]:
    """People for whom the policies and the reader for all differ once `change` is made; all of it is taken back."""
    with owner.transaction(force_rollback=True):
        if isinstance(change, tuple):
            weaken(owner, *change)
        elif change is not None:
            owner.execute(change)  # type: ignore[call-overload]
        people = [row["id"] for row in owner.execute("select id from public.users").fetchall()]
        at_once: dict[UUID, set[Any]] = {person: set() for person in people}
        for row in owner.execute("select id, data, readers from private.read_live('0', 0, 100000)").fetchall():
            readers = bytes(row["readers"] or b"")
            for at in range(0, len(readers), 16):
                at_once[UUID(bytes=readers[at : at + 16])].add((row["id"], row["data"]))
        return [str(person) for person in people if by_policy(owner, person) != at_once[person]]


def by_policy(owner: psycopg.Connection[DictRow], person: UUID) -> set[Any]:
    """What the policies show somebody."""
    owner.execute(
        "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
        [f'{{"sub": "{person}"}}'],
    )
    found = owner.execute("select id, data::text as data from public.live_feed").fetchall()
    owner.execute("reset role")
    return {(row["id"], row["data"]) for row in found}


def weaken(owner: psycopg.Connection[DictRow], view: str, guard: str, instead: str) -> None:
    """Takes a condition out of a view."""
    found = owner.execute("select pg_get_viewdef(%s::regclass) as text", [view]).fetchone()
    assert found is not None
    assert guard in found["text"], found["text"]
    body = found["text"].replace(guard, instead)
    owner.execute(f"create or replace view {view} with (security_invoker = true) as {body}")  # type: ignore[arg-type]


@contextmanager
def weakened(superuser: psycopg.Connection[DictRow], view: str, guard: str, instead: str) -> Iterator[None]:
    """A view lacks a condition until the end of the block, for everybody."""
    found = superuser.execute("select pg_get_viewdef(%s::regclass) as text", [view]).fetchone()
    assert found is not None
    again = f"create or replace view {view} with (security_invoker = true) as {found['text']}"
    weaken(superuser, view, guard, instead)
    try:
        yield
    finally:
        superuser.execute(again)  # type: ignore[call-overload]
