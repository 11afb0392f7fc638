"""While both run, the older application's statements work on the new schema, or are refused on purpose."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest

from loom.db.schema_files import supabase_dir
from tests.adoption.scene import IDS, Scene
from tests.support.cluster import Cluster
from tests.support.waiting import until

STATEMENTS: list[dict[str, str]] = tomllib.loads(Path(__file__).with_name("old_application.toml").read_text("utf-8"))[
    "statement"
]
PAGE = supabase_dir().parent / "docs" / "reference" / "old-application.md"


@pytest.mark.parametrize("row", STATEMENTS, ids=lambda row: row["what"])
def test_a_statement_does_what_the_page_says(scene: Scene, row: dict[str, str]) -> None:
    before, after = scene.both(row["who"], row["sql"])
    match row["verdict"]:
        case "works":
            assert not isinstance(before, str)
            assert before != 0
            assert after == before
        case "works again":
            assert isinstance(before, str)
            assert not isinstance(after, str)
            assert after != 0
        case "narrower":
            assert amount(after) < amount(before)
        case "refused":
            assert not isinstance(before, str)
            assert after == row.get("code", "42501")
        case other:
            pytest.fail(f"{other} is no verdict")


def amount(found: Any) -> int:
    """How many rows came back, or the count that did."""
    assert isinstance(found, list)
    return found[0][0] if found and len(found) == 1 and isinstance(found[0][0], int) else len(found)


def test_whatever_is_refused_or_narrower_says_why() -> None:
    assert [row["what"] for row in STATEMENTS if (row["verdict"] in {"refused", "narrower"}) != ("why" in row)] == [
        "the service completes a session, older than a day"
    ]


def test_the_page_lists_these_statements_and_no_others() -> None:
    line = re.compile(r"^\| (.+?) \| (.+?) \| (works|works again|narrower|refused) \| (.*?) ?\|$", re.MULTILINE)
    there = line.findall(PAGE.read_text("utf-8"))
    assert there == [(row["what"], row["who"], row["verdict"], row.get("why", "")) for row in STATEMENTS]


def test_its_messages_are_delivered_its_moves_are_not_told(scene: Scene) -> None:
    sent = "insert into public.messages (id, conversation_id, sender_id, content) values ({}, %(talk)s, %(coach)s, 'x')"
    new = "'00000000-0000-4000-8000-000000000001'"
    planned = f"select channel::text from public.message_deliveries where message_id = {new} order by 1"
    channels = scene.after("service", f"{sent.format(new)};\n{planned}")
    assert ("in_app",) in channels
    moved = "update public.sessions set scheduled_at = scheduled_at + interval '1 day' where id = %(ahead)s"
    told = "select count(*) from public.notifications where created_at >= now()"
    assert scene.after("service", f"{moved};\n{told}") == [(0,)]


def test_reading_with_the_old_function_leaves_the_position(scene: Scene) -> None:
    query = """
        insert into public.messages (conversation_id, sender_id, content) values (%(talk)s, %(coach)s, 'x');
        select public.mark_conversation_as_read(%(talk)s, %(client)s);
        select c.last_seq - p.last_read_seq, now() - p.last_read_at
        from public.conversation_participants as p
        join public.conversations as c on c.id = p.conversation_id
        where p.user_id = %(client)s
    """
    assert scene.after("service", query) == [(1, timedelta(0))]


def test_two_who_look_for_their_conversation_at_once_find_one(scene: Scene) -> None:
    assert len(at_once(scene.cluster, scene.old)) == 2
    assert len(at_once(scene.cluster, scene.adopted)) == 1


def at_once(cluster: Cluster, template: str) -> set[Any]:
    """The conversations that two callers got, the second of whom came before the first had committed."""
    name = cluster.create(template)
    query = "select public.get_or_create_direct_conversation(%(coach)s, %(other_client)s)"
    found: set[Any] = set()
    try:
        url = cluster.url(name, "loom_owner")
        with psycopg.connect(url) as first, psycopg.connect(url, autocommit=True) as second:
            row = first.execute(query, IDS).fetchone()

            def ask() -> None:
                found.add(second.execute(query, IDS).fetchone())

            other = Thread(target=ask)
            other.start()
            with psycopg.connect(url, autocommit=True) as watcher:
                until(lambda: not other.is_alive() or waits(watcher, second.info.backend_pid), "the second caller")
            first.commit()
            other.join()
        return found | {row}
    finally:
        cluster.drop(name)


def waits(watcher: psycopg.Connection[Any], pid: int) -> bool:
    row = watcher.execute("select cardinality(pg_blocking_pids(%s)) > 0", [pid]).fetchone()
    return row is not None and row[0]
