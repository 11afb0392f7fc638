"""How far a call reaches: whatever is done for one practice leaves every row of another as it was."""

from __future__ import annotations

import re

import pytest

from tests.policies.attempts import attempt
from tests.policies.calls import Call, Function, functions, load_calls
from tests.policies.stage import Stage

WHO = ("coach", "client", "other_client", "group_member", "service", "owner")
ANSWERS = re.compile(r"ok|true|\d+ rows")
# What says whose a row is, the first that a table has.
OWNERS = {
    "practice_id": "practice-other_coach", "coach_id": "other_coach", "user_id": "foreign_client",
    "client_id": "foreign_client",
}  # fmt: skip


def whoever_may(call: Call) -> str | None:
    """Somebody of the one practice whom the call answers; None where it is about no row, or about the others'."""
    if not call.labels or any("foreign" in label or "other_coach" in label for label in call.labels):
        return None
    return next((who for who in WHO if ANSWERS.fullmatch(call.expected[who])), None)


CALLS = [(who, call) for call in load_calls() if (who := whoever_may(call)) is not None]


@pytest.fixture(scope="module")
def known(stage: Stage) -> dict[str, Function]:
    return {function.name: function for function in functions(stage.conn)}


@pytest.fixture(scope="module")
def theirs(stage: Stage) -> str:
    """A query for what the other practice has in each table, in one word each."""
    rows = stage.conn.execute(
        "select table_schema || '.' || table_name, array_agg(column_name::text)"
        " from information_schema.columns where table_schema in ('public', 'private') group by 1"
    ).fetchall()
    columns = dict(rows)
    parts: list[str] = []
    for relation in stage.relations:
        owner = next((name for name in OWNERS if name in columns[relation.full]), None)
        if relation.is_table and owner is not None:
            whose = f"t.{owner} = '{stage.world.id(OWNERS[owner])}'"
            digest = "md5(coalesce(string_agg(t::text, ' ' order by t::text), ''))"
            parts.append(f"select '{relation.full}', (select {digest} from {relation.full} t where {whose})")
    return " union all ".join(parts)


@pytest.mark.parametrize(("who", "call"), CALLS, ids=[call.text for _, call in CALLS])
def test_a_call_for_one_practice_leaves_the_rows_of_another(
    stage: Stage, known: dict[str, Function], theirs: str, who: str, call: Call
) -> None:
    identity = stage.world.identities[who]
    call_text = call.sql(stage.world, identity)
    statement = (
        f"select count(*)::text from {call_text}" if known[call.function].is_set else f"select {call_text}::text"
    )
    with stage.conn.transaction(force_rollback=True):
        before = stage.conn.execute(theirs).fetchall()
        outcome = attempt(stage.conn, identity, [statement], keep=True)[0]
        assert outcome.state is None, outcome.message
        stage.conn.execute("set constraints all immediate")
        assert stage.conn.execute(theirs).fetchall() == before


def test_a_row_of_the_other_practice_that_moves_is_seen(stage: Stage, theirs: str) -> None:
    """The negative control."""
    with stage.conn.transaction(force_rollback=True):
        before = stage.conn.execute(theirs).fetchall()
        stage.conn.execute("update public.payment_methods set is_default = true")
        assert {row[0] for row in stage.conn.execute(theirs).fetchall()} == {row[0] for row in before}
        moved = set(stage.conn.execute(theirs).fetchall()) - set(before)
        assert [row[0] for row in moved] == ["public.payment_methods"]
