"""People join and leave, write, edit and delete while everybody streams: what each was told, against what the policies
showed them at that moment.

In full (`--campaign`): 50 people, for a minute; otherwise a little. Then the same with each policy dropped in turn.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from fastapi import FastAPI
from psycopg.rows import dict_row

from tests.features.live.conftest import Bearer, Ring
from tests.features.live.matrix_world import weakened
from tests.features.live.streams import Client, serving
from tests.features.messaging.world import Connection, make_person, one, relate, rows
from tests.support.acting import AsUser
from tests.support.cluster import Cluster

AFTERWARDS_SECONDS = 1.0
"""How long after it has ceased to be theirs somebody may still be told of something."""
TURNS = 60
LOOKED_AT_SECONDS = 10.0
"""How long what happened is read again after each step."""

# Everybody reads for themselves, under the policies, what is younger than that.
RE_READ = """
create function pg_temp.re_read(people uuid[], after bigint) returns table (person uuid, events bigint[])
language plpgsql as $$
begin
  foreach person in array people loop
    perform set_config('role', 'authenticated', true);
    perform set_config('request.jwt.claims', json_build_object('sub', person)::text, true);
    events := array(select f.id from public.live_feed as f where f.id > after order by f.id);
    perform set_config('role', 'none', true);
    return next;
  end loop;
