"""Two hands at the same money, in the one order that matters: the second begins while the first is not committed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.features.billing.world import Owner, World, one

BLOCKED = "select exists (select from pg_stat_activity where %s = any (pg_blocking_pids(pid))) as v"


@contextmanager
def weakened(owner: Owner, old: str, new: str, function: str) -> Iterator[None]:
    """Replaces a guard in a function's source, for a negative control, and puts it back."""
    source = one(owner, "select pg_get_functiondef(to_regprocedure(%s)) as v", function)
    assert old in source, f"{function} has no {old!r} any more"
    owner.execute(source.replace(old, new))
    try:
        yield
    finally:
        owner.execute(source)


@contextmanager
def without(owner: Owner, table: str, constraint: str) -> Iterator[None]:
    """Drops a check for a negative control, and puts it back for what comes later."""
    rule = one(
        owner,
        "select pg_get_constraintdef(oid) as v from pg_constraint where conrelid = to_regclass(%s) and conname = %s",
        table,
        constraint,
    )
    owner.execute(f"alter table {table} drop constraint {constraint}")
    try:
        yield
    finally:
        owner.execute(f"alter table {table} add constraint {constraint} {rule} not valid")


@dataclass(frozen=True)
class Deed:
    """A call, or a plain insert or update, of somebody, with its arguments."""

    who: str
    statement: str
    arguments: tuple[Any, ...]


def coach(statement: str, *arguments: Any) -> Deed:
    return Deed("coach", statement, arguments)


def client(statement: str, *arguments: Any) -> Deed:
    return Deed("client", statement, arguments)


def service(statement: str, *arguments: Any) -> Deed:
    return Deed("service", statement, arguments)


def overtaken(world: World, url: str, first: Deed, second: Deed) -> str | None:
    """What the second deed says, or the code that refuses it. It begins while the first is done and not committed.

    The first commits once the second waits for it, or has ended without waiting.
    """
    subjects = {"coach": str(world.coach), "client": str(world.client)}

    def act(conn: psycopg.Connection[Any], deed: Deed) -> str | None:
        role = "authenticated" if deed.who in subjects else "service_role"
        claims = {"role": role, "sub": subjects.get(deed.who)}
        conn.execute(
            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            [role, json.dumps(claims)],
        )
        plain = deed.statement.startswith(("insert", "update"))
        statement = f"{deed.statement} returning id::text" if plain else f"select ({deed.statement})::text"
        row = conn.execute(statement, deed.arguments).fetchone()
        return row[0] if row is not None else None

    def overtake() -> str | None:
        with psycopg.connect(url) as conn:
            return act(conn, second)

    with psycopg.connect(url) as conn, ThreadPoolExecutor(1) as pool:
        act(conn, first)
        later = pool.submit(overtake)
        while not later.done() and not one(world.owner, BLOCKED, conn.info.backend_pid):
            time.sleep(0.002)
        conn.commit()
        try:
            return later.result()
        except psycopg.Error as refused:
            return refused.diag.constraint_name or refused.sqlstate
