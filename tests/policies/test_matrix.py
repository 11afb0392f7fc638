"""The matrix: every table × every identity × select, insert, update, delete and move, as `matrix.csv` says."""

import pytest

from tests.policies.cells import Insert, differences, expected_cell, load_inserts, load_matrix
from tests.policies.columns import column_cells, load_columns
from tests.policies.stage import Stage
from tests.policies.world import OWNER, identities

MATRIX = load_matrix()
TABLES = sorted({table for table, _ in MATRIX})
COLUMNS = load_columns()
INSERTS = [insert for inserts in load_inserts().values() for insert in inserts]


@pytest.mark.parametrize("table", TABLES)
def test_the_cells_of_a_table_are_as_the_matrix_says(stage: Stage, table: str) -> None:
    wrong: list[str] = []
    with stage.conn.transaction(force_rollback=True):
        for identity, cell in stage.observer.observe_each(table):
            expected = expected_cell(MATRIX, table, identity)
            assert expected is not None, f"{table} × {identity}: no line in matrix.csv"
            wrong += differences(expected, cell, table, identity)
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("table", TABLES)
def test_policies_alone_hide_everything_from_anon(stage: Stage, table: str) -> None:
    assert stage.observer.seen_by_anon(table) == 0


def test_every_table_and_view_has_a_line_for_everybody(stage: Stage) -> None:
    missing = [
        f"{relation.full} × {identity}"
        for relation in stage.relations
        for identity in identities()
        if expected_cell(MATRIX, relation.full, identity) is None
    ]
    assert not missing
    assert set(TABLES) == {relation.full for relation in stage.relations}


def test_only_tables_that_no_api_role_knows_are_said_in_one_line() -> None:
    short = {table for table, identity in MATRIX if identity == "*"}
    assert not [table for table in short if not table.startswith("private.")]


def test_the_world_has_a_row_in_every_table(stage: Stage) -> None:
    assert not [relation.full for relation in stage.relations if not stage.world.labels[relation.full]]


def test_every_table_has_an_attempt_to_insert(stage: Stage) -> None:
    missing = {relation.full for relation in stage.relations if relation.is_table} - {
        insert.table for insert in INSERTS
    }
    assert not missing


@pytest.mark.parametrize("insert", INSERTS, ids=lambda insert: f"{insert.table}:{insert.name}")
def test_what_is_refused_to_others_is_a_row_that_the_owner_could_insert(insert: Insert) -> None:
    expected = expected_cell(MATRIX, insert.table, OWNER.name)
    assert expected is not None
    assert insert.name in {name.partition(":")[0] for name in expected["insert"].split()} or expected["insert"] == "*"
    assert f"{insert.name}:42501" not in expected["insert"]


@pytest.mark.parametrize("table", TABLES)
def test_the_owner_reads_everything_so_what_others_miss_is_hidden(stage: Stage, table: str) -> None:
    rows = stage.world.labels[table]
    assert MATRIX.get((table, OWNER.name), {"select": "*"})["select"] in {"*", next(iter(rows.values()))}


@pytest.mark.parametrize("identity", list(identities().values()), ids=lambda identity: identity.name)
def test_refused_writes_leave_everything_as_it_was(stage: Stage, identity: object) -> None:
    who = stage.world.identities[getattr(identity, "name")]  # noqa: B009
    with stage.conn.transaction(force_rollback=True):
        before = stage.digests()
        for relation in stage.relations:
            if relation.is_table:
                stage.observer.keep_refused(relation, who)
        assert stage.digests() == before


@pytest.mark.parametrize("table", sorted({table for table, _ in COLUMNS}))
def test_the_columns_of_a_table_are_granted_as_the_list_says(stage: Stage, table: str) -> None:
    for role, cell in column_cells(stage.conn, table).items():
        assert cell == COLUMNS[table, role], f"{table} × {role}"


def test_every_table_and_view_has_its_columns_listed(stage: Stage) -> None:
    assert {table for table, _ in COLUMNS} == {relation.full for relation in stage.relations}


def test_anon_is_granted_nothing_on_any_table() -> None:
    assert not [
        (table, cell) for (table, role), cell in COLUMNS.items() if role == "anon" and set(cell.values()) != {"-"}
    ]