end $$
"""


@dataclass
class Truth:
    """What the policies showed to whom, over the states that the database went through."""

    ever: dict[UUID, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Shown in some state since the event: it may be told."""
    ceased: dict[UUID, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Not shown, or no longer shown, in some state: it need not be told."""
    since: dict[tuple[UUID, int], float] = field(default_factory=dict)
    """When it was found to be shown no longer."""
    checks: int = 0

    def look(self, conn: Connection, people: list[UUID], after: int, without: LiteralString | None) -> None:
        """Notes the present state; as it would be `without` a policy."""
        now = time.time()
        last = one(conn, "select coalesce(max(id), 0) from public.live_events")
        every = {row["id"] for row in rows(conn, "select id from public.live_events where id > %s", after)}
        with conn.transaction(force_rollback=True):
            if without is not None:
                conn.execute(without)
            seen = rows(conn, "select * from pg_temp.re_read(%s, %s)", people, after)
        for row in seen:
            person, shown = row["person"], set(row["events"])
            self.checks += len(every)
            self.ever[person] |= shown
            for event in shown:
                self.since.pop((person, event), None)
            hidden = every - shown
            for event in hidden & self.ever[person]:
                self.since.setdefault((person, event), now)
            self.ceased[person] |= hidden
        assert last >= after


class Churn:
    """A coach, groups, and what happens in them. One writer, so that the states have an order."""

    def __init__(self, owner: Connection, as_user: AsUser, count: int) -> None:
        self.owner, self.as_user = owner, as_user
        self.dice = random.Random(count)  # noqa: S311
        self.coach = make_person(owner, "Coach", "coach")
        self.clients = [make_person(owner, f"Client{number}") for number in range(count - 1)]
        for client in self.clients:
            relate(owner, self.coach, client)
        self.people = [self.coach, *self.clients]
        self.groups: list[UUID] = []
        self.script: list[Callable[[], None]] = []
        """What happens first, before chance takes over."""
        for number in range(max(count // 10, 1)):
            with as_user(self.coach) as conn:
                members = self.dice.sample(self.clients, max(2, len(self.clients) // 2))
                made = "select id from public.create_group_conversation(%s, %s)"
                self.groups.append(one(conn, made, f"{number}", members))

    def act(self, person: UUID, query: str, *params: Any) -> None:
        """As somebody. Who is not in a group can't leave it, nor change what others wrote: that is fine."""
        with suppress(psycopg.Error), self.as_user(person) as conn:
            conn.execute(query, params)  # type: ignore[call-overload]

    def step(self) -> None:
        """One thing happens."""
        if self.script:
            self.script.pop(0)()
            return
        person, group, coach, number = (
            self.dice.choice(self.clients), self.dice.choice(self.groups), self.coach, self.dice.random(),
        )  # fmt: skip
        mine = (
            "(select m.id from public.messages as m where m.sender_id = %s and m.deleted_at is null"
            " order by m.created_at desc limit 1)"
        )
        happenings: list[Callable[[], None]] = [
            lambda: self.act(person, "select public.post_message(%s, %s)", group, f"{number}"),
            lambda: self.act(coach, "select public.post_message(%s, %s)", group, f"{number}"),
            lambda: self.act(coach, "select public.add_to_conversation(%s, %s, %s)", group, [person], number < 0.3),
            lambda: self.act(coach, "select public.remove_from_conversation(%s, %s)", group, person),
            lambda: self.act(person, "select public.leave_conversation(%s)", group),
            lambda: self.act(person, f"select public.edit_message({mine}, %s)", person, f"{number}, mended"),
            lambda: self.act(person, f"select public.delete_message({mine})", person),
            lambda: self.act(coach, "update public.conversations set title = %s where id = %s", f"{number}", group),
        ]
        self.dice.choice(happenings)()


async def play(
    app: FastAPI,
    bearer: Bearer,
    ring: Ring,
    churn: Churn,
    enough: Callable[[int], bool],
    without: LiteralString | None = None,
) -> tuple[Truth, dict[UUID, Client], int]:
    """Steps, each followed by a look at what everybody may see, while everybody streams."""
    truth = Truth()
    looker = churn.owner
    async with serving(app) as address:
        clients = {person: Client(address, bearer(person)) for person in churn.people}
        try:
            for client in clients.values():
                await client.connect()
            start = one(looker, "select coalesce(max(id), 0) from public.live_events")
            recent: list[tuple[float, int]] = [(time.time(), start)]
            turn = 0
            while not enough(turn):
                await asyncio.to_thread(churn.step)
                ring()
                while len(recent) > 1 and recent[1][0] < time.time() - LOOKED_AT_SECONDS:
                    recent.pop(0)
                await asyncio.to_thread(truth.look, looker, churn.people, recent[0][1], without)
                recent.append((time.time(), one(looker, "select max(id) from public.live_events")))
                turn += 1
            # Something that everybody hears, so that all before it has been told.
            looker.execute(
                "select private.notify(person, 'system_update', 'End', 'Text') from unnest(%s::uuid[]) as person",
                [churn.people],
            )
            ring()
            for client in clients.values():
                await client.wait_for(lambda event: event.data.get("title") == "End")
        finally:
            for client in clients.values():
                await client.drop()
    return truth, clients, start


@dataclass(frozen=True)
class Verdict:
    """Counts over all people."""

    told: int
    leaked: int
    """Told, though the policies showed it to them at no moment."""
    missing: int
    """Not told, though the policies showed it to them at every moment."""
    late: int
    """Told more than a second after it had ceased to be theirs."""


def judge(truth: Truth, clients: dict[UUID, Client], start: int) -> Verdict:
    told_in_all = leaked = missing = late = 0
    for person, client in clients.items():
        told = {
            event.number: event.heard_at
            for event in client.events
            if event.kind not in {"ready", "reset"} and not event.kind.startswith("notification.")
        }
        told_in_all += len(told)
        leaked += len(set(told) - truth.ever[person])
        missing += len({event for event in truth.ever[person] - truth.ceased[person] if event > start} - set(told))
        late += sum(at > truth.since.get((person, event), at) + AFTERWARDS_SECONDS for event, at in told.items())
    return Verdict(told_in_all, leaked, missing, late)


@pytest.fixture
def superuser(cluster: Cluster, database_name: str) -> Iterator[Connection]:
    """Who may take every role, and drop policies."""
    url = cluster.url(database_name, "postgres")
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as conn:
        conn.execute(RE_READ)
        yield conn


async def test_while_people_come_and_go_each_is_told_what_is_theirs(
    app: FastAPI, bearer: Bearer, ring: Ring, superuser: Connection, as_user: AsUser, request: pytest.FixtureRequest
) -> None:
    full = request.config.getoption("--campaign")
    churn = Churn(superuser, as_user, 50 if full else 6)
    end = time.monotonic() + 60
    truth, clients, start = await play(
        app, bearer, ring, churn, lambda turn: time.monotonic() > end if full else turn == TURNS
    )
    verdict = judge(truth, clients, start)
    assert verdict.told > 30
    assert (verdict.leaked, verdict.missing) == (0, 0)
    if full:
        sys.stdout.write(f"{verdict}, {truth.checks} checks\n")
        assert verdict.late == 0
        assert truth.checks >= 100_000


# Each policy that what happens here depends on; tests/features/live/test_log.py has all others.
WITHOUT: dict[str, LiteralString] = {
    "the policy of events true": "alter policy live_events_select_entitled on public.live_events using (true)",
    "the policy of events dropped": "drop policy live_events_select_entitled on public.live_events",
    "the policy of messages dropped": "drop policy messages_select_people on public.messages",
    "the policy of conversations dropped": "drop policy conversations_select_people on public.conversations",
}  # fmt: skip


@pytest.mark.parametrize("what", WITHOUT)
async def test_a_policy_that_is_missing_is_found_out(
    app: FastAPI, bearer: Bearer, ring: Ring, superuser: Connection, as_user: AsUser, what: str
) -> None:
    churn = Churn(superuser, as_user, 6)
    verdict = judge(*await play(app, bearer, ring, churn, lambda turn: turn == TURNS // 2, WITHOUT[what]))
    assert verdict.leaked or verdict.missing


async def test_a_reader_for_all_that_names_too_many_is_found_out(
    app: FastAPI, bearer: Bearer, ring: Ring, superuser: Connection, as_user: AsUser
) -> None:
    guard = "COALESCE(e.message_seq, c.history_from_seq) >= c.history_from_seq"
    churn = Churn(superuser, as_user, 6)
    group, coach, newcomer = churn.groups[0], churn.coach, churn.clients[0]
    said = "(select m.id from public.messages as m where m.sender_id = %s order by m.created_at desc limit 1)"
    churn.script = [
        lambda: churn.act(coach, "select public.remove_from_conversation(%s, %s)", group, newcomer),
        lambda: churn.act(coach, "select public.post_message(%s, 'before')", group),
        lambda: churn.act(coach, "select public.add_to_conversation(%s, %s)", group, [newcomer]),
        lambda: churn.act(coach, f"select public.edit_message({said}, 'mended')", coach),
    ]
    turns = len(churn.script)
    with weakened(superuser, "private.live_readers", guard, "true"):
        verdict = judge(*await play(app, bearer, ring, churn, lambda turn: turn == turns))
    assert verdict.leaked
