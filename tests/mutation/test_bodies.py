"""The mutants of function bodies: what is taken out of them, and that PostgreSQL takes each of them."""

import pytest

from tests.mutation.bodies import Body, bodies, body_mutants
from tests.mutation.campaign import FOLDERS, load_equivalent
from tests.mutation.marks import SETUP, marked
from tests.policies.stage import Stage

SOURCE = """create function f() returns void language plpgsql as $function$
begin
  -- where nothing = is
  select * into v from t where t.a between 1 and 2 and (t.b or t.c) order by t.id for no key update of t skip locked;
  if v.a = 1 or v.b = 2 then return;
  elsif v.c = 3 then raise notice 'c'; end if;
  if not found then perform private.fail(404, 'not_found', 'a; b'); end if;
  for v in select from u where u.id = case when x then 1 else 2 end for update loop
    exit when v.n = 0;
  end loop;
end $function$"""


def test_each_lock_refusal_and_condition_is_taken_out_once() -> None:
    names = [mutant.name.removeprefix("f: ") for mutant in body_mutants(Body("f", SOURCE))]
    assert names == [
        "for no key update of t skip locked -> nothing",
        "for update -> nothing",
        "perform private.fail(404, 'not_found', 'a; b'); -> null;",
        "t.a between 1 and 2 -> true",
        "(t.b or t.c) -> true",
        "v.a = 1 -> false",
        "v.b = 2 -> false",
        "v.c = 3 -> false",
        "u.id = case when x then 1 else 2 end -> true",
        "v.n = 0 -> false",
    ]


def test_a_mutant_differs_from_its_function_in_that_place_alone() -> None:
    mutant = next(mutant for mutant in body_mutants(Body("f", SOURCE)) if mutant.kind == "refusal")
    assert mutant.source == SOURCE.replace("perform private.fail(404, 'not_found', 'a; b');", "null;")


@pytest.fixture(scope="module")
def functions(stage: Stage) -> list[Body]:
    return bodies(stage.conn, FOLDERS)


def test_every_mutant_can_be_made_and_has_a_name_of_its_own(stage: Stage, functions: list[Body]) -> None:
    mutants = [mutant for body in functions for mutant in body_mutants(body)]
    assert {mutant.kind for mutant in mutants} == {"lock", "refusal", "condition"}
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        with stage.conn.transaction(force_rollback=True):
            stage.conn.execute(mutant.source)


def test_each_statement_has_a_mark_and_each_mutant_that_of_its_statement() -> None:
    body = Body("f", SOURCE)
    told = marked(body)
    assert [SOURCE[start:].split(maxsplit=1)[0] for start, _ in told.places] == [
        "select", "if", "return;", "raise", "if", "perform", "for", "exit",
    ]  # fmt: skip
    assert len({mark for _, mark in told.places}) == len(told.places)
    begins = {mark: SOURCE[start:].split(maxsplit=1)[0] for start, mark in told.places}
    assert [begins[told.near(mutant.at)] for mutant in body_mutants(body)] == [
        "select", "for", "perform", "select", "select", "if", "if", "if", "for", "exit",
    ]  # fmt: skip


def test_every_function_with_its_marks_can_be_made(stage: Stage, functions: list[Body]) -> None:
    with stage.conn.transaction(force_rollback=True):
        stage.conn.execute(SETUP)
        for body in functions:
            stage.conn.execute(marked(body).source)


def test_what_is_said_to_change_nothing_is_a_mutant_that_there_is(functions: list[Body]) -> None:
    names = [mutant.name for body in functions for mutant in body_mutants(body)]
    assert sorted(set(load_equivalent()) - set(names)) == []
