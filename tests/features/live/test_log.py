"""The log in the database: what is read of it, by whom, and that nothing is passed over."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.features.live.matrix_world import differing
from tests.features.messaging.world import Connection, World, make_person, one, post, relate, rows
from tests.policies.cells import relations
from tests.policies.world import build
from tests.support.acting import AsUser
from tests.support.cluster import Cluster

Seen = dict[str, set[str]]


def for_each(owner: Connection, as_user: AsUser, people: list[Any]) -> tuple[Seen, Seen]:
    """For everybody, the events that the policies show, and those that the set-wise reader names them for."""
    by_policy: Seen = {}
    for person in people:
        with as_user(person) as conn:
            by_policy[str(person)] = {
                f"{row['id']}:{row['data']}" for row in rows(conn, "select id, data::text from public.live_feed")
            }
    at_once: Seen = {str(person): set() for person in people}
    for row in rows(owner, "select * from private.read_live('0', 0, 100000) where kind is not null"):
        readers = bytes(row["readers"])
        for at in range(0, len(readers), 16):
            person = str(UUID(bytes=readers[at : at + 16]))
            at_once.setdefault(person, set()).add(f"{row['id']}:{row['data']}")
    return by_policy, at_once


def live_a_little(owner: Connection, as_user: AsUser, world: World, dice: random.Random) -> None:
    """Joins, leaves, messages, edits, reactions, suspensions, at random."""
    clients = [world.dana, world.amir, world.noa]
    person = dice.choice(clients)
    group, coach, number = world.group, world.coach, dice.random()
    add = "select public.add_to_conversation(%s, %s, %s)"
    react = (
        "insert into public.message_reactions (message_id, user_id, emoji)"
        " select id, %s, '🙂' from public.messages order by random() limit 1"
    )
    suspend = (
        "update public.users set status = (case when status = 'active' then 'suspended' else 'active' end)::user_status"
        " where id = %s"
    )
    share = (
        "insert into public.messaging_preferences (user_id, share_receipts) values (%s, %s)"
        " on conflict (user_id) do update set share_receipts = excluded.share_receipts"
    )
    attempts: list[Callable[[], Any]] = [
        lambda: post(as_user, dice.choice([coach, *clients]), group, f"{number}"),
        lambda: act(as_user, coach, add, group, [person], number < 0.3),
        lambda: act(as_user, coach, "select public.remove_from_conversation(%s, %s)", group, person),
        lambda: act(as_user, person, "select public.leave_conversation(%s)", group),
        lambda: act(as_user, person, "select public.mark_read(%s, 1000)", group),
        lambda: act(as_user, person, react, person),
        lambda: act(as_user, person, share, person, number < 0.5),
        lambda: act(as_user, coach, "update public.conversations set title = %s where id = %s", f"{number}", group),
        lambda: owner.execute(suspend, [person]),
    ]
    # Who is not there cannot leave: that is fine, and changes nothing.
    with suppress(psycopg.Error):
        dice.choice(attempts)()


def act(as_user: AsUser, person: Any, query: str, *params: Any) -> None:
    with as_user(person) as conn:
        conn.execute(query, params)


def test_the_reader_for_all_names_whom_the_policies_name(owner: Connection, as_user: AsUser, world: World) -> None:
    """In many states of one group, with people who joined late, left, hide their reading and are suspended."""
    dice = random.Random(7)  # noqa: S311
    people = [world.coach, world.other_coach, world.dana, world.amir, world.noa, world.stranger, world.admin]
    owner.execute(
        "insert into public.sessions (coach_id, client_id, title, scheduled_at)"
        " values (%s, %s, 'One', now() + interval '1 day')",
        [world.coach, world.dana],
    )
    owner.execute("update public.sessions set title = 'Two'")
    compared = 0
    for _ in range(25):
        for _ in range(6):
            live_a_little(owner, as_user, world, dice)
        by_policy, at_once = for_each(owner, as_user, people)
        assert by_policy == at_once
        compared += sum(len(seen) for seen in by_policy.values())
    assert compared > 1000
    owner.execute("update public.users set status = 'active' where id = any (%s)", [people])


READERS = "private.live_readers"

# Whatever is taken out of what names the readers, or made weaker in a policy, must make the two differ.
WEAKENED = {
    "the policy of events true": "alter policy live_events_select_entitled on public.live_events using (true)",
    "history is everybody's": (READERS, "COALESCE(e.message_seq, c.history_from_seq) >= c.history_from_seq", "true"),
    "hidden reading is shown": (READERS, "NOT x.share_receipts", "false"),
    "who is suspended reads on": (READERS, "u.status = 'active'::user_status", "true"),
    "who gave up a seat reads on": (READERS, "a.cancelled_at IS NULL", "true"),
    "drafts are the payer's": (READERS, "i.finalized_at IS NOT NULL", "true"),
    "a notice is everybody's": (READERS, "u.id = e.user_id", "true"),
}  # fmt: skip


@pytest.fixture(scope="module")
def matrix(cluster: Cluster) -> Iterator[Connection]:
    """The world of the policy matrix, which has a row for each of the above, as a superuser who may take every role."""
    name = cluster.create(cluster.template())
    with psycopg.connect(cluster.url(name, "postgres"), autocommit=True, row_factory=dict_row) as conn:
        with psycopg.connect(cluster.url(name, "postgres"), autocommit=True) as builder:
            build(builder, relations(builder))
        yield conn
    cluster.drop(name)


def test_the_stream_is_a_third_door_with_the_same_policies(matrix: Connection) -> None:
    assert differing(matrix, None) == []


@pytest.mark.parametrize("what", WEAKENED)
def test_a_weaker_policy_or_reader_is_noticed(matrix: Connection, what: str) -> None:
    assert differing(matrix, WEAKENED[what]) != []


# What a policy on each table that the stream reads is called and where it is.
POLICIES = """
select concat('drop policy ', p.policyname, ' on ', p.schemaname, '.', p.tablename) as change
from pg_policies as p
where (p.schemaname || '.' || p.tablename)::regclass in (
  select d.refobjid
  from pg_depend as d
  join pg_rewrite as r on r.oid = d.objid
  where r.ev_class = 'public.live_feed'::regclass and d.refclassid = 'pg_class'::regclass
) and p.cmd in ('SELECT', 'ALL') and 'authenticated' = any (p.roles)
order by 1
"""


def test_each_policy_dropped_in_turn_is_noticed(matrix: Connection) -> None:
    changes = [row["change"] for row in rows(matrix, POLICIES)]
    assert len(changes) >= 10
    assert [change for change in changes if differing(matrix, change) == []] == []


def test_the_naive_cursor_loses_and_ours_does_not(database_url: str, owner: Connection, world: World) -> None:
    """16 writers, some of which pause before they commit, and two readers that poll: by id, and by (xid, id)."""
    stop = threading.Event()
    written: set[int] = set()
    lock = threading.Lock()

    def write(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311
        with psycopg.connect(database_url) as conn:
            while not stop.is_set():
                row = conn.execute(
                    "insert into public.live_events (kind, scope, user_id) values ('probe', 'person', %s) returning id",
                    [world.stranger],
                ).fetchone()
                if dice.random() < 0.2:
                    time.sleep(dice.random() * 0.02)  # the pause is what is tried, nothing waits for it
                if dice.random() < 0.1:
                    conn.rollback()
                    continue
                conn.commit()
                with lock:
                    written.add(row[0])  # type: ignore[index]

    naive: list[int] = []
    ours: list[int] = []
    last_id = one(owner, "select coalesce(max(id), 0) from public.live_events")
    place: Any = (one(owner, "select pg_snapshot_xmin(pg_current_snapshot())::text"), 0)
    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(16)]
    for writer in writers:
        writer.start()
    try:
        with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as conn:
            while len(written) < 3000:
                found = rows(
                    conn, "select id from public.live_events where kind = 'probe' and id > %s order by id", last_id
                )
                naive += [row["id"] for row in found]
                last_id = max([last_id, *naive[-1:]])
                place = read_on(conn, place, ours)
            stop.set()
            for writer in writers:
                writer.join()
            found = rows(
                conn, "select id from public.live_events where kind = 'probe' and id > %s order by id", last_id
            )
            naive += [row["id"] for row in found]
            read_on(conn, place, ours)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert len(ours) == len(set(ours))
    assert set(ours) == written, "ours: all, each once, nothing that was rolled back"
    assert written - set(naive), "the naive reader lost nothing, so this proves nothing: let writers pause longer"
    owner.execute("delete from public.live_events where kind = 'probe'")


def read_on(conn: Connection, place: Any, into: list[int]) -> Any:
    """As private.read_live takes its lines, without what they are about."""
    found = rows(
        conn,
        "select e.xid::text, e.id from public.live_events as e"
        " where e.kind = 'probe' and (e.xid, e.id) > (%s::xid8, %s)"
        " and e.xid < pg_snapshot_xmin(pg_current_snapshot()) order by e.xid, e.id",
        *place,
    )
    into += [row["id"] for row in found]
    return (found[-1]["xid"], found[-1]["id"]) if found else place


def test_what_is_rolled_back_is_never_told(owner: Connection, as_user: AsUser, world: World) -> None:
    before = one(owner, "select count(*) from public.live_events")
    with pytest.raises(ZeroDivisionError), as_user(world.coach) as conn:
        conn.execute("select public.post_message(%s, 'taken back')", [world.group])
        raise ZeroDivisionError
    assert one(owner, "select count(*) from public.live_events") == before


def test_an_open_transaction_holds_back_and_loses_nothing(owner: Connection, database_url: str, world: World) -> None:
    start = one(owner, "select pg_snapshot_xmin(pg_current_snapshot())::text")
    with psycopg.connect(database_url) as slow:
        slow.execute(
            "insert into public.live_events (kind, scope, user_id) values ('typing', 'person', %s)", [world.dana]
        )
        owner.execute("select private.notify(%s, 'system_update', 'Title', 'Text')", [world.dana])
        early = rows(owner, "select kind, waiting from private.read_live(%s, 0, 10)", start)
        assert [(row["kind"], row["waiting"]) for row in early] == [(None, True)]
        slow.rollback()
    late = rows(owner, "select kind, waiting from private.read_live(%s, 0, 10)", start)
    assert [row["kind"] for row in late] == ["notification.created", None]
    assert late[-1]["waiting"] is False


def test_a_place_is_that_of_an_event_and_not_of_a_transaction_that_left_nothing(
    owner: Connection, as_user: AsUser, world: World
) -> None:
    """Its number may be given out anew after a crash: whoever had gone past it would not hear what comes under it."""
    owner.execute("select private.open_live()")
    owner.execute("select private.notify(%s, 'system_update', 'Title', 'Text')", [world.dana])
    last = rows(owner, "select xid::text, id from public.live_events order by live_events.xid desc, id desc limit 1")[0]
    for _ in range(3):
        with owner.transaction(force_rollback=True):
            owner.execute("select pg_current_xact_id()")
    with as_user(world.dana) as conn:
        cursor = one(conn, "select cursor from public.live_since()")
    assert cursor.split("-")[1:] == [last["xid"], str(last["id"])]
    for start in (("0", 0), (last["xid"], last["id"])):
        assert rows(owner, "select xid, id from private.read_live(%s, %s, 100000)", *start)[-1] == last
    assert rows(owner, "select xid, id from private.open_live()") == [last]


def test_a_log_of_another_server_is_emptied_and_its_cursors_start_anew(
    owner: Connection, as_user: AsUser, world: World
) -> None:
    owner.execute("select private.open_live()")
    with as_user(world.dana) as conn:
        cursor = one(conn, "select cursor from public.live_since()")
    owner.execute("update private.live_log set epoch = '00000000'")
    with as_user(world.dana) as conn:
        assert [row["kind"] for row in rows(conn, "select kind from public.live_since(%s)", cursor)] == ["reset"]
    opened = rows(owner, "select * from private.open_live()")[0]
    assert opened["epoch"] == cursor.split("-")[0]
    assert one(owner, "select count(*) from public.live_events") == 0
    # Two processes that start at once do it once.
    assert rows(owner, "select * from private.open_live()")[0]["key"] == opened["key"]


def test_one_session_in_one_transaction_is_one_piece_of_news(owner: Connection, as_user: AsUser) -> None:
    coach, client = make_person(owner, "Many", "coach"), make_person(owner, "Few")
    relate(owner, coach, client)
    with owner.transaction():
        session = one(
            owner,
            "insert into public.sessions (coach_id, client_id, title, scheduled_at)"
            " values (%s, %s, 'One', now() + interval '1 day') returning id",
            coach, client,
        )  # fmt: skip
        owner.execute("update public.sessions set title = 'Two' where id = %s", [session])
    assert one(owner, "select count(*) from public.live_events where session_id = %s", session) == 1
    with as_user(client) as conn:
        assert one(conn, "select data ->> 'title' from public.live_feed where kind = 'session.changed'") == "Two"
