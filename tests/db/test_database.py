"""A request's way into PostgreSQL: as whom it runs, what is left behind, and what happens when it fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import DictRow
from pydantic import BaseModel

from loom.core.errors import AppError, NotFound
from loom.db.actor import Actor
from loom.db.database import Database, Limits
from loom.db.errors import register
from tests.support.cluster import Cluster
from tests.support.proxy import door

ALICE, BOB = UUID(int=1), UUID(int=2)

SETUP: LiteralString = """
create table public.widgets (
  id int primary key, owner uuid not null default auth.uid(), name text not null,
  constraint widgets_name_short check (length(name) < 10),
  constraint widgets_name_key unique (name) deferrable initially deferred
);
alter table public.widgets enable row level security;
create policy widgets_all on public.widgets for all to authenticated using (owner = auth.uid());
grant all on public.widgets to authenticated, service_role;
create function public.widgets_json(p_from int) returns json language sql stable set search_path = '' as
  $$ select coalesce(json_agg(name order by id), '[]') from public.widgets where id >= p_from $$;
create function public.refuse() returns void language plpgsql set search_path = '' as $$ begin
  raise exception 'The slot is taken.' using errcode = 'PT409', constraint = 'slot_taken', hint = 'Take another.';
end $$;
create function public.write_json() returns json language sql volatile set search_path = '' as
  $$ insert into public.widgets (id, name) values (99, 'hot') returning to_json(name) $$;
create function public.keep_json(p_id int, p_name text) returns json language sql volatile set search_path = '' as
  $$ insert into public.widgets (id, name) values (p_id, p_name) returning to_json(name) $$;
