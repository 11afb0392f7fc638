"""The cells of functions: every function that an API role may run × every identity, as `functions.csv` says."""

import pytest

from tests.policies.calls import Call, Function, call_cell, call_outcome, functions, load_calls
from tests.policies.stage import Stage
from tests.policies.world import OWNER

CALLS = load_calls()
TRIGGERS = {"trigger", "event_trigger"}


@pytest.fixture(scope="module")
def known(stage: Stage) -> dict[str, Function]:
    return {function.name: function for function in functions(stage.conn)}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.text)
def test_a_call_answers_everybody_as_the_list_says(stage: Stage, known: dict[str, Function], call: Call) -> None:
    wrong: list[str] = []
    with stage.conn.transaction(force_rollback=True):
        for name, expected in call.expected.items():
            outcome = call_outcome(stage.conn, stage.world, stage.world.identities[name], call, known[call.function])
            observed = call_cell(outcome, known[call.function])
            if observed != expected:
                wrong.append(f"{call.text} × {name}: expected {expected!r}, observed {observed!r} ({outcome.message})")
    assert not wrong, "\n" + "\n".join(wrong)


def test_every_function_that_an_api_role_may_run_has_a_call(known: dict[str, Function]) -> None:
    callable_by_api = {name for name, function in known.items() if function.roles and function.returns not in TRIGGERS}
    assert callable_by_api == {call.function for call in CALLS}


def test_every_function_of_the_public_schema_has_a_call(known: dict[str, Function]) -> None:
    public = {name for name in known if name.startswith("public.") and known[name].returns not in TRIGGERS}
    assert public <= {call.function for call in CALLS}


def test_no_function_has_two_meanings(stage: Stage) -> None:
    names = [function.name for function in functions(stage.conn)]
    assert len(names) == len(set(names)), "cells name functions without their arguments"


def test_no_trigger_function_is_executable(known: dict[str, Function]) -> None:
    assert not [name for name, function in known.items() if function.returns in TRIGGERS and function.roles]


REFUSED = {"404", "null", "0 rows", "false"}


@pytest.fixture(scope="module")
def visible(stage: Stage) -> dict[str, set[str]]:
    return stage.visible()


@pytest.mark.parametrize("call", [call for call in CALLS if call.labels], ids=lambda call: call.text)
def test_what_is_not_ones_own_answers_like_what_does_not_exist(
    stage: Stage, known: dict[str, Function], visible: dict[str, set[str]], call: Call
) -> None:
    wrong: list[str] = []
    with stage.conn.transaction(force_rollback=True):
        for name, expected in call.expected.items():
            hidden = call.labels - visible[name]
            if expected not in REFUSED or not hidden or name == OWNER.name:
                continue
            identity = stage.world.identities[name]
            there = call_outcome(stage.conn, stage.world, identity, call, known[call.function])
            nowhere = call_outcome(stage.conn, stage.world, identity, call, known[call.function], hidden)
            if there != nowhere:
                wrong.append(f"{call.text} × {name}: {there} is not {nowhere}")
    assert not wrong, "\n" + "\n".join(wrong)
