"""Who may do what in an adopted database: every cell of the matrix, as in a fresh one.

The world is built in a database that an older application made and Loom took over, with whatever that application keeps
beside Loom's tables still there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import psycopg
import pytest

from loom.db.migrate import migrate
from tests.adoption.old_database import legacy_database
from tests.policies.calls import Function, call_cell, call_outcome, functions, load_calls
from tests.policies.cells import Observer, differences, expected_cell, load_matrix, relations
from tests.policies.columns import column_cells, load_columns
from tests.policies.stage import Stage
from tests.policies.world import build
from tests.support.cluster import Cluster

MATRIX = load_matrix()
TABLES = sorted({table for table, _ in MATRIX})
COLUMNS = load_columns()


@pytest.fixture(scope="module")
def stage(cluster: Cluster) -> Iterator[Stage]:
    """The world of the matrix, in an adopted database."""
    name = cluster.create()
    cluster.platform(name)
    with psycopg.connect(cluster.url(name), autocommit=True) as owner:
        legacy_database(owner)
    migrate(cluster.url(name))
    with psycopg.connect(cluster.url(name, "postgres"), autocommit=True) as conn:
        ours = [relation for relation in relations(conn) if relation.full in TABLES]
        world = build(conn, ours)
        # A notice may still point to a template of the older application, of which the world has none.
        world = replace(world, labels={**world.labels, "public.notification_templates": {}})
        conn.execute("analyze")
        yield Stage(conn, world, ours, Observer(conn, world))
    cluster.drop(name)


def test_every_table_of_the_matrix_is_there(stage: Stage) -> None:
    assert [relation.full for relation in stage.relations] == TABLES


def test_every_row_is_for_whom_the_matrix_says(stage: Stage) -> None:
    wrong: list[str] = []
    for table in TABLES:
        with stage.conn.transaction(force_rollback=True):
            for identity, cell in stage.observer.observe_each(table):
                expected = expected_cell(MATRIX, table, identity)
                assert expected is not None
                wrong += differences(expected, cell, table, identity)
    assert not wrong, "\n" + "\n".join(wrong)


def test_every_column_is_granted_as_in_a_fresh_database(stage: Stage) -> None:
    for table in TABLES:
        for role, cell in column_cells(stage.conn, table).items():
            assert cell == COLUMNS[table, role], f"{table} × {role}"


def test_every_function_answers_as_in_a_fresh_database(stage: Stage) -> None:
    known: dict[str, Function] = {function.name: function for function in functions(stage.conn)}
    wrong: list[str] = []
    for call in load_calls():
        with stage.conn.transaction(force_rollback=True):
            for name, expected in call.expected.items():
                who = stage.world.identities[name]
                outcome = call_outcome(stage.conn, stage.world, who, call, known[call.function])
                if call_cell(outcome, known[call.function]) != expected:
                    wrong.append(f"{call.text} × {name}: expected {expected!r} ({outcome.message})")
    assert not wrong, "\n" + "\n".join(wrong)


def test_a_cell_that_is_wrong_is_noticed(stage: Stage) -> None:
    """The negative control: with one policy gone, the same comparison finds it."""
    with stage.conn.transaction(force_rollback=True):
        stage.conn.execute("drop policy sessions_select_people on public.sessions")
        stage.conn.execute("create policy all_of_it on public.sessions for select to authenticated using (true)")
        table = "public.sessions"
        found: list[Any] = []
        for identity, cell in stage.observer.observe_each(table):
            found += differences(cast("Any", expected_cell(MATRIX, table, identity)), cell, table, identity)
    assert found