"""


class Widget(BaseModel):
    id: int
    name: str


@pytest.fixture(scope="module", autouse=True)
def widgets(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute(SETUP)
        conn.execute("insert into widgets values (1, %s, 'one'), (2, %s, 'two')", [ALICE, BOB])


@pytest.fixture
async def single(api_url: str) -> AsyncIterator[Database]:
    """One connection only, so that whatever one call leaves behind the next one meets."""
    async with await Database.open(api_url, min_size=0, max_size=1, hot_max_size=1) as opened:
        yield opened


async def test_a_read_runs_as_its_actor_and_sees_what_the_policies_allow(single: Database) -> None:
    query: LiteralString = "select id, name from widgets order by id"
    assert await single.reader(Actor.user(ALICE)).fetch_all(query, {}, Widget) == [Widget(id=1, name="one")]
    assert await single.reader(Actor.user(BOB)).fetch_one(query, {}, Widget) == Widget(id=2, name="two")
    assert len(await single.reader(Actor.service("test")).fetch_all(query, {}, Widget)) == 2
    with pytest.raises(NotFound):
        await single.reader(Actor.anonymous()).fetch_all(query, {}, Widget)
    with pytest.raises(NotFound):
        await single.reader(Actor.user(uuid4())).fetch_one(query, {}, Widget)


async def test_nothing_of_an_actor_stays_on_the_connection(single: Database) -> None:
    async def left() -> tuple[object, ...]:
        async with single.connection() as conn:
            row = await (
                await conn.execute(
                    "select current_user, nullif(current_setting('request.jwt.claims', true), ''),"
                    " current_setting('transaction_read_only')"
                )
            ).fetchone()
            assert row is not None
            return row

    reader = single.reader(Actor.service("test"))
    await reader.fetch_value("select 1", {})
    assert await left() == ("loom_api", None, "off")
    with pytest.raises(AppError):
        await reader.fetch_value("select 1 / 0", {})
    assert await left() == ("loom_api", None, "off")
    with pytest.raises(AppError):
        async with single.transaction(Actor.user(ALICE)) as tx:
            await tx.execute("select public.refuse()", {})
    assert await left() == ("loom_api", None, "off")


async def test_without_a_scope_nothing_can_be_read(single: Database) -> None:
    async with single.connection() as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute("select * from public.widgets")


async def test_a_reader_cannot_write(single: Database, owner: psycopg.Connection[DictRow]) -> None:
    with pytest.raises(AppError) as caught:
        await single.reader(Actor.service("test")).execute("insert into widgets (id, name) values (9, 'no')", {})
    assert isinstance(caught.value.__cause__, psycopg.errors.ReadOnlySqlTransaction)
    assert owner.execute("select from widgets where id = 9").fetchone() is None


async def test_a_transaction_is_kept_whole_or_not_at_all(db: Database) -> None:
    alice = Actor.user(ALICE)
    async with db.transaction(alice) as tx:
        assert await tx.execute("insert into widgets (id, name) values (%(id)s, 'ten')", {"id": 10}) == 1
        assert await tx.fetch_value("select name from widgets where id = 10", {}) == "ten"
    with pytest.raises(ZeroDivisionError):
        async with db.transaction(alice) as tx:
            await tx.execute("update widgets set name = 'eleven' where id = 10", {})
            raise ZeroDivisionError
    found = await db.reader(alice).find_one("select id, name from widgets where id = %(id)s", {"id": 10}, Widget)
    assert found == Widget(id=10, name="ten")


async def test_an_error_that_was_swallowed_is_not_committed_over(db: Database) -> None:
    with pytest.raises(RuntimeError, match="savepoint"):
        async with db.transaction(Actor.user(ALICE)) as tx:
            await tx.execute("insert into widgets (id, name) values (20, 'x')", {})
            with pytest.raises(AppError):
                await tx.execute("select public.refuse()", {})
    assert await db.reader(Actor.user(ALICE)).fetch_value("select count(*) from widgets where id = 20", {}) == 0


async def test_a_savepoint_undoes_only_what_is_inside(db: Database) -> None:
    async with db.transaction(Actor.user(ALICE)) as tx:
        await tx.execute("insert into widgets (id, name) values (21, 'kept')", {})
        with pytest.raises(AppError):
            async with tx.savepoint():
                await tx.execute("insert into widgets (id, name) values (22, 'gone')", {})
                await tx.execute("select public.refuse()", {})
    query: LiteralString = "select id, name from widgets where id in (21, 22)"
    assert await db.reader(Actor.user(ALICE)).fetch_all(query, {}, Widget) == [Widget(id=21, name="kept")]


async def test_errors_of_the_database_become_codes(db: Database) -> None:
    register({"widgets_name_short": (422, "name_too_long", "The name is too long.")})

    async def refused(statement: LiteralString, value: object = None) -> AppError:
        with pytest.raises(AppError) as caught:
            async with db.transaction(Actor.user(ALICE)) as tx:
                await tx.execute(statement, {"value": value})
        return caught.value

    error = await refused("select public.refuse()")
    assert (error.status, error.code, error.detail, error.hint) == (
        409,
        "slot_taken",
        "The slot is taken.",
        "Take another.",
    )
    insert: LiteralString = "insert into widgets (id, name) values (30, %(value)s)"
    assert (await refused(insert, "far too long a name")).code == "name_too_long"
    assert (await refused(insert, "a\0b")).status == 422
    assert (await refused(insert, "one")).code == "conflict"  # deferred: raised by COMMIT
    assert (await refused("insert into widgets (id, name, owner) values (31, 'x', %(value)s)", BOB)).status == 404
    assert (await refused("select %(value)s::timestamptz", "not a time")).code == "invalid_value"


async def test_two_transactions_that_deadlock_both_succeed(db: Database, owner: psycopg.Connection[DictRow]) -> None:
    owner.execute("insert into widgets values (40, %s, 'a40'), (41, %s, 'a41')", [ALICE, ALICE])
    both = asyncio.Barrier(2)
    runs = 0

    async def swap(first: int, second: int) -> None:
        met = False

        async def work(tx: object) -> None:
            nonlocal met, runs
            runs += 1
            assert hasattr(tx, "execute")
            await tx.execute("update widgets set name = name || '.' where id = %(id)s", {"id": first})
            if not met:
                met = True
                await both.wait()
            await tx.execute("update widgets set name = name || '.' where id = %(id)s", {"id": second})

        await db.run(Actor.user(ALICE), work)

    await asyncio.gather(swap(40, 41), swap(41, 40))
    # One lost and ran again; on a crowded machine both may, more than once.
    assert runs >= 3
    names = [row["name"] for row in owner.execute("select name from widgets where id in (40, 41) order by id")]
    assert names == ["a40..", "a41.."]


async def test_a_hot_read_gives_the_bytes_of_its_actor_and_of_nobody_else(single: Database) -> None:
    async def names(actor: Actor) -> object:
        got = await single.fetch_json(actor, "public.widgets_json", [1])
        assert isinstance(got, bytes)
        return json.loads(got)

    for _ in range(7):  # beyond the threshold at which statements get prepared
        assert "two" not in str(await names(Actor.user(ALICE)))
        assert await names(Actor.user(BOB)) == ["two"]
        assert await names(Actor.user(uuid4())) == []
    assert "two" in str(await names(Actor.service("test")))
    with pytest.raises(NotFound):
        await names(Actor.anonymous())


async def test_a_hot_read_cannot_write(single: Database) -> None:
    with pytest.raises(AppError) as caught:
        await single.fetch_json(Actor.user(ALICE), "public.write_json", [])
    assert isinstance(caught.value.__cause__, psycopg.errors.ReadOnlySqlTransaction)


async def test_a_write_of_one_call_is_a_transaction_of_its_actor(
    single: Database, owner: psycopg.Connection[DictRow]
) -> None:
    alice = Actor.user(ALICE)
    for number in range(100, 107):  # beyond the threshold at which statements get prepared
        assert json.loads(await single.write_json(alice, "public.keep_json", [number, f"k{number}"])) == f"k{number}"
        assert await single.reader(Actor.anonymous()).fetch_value("select current_user::text", {}) == "anon"
    with pytest.raises(AppError):  # the deferred constraint speaks up at the end, and takes the row with it
        await single.write_json(alice, "public.keep_json", [107, "k100"])
    with pytest.raises(AppError) as caught:
        await single.write_json(Actor.anonymous(), "public.keep_json", [108, "nobody"])
    assert isinstance(caught.value.__cause__, psycopg.errors.InsufficientPrivilege)
    kept = owner.execute("select id, owner from widgets where id between 100 and 120 order by id").fetchall()
    assert [(row["id"], row["owner"]) for row in kept] == [(number, ALICE) for number in range(100, 107)]


async def test_a_statement_that_takes_too_long_is_ended(api_url: str) -> None:
    async with await Database.open(api_url, limits=Limits(statement_ms=50)) as db:
        with pytest.raises(AppError) as caught:
            await db.reader(Actor.anonymous()).fetch_value("select pg_sleep(5)", {})
        assert (caught.value.status, caught.value.code) == (503, "timeout")
        assert await db.reader(Actor.anonymous()).fetch_value("select 1", {}) == 1


async def test_a_lost_database_answers_503_and_is_found_again_without_a_restart(api_url: str) -> None:
    alice = Actor.user(ALICE)

    async def write(db: Database) -> int:
        async with db.transaction(alice) as tx:
            return await tx.fetch_value("select 1", {})

    async with door(api_url) as way, await Database.open(way.url, max_size=3, timeout=1.0) as db:
        calls = (
            lambda: db.reader(alice).fetch_value("select 1", {}),
            lambda: db.fetch_json(alice, "public.widgets_json", [1000]),
            lambda: write(db),
        )
        for call in calls:
            assert await call() in (1, b"[]")
        await way.shut()
        for call in calls:
            with pytest.raises(AppError) as caught:
                await call()
            assert (caught.value.status, caught.value.code) == (503, "database_unavailable")
        await way.open()
        for call in calls:
            assert await call() in (1, b"[]")


@pytest.mark.parametrize("many", [2, 6])
async def test_connections_that_died_unseen_disturb_nobody(api_url: str, cluster: Cluster, many: int) -> None:
    alice = Actor.user(ALICE)
    async with await Database.open(api_url, min_size=many, max_size=many) as db:
        await asyncio.gather(*(db.reader(alice).fetch_value("select pg_sleep(0.05)", {}) for _ in range(many)))
        await db.fetch_json(alice, "public.widgets_json", [1])
        with psycopg.connect(cluster.superuser, autocommit=True) as conn:
            # Waited for: a connection that is about to die looks alive.
            conn.execute("select pg_terminate_backend(pid, 10000) from pg_stat_activity where usename = 'loom_api'")
        async with db.transaction(alice) as tx:
            assert await tx.fetch_value("select 1", {}) == 1
        assert await db.reader(alice).fetch_value("select 1", {}) == 1
        assert await db.fetch_json(alice, "public.widgets_json", [1000]) == b"[]"
