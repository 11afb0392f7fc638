"""What the hot reads touch, and that they say what the policies would."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.features.messaging.world import Connection, World, make_world, one, post, rows
from tests.support.acting import AsUser

CONVERSATIONS = 60
MESSAGES = 300


@pytest.fixture(scope="module")
def crowded(cluster: Any, database_name: str, as_user: AsUser) -> tuple[World, list[UUID]]:
    """A coach with sixty conversations of three hundred messages, written in turn, so that pages are scattered."""
    with psycopg.connect(cluster.url(database_name, "postgres"), autocommit=True, row_factory=dict_row) as conn:
        world = make_world(conn, as_user)
        # Rows as triggers would have left them; running the triggers 18,000 times proves nothing here. Nobody searches.
        conn.execute("set session_replication_role = replica")
        conn.execute("drop index public.messages_search_idx, public.messages_typos_idx")
        made = rows(
            conn,
            "insert into public.conversations (type, created_by, last_seq)"
            " select 'direct', %s, %s from generate_series(1, %s) returning id",
            world.coach,
            MESSAGES,
            CONVERSATIONS,
        )
        ids = [row["id"] for row in made]
        conn.execute(
            "insert into public.conversation_participants (conversation_id, user_id, role, last_read_seq)"
            " select c, p.user_id, p.role, 250 from unnest(%s::uuid[]) as c,"
            " (values (%s::uuid, 'coach'), (%s::uuid, 'member')) as p (user_id, role)",
            [ids, world.coach, world.dana],
        )
        conn.execute(
            "insert into public.messages (conversation_id, sender_id, content, seq)"
            " select c, case when s %% 2 = 0 then %s else %s end::uuid, repeat('hello ', 30), s"
            " from generate_series(1, %s) as s, unnest(%s::uuid[]) as c order by s, c",
            [world.coach, world.dana, MESSAGES, ids],
        )
        conn.execute(
            "insert into public.message_delivery_states"
            " (message_id, channel, status, conversation_id, message_seq, sender_id)"
            " select m.id, channel, 'sent', m.conversation_id, m.seq, m.sender_id from public.messages as m,"
            " unnest(enum_range(null::public.message_delivery_channel)) as channel order by m.seq, m.conversation_id"
        )
        conn.execute("set session_replication_role = origin")
        # As autovacuum leaves it: who takes part where is then read from the index alone.
        conn.execute("vacuum (analyze) public.conversation_participants, public.users, public.messages")
        conn.execute("analyze")
    return world, ids


def buffers(conn: Connection, query: str, params: list[Any]) -> tuple[int, str]:
    """Buffers that a warm run touches, and the plan: a connection of a pool has long settled on its generic plans."""
    for _ in range(6):
        conn.execute(query, params)
    plan = "\n".join(
        next(iter(row.values())) for row in rows(conn, f"explain (analyze, buffers, costs off) {query}", *params)
    )
    execution = plan.split("Planning:")[0]
    found = re.search(r"Buffers: shared hit=(\d+)(?: read=(\d+))?", execution)
    assert found, plan
    return int(found[1]) + int(found[2] or 0), plan


def test_a_page_under_policies_touches_little_and_calls_nothing_per_row(
    crowded: tuple[World, list[UUID]], as_user: AsUser
) -> None:
    world, ids = crowded
    page = "select * from public.messages where conversation_id = %s and seq between 151 and 200 order by seq desc"
    with as_user(world.coach) as conn:
        touched, plan = buffers(conn, page, [ids[30]])
    # Fifty rows on fifty pages, and ten for the index and for finding out who asks.
    assert touched <= 60, plan
    assert "rows=50 " in plan or "rows=50.00" in plan
    filters = [line for line in plan.splitlines() if "Filter:" in line or "Cond:" in line]
    assert not any("private." in line or "my_" in line for line in filters), plan
    # The same through a function for each row is what the policies avoid.
    with as_user(world.coach) as conn:
        per_row, _ = buffers(
            conn,
            "select * from public.messages as m where m.conversation_id = %s and m.seq between 151 and 200"
            " and exists (select from public.conversation_people(m.conversation_id))",
            [ids[30]],
        )
    assert per_row > 200


def test_reading_without_a_condition_still_goes_by_the_index(
    crowded: tuple[World, list[UUID]], as_user: AsUser
) -> None:
    world, _ = crowded
    with as_user(world.amir) as conn:
        touched, plan = buffers(conn, "select count(*) from public.messages", [])
    assert "Seq Scan on messages" not in plan
    assert touched < 100, plan


def test_a_timeline_page_and_an_inbox_touch_little(crowded: tuple[World, list[UUID]], as_user: AsUser) -> None:
    world, ids = crowded
    with as_user(world.coach) as conn:
        for _ in range(2):
            conn.execute("select public.conversation_timeline_json(%s, 201, 50)", [ids[7]])
        timeline, _ = buffers(conn, "select public.conversation_timeline_json(%s, 201, 50)", [ids[7]])
        inbox, _ = buffers(conn, "select public.inbox_json()", [])
    assert timeline <= 160
    assert inbox <= 1200


def test_pages_go_both_ways_and_miss_nothing(crowded: tuple[World, list[UUID]], as_user: AsUser) -> None:
    world, ids = crowded
    with as_user(world.dana) as conn:
        for back in (True, False):
            seen: list[int] = []
            cursor: str | None = None
            for _ in range(20):
                given = [ids[3], cursor if back else None, 70, None if back else (cursor or 0)]
                page = one(conn, "select public.conversation_timeline_json(%s, %s::bigint, %s, %s::bigint)", *given)
                seen += [item["seq"] for item in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            assert seen == (list(range(MESSAGES, 0, -1)) if back else list(range(1, MESSAGES + 1)))
        for before, after, expected in (
            (1, None, []),
            (0, None, []),
            (-5, None, []),
            (None, 300, []),
            (None, 10**15, []),
        ):
            page = one(conn, "select public.conversation_timeline_json(%s, %s, 5, %s)", ids[3], before, after)
            assert (page["items"], page["next_cursor"]) == (expected, None)


def test_an_inbox_pages_by_its_cursor_and_refuses_others(crowded: tuple[World, list[UUID]], as_user: AsUser) -> None:
    world, ids = crowded
    with as_user(world.coach) as conn:
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = one(conn, "select public.inbox_json(%s, 13)", cursor)
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == CONVERSATIONS + 1
        unread = {
            item["unread"]
            for item in one(conn, "select public.inbox_json(null, 200)")["items"]
            if item["id"] in map(str, ids)
        }
        assert unread == {50}
    for bad in ("x", "1.2", "99999999999999999999.x", "'; drop table x"):
        with pytest.raises(psycopg.Error) as caught, as_user(world.coach) as conn:
            conn.execute("select public.inbox_json(%s)", [bad])
        assert caught.value.diag.constraint_name == "invalid_cursor"


def test_a_timeline_holds_exactly_what_the_policies_show(
    owner: Connection, as_user: AsUser, crowded: tuple[World, list[UUID]]
) -> None:
    world, _ = crowded
    late = post(as_user, world.coach, world.group, "first")
    with as_user(world.coach) as conn:
        conn.execute("select public.add_to_conversation(%s, %s)", [world.group, [world.noa]])
    post(as_user, world.noa, world.group, "second", mentions=[world.dana], reply_to=None)
    post(as_user, world.dana, world.group, "third")
    owner.execute(
        "insert into public.message_reactions (message_id, user_id, emoji) values (%s, %s, '👏')",
        [late["id"], world.dana],
    )
    for name in ("coach", "dana", "amir", "noa", "admin", "stranger", "other_coach"):
        person = getattr(world, name)
        with as_user(person) as conn:
            shown = rows(
                conn,
                "select id, content from public.messages where conversation_id = %s order by seq desc",
                world.group,
            )
            reactions = one(
                conn, "select count(*) from public.message_reactions where conversation_id = %s", world.group
            )
        page: dict[str, Any] = {"items": []}
        with nullcontext() if shown else pytest.raises(psycopg.Error, match="Not found"), as_user(person) as conn:
            page = one(conn, "select public.conversation_timeline_json(%s)", world.group)
        assert [(item["id"], item["content"]) for item in page["items"]] == [
            (str(row["id"]), row["content"]) for row in shown
        ], name
        assert sum(len(item["reactions"]) for item in page["items"]) == reactions
        assert all((item["deliveries"] is not None) == (item["sender_id"] == str(person)) for item in page["items"])


def test_a_message_of_this_moment_looks_as_a_timeline_shows_it(as_user: AsUser, world: World) -> None:
    with as_user(world.coach) as conn:
        first = one(conn, "select id from public.post_message(%s, 'to reply to')", world.group)
    for more in ("p_reply_to_id => %(first)s", "p_mentions => array[%(dana)s]::uuid[]", "p_mentions => '{}'"):
        given = {"group": world.group, "key": uuid4(), "first": first, "dana": world.dana}
        send = f"select public.send_message_json(%(group)s, 'now', %(key)s, {more}) as sent"
        # In transactions of their own: the repetition is read, the first is put together.
        with as_user(world.coach) as conn:
            (fresh,) = conn.execute(send, given).fetchall()  # type: ignore[call-overload]
        with as_user(world.coach) as conn:
            (repeated,) = conn.execute(send, given).fetchall()  # type: ignore[call-overload]
            page = one(conn, "select public.conversation_timeline_json(%s)", world.group)
        assert fresh == repeated
        assert list(fresh["sent"].items()) == list(page["items"][0].items())
