"""Borders that the people of the matrix do not stand on: a coach who is a client, rows moved and upserted."""

from collections.abc import Iterator

import pytest

from tests.policies.attempts import acting_as, attempt
from tests.policies.cells import Insert, expected_cell, load_inserts, load_matrix
from tests.policies.stage import Stage
from tests.policies.world import identities

MATRIX = load_matrix()
API_USERS = [name for name, identity in identities().items() if identity.role == "authenticated"]


def inserts(who: str, *, allowed: bool) -> Iterator[Insert]:
    """The attempts of `inserts.toml` that the matrix allows to `who`, or those that a policy or grant refuses."""
    for table, attempts in load_inserts().items():
        cell = expected_cell(MATRIX, table, who)
        assert cell is not None
        names = cell["insert"].split()
        for insert in attempts:
            if allowed and insert.name in names:
                yield insert
            if not allowed and not any(name.partition(":")[0] == insert.name for name in names):
                yield insert


@pytest.mark.parametrize("who", API_USERS)
def test_whoever_may_insert_a_row_gets_it_back(stage: Stage, who: str) -> None:
    identity = stage.world.identities[who]
    keys = {relation.full: ", ".join(relation.key) for relation in stage.relations}
    mine = list(inserts(who, allowed=True))
    statements = [f"{insert.statement(stage.world, identity)} returning {keys[insert.table]}" for insert in mine]
    with stage.conn.transaction(force_rollback=True):
        outcomes = attempt(stage.conn, identity, statements)
    assert not [(i.table, i.name, o.message) for i, o in zip(mine, outcomes, strict=True) if o.state is not None]


@pytest.mark.parametrize("who", API_USERS)
def test_an_upsert_goes_no_further_than_an_insert(stage: Stage, who: str) -> None:
    identity = stage.world.identities[who]
    keys = {relation.full: relation.key for relation in stage.relations}
    refused = list(inserts(who, allowed=False))
    statements = [
        f"{insert.statement(stage.world, identity)} on conflict {action}"
        for insert in refused
        for first in keys[insert.table][:1]
        for action in ("do nothing", f"({', '.join(keys[insert.table])}) do update set {first} = excluded.{first}")
    ]
    with stage.conn.transaction(force_rollback=True):
        before = stage.digests()
        outcomes = attempt(stage.conn, identity, statements, keep=True)
        assert stage.digests() == before
    assert not [(statement, o) for statement, o in zip(statements, outcomes, strict=True) if o.state is None and o.rows]


def test_nobody_is_granted_to_change_whose_a_row_is(stage: Stage) -> None:
    granted = stage.conn.execute(
        """
        select a.attrelid::regclass::text, a.attname::text
        from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0
          and a.attname in ('id', 'user_id', 'coach_id', 'client_id', 'sender_id', 'conversation_id', 'message_id',
            'practice_id', 'invoice_id', 'payment_id', 'created_by')
          and has_column_privilege('authenticated', a.attrelid, a.attnum, 'update')
        order by 1, 2
        """
    ).fetchall()
    # Renewing one's own sign of writing is an update that changes nothing; its policy and its cells of moves hold it.
    assert granted == [("typing_indicators", "user_id")]


def test_a_coach_who_is_somebodys_client_leads_nothing_in_that_coachs_group(stage: Stage) -> None:
    world, conn = stage.world, stage.conn
    with conn.transaction(force_rollback=True):
        conn.execute(
            "insert into public.coach_clients (coach_id, client_id) values (%s, %s)",
            (world.id("coach"), world.id("other_coach")),
        )
        with acting_as(conn, world.identities["coach"]):
            conn.execute(
                "select public.add_to_conversation(%s, array[%s::uuid])", (world.id("circle"), world.id("other_coach"))
            )
        with acting_as(conn, world.identities["other_coach"]):
            led = conn.execute("select private.my_led_conversation_ids()").fetchone()
            mine = conn.execute("select private.my_conversation_ids()").fetchone()
        assert mine is not None
        assert world.id("circle") in mine[0]
        assert led == ([world.id("direct-foreign")],)
