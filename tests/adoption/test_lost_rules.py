"""Rules that the old tables had and that somebody dropped: the plan asks for each, by name and by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from loom.core.errors import ExitCode
from loom.db.adoption.apply import OpenQuestions, apply_plan
from loom.db.adoption.decisions import Decisions
from loom.db.adoption.plan import read_plan
from loom.db.check import check
from loom.db.migrate import connect
from tests.adoption.cases import Cases
from tests.support.cluster import Cluster

NONE = Decisions()


@pytest.fixture
def small(cluster: Cluster, cases: Cases) -> Iterator[str]:
    with cases.copy("small") as name:
        yield cluster.url(name)


def drop_every_rule(conn: psycopg.Connection[Any]) -> set[str]:
    """All checks, foreign keys and unique constraints of the tables that have rows with money and time."""
    rows = conn.execute(
        "select c.conrelid::regclass::text, c.conname::text from pg_constraint as c"
        " where c.conrelid in ('sessions'::regclass, 'payments'::regclass, 'reflections'::regclass,"
        " 'conversation_participants'::regclass) and c.contype in ('c', 'f', 'u')"
    ).fetchall()
    for table, name in rows:
        statement = sql.SQL("alter table {} drop constraint {}").format(sql.Identifier(table), sql.Identifier(name))
        conn.execute(statement)
    return {name for _table, name in rows} - {"sessions_future_or_current"}


def test_a_rule_that_was_dropped_is_asked_for_with_the_rows_that_break_it(small: str) -> None:
    with connect(small) as conn:
        dropped = drop_every_rule(conn)
        conn.execute(
            "alter table payments alter column amount_cents drop not null;"
            "alter table conversations rename constraint conversations_created_by_fkey to made_by;"
            "update payments set amount_cents = -5 where id = (select min(id::text)::uuid from payments);"
            "update payments set amount_cents = null where id = (select max(id::text)::uuid from payments);"
            "update sessions set duration_minutes = 0 where id = (select min(id::text)::uuid from sessions);"
            "update reflections set session_id = gen_random_uuid()"
            " where id = (select min(id::text)::uuid from reflections);"
            "insert into conversation_participants (conversation_id, user_id)"
            " select conversation_id, user_id from conversation_participants limit 1"
        )
        plan = read_plan(conn, NONE)
        assert plan.exit_code is ExitCode.OPEN_QUESTIONS
        asked = {question.answer: question for question in plan.questions if question.code == "missing_rule"}
        assert len(asked) == len(dropped) + 2
        assert all(any(f" {name} " in answer for answer in asked) for name in dropped)
        broken = {question.what: question.rows for question in asked.values() if question.rows}
        assert broken == {
            "payments has lost CHECK ((amount_cents > 0))": 1,
            "payments has lost NOT NULL of amount_cents": 1,
            "sessions has lost CHECK ((duration_minutes > 0))": 1,
            "reflections has lost FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE SET NULL": 1,
            "conversation_participants has lost UNIQUE (conversation_id, user_id)": 2,
        }
    with pytest.raises(OpenQuestions):
        apply_plan(small, NONE)
    with connect(small) as conn:
        for question in asked.values():
            table = sql.Identifier(question.what.partition(" ")[0])
            conn.execute(
                sql.SQL("delete from {} where id::text = any (%s)").format(table), [question.ids[: question.rows or 1]]
            )
            conn.execute(sql.SQL(question.answer[question.answer.index("alter table") :]))  # type: ignore[arg-type]
    assert apply_plan(small, NONE) is not None
    with connect(small) as conn:
        assert check(conn) == []


def test_nothing_is_asked_for_that_is_there(cluster: Cluster, cases: Cases) -> None:
    for kind in ("empty", "dirty"):
        with cases.copy(kind) as name, connect(cluster.url(name)) as conn:
            assert not [question for question in read_plan(conn, NONE).questions if question.code == "missing_rule"]
