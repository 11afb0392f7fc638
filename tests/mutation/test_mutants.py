"""Each guard of the database, broken on purpose, is noticed: no mutant survives."""

import pytest

from tests.mutation.mutants import Mutant, execute_mutants, grant_mutants, guard_mutants, policy_mutants
from tests.mutation.runner import Report, Runner, unprobed
from tests.policies.stage import Stage


@pytest.fixture(scope="module")
def runner(stage: Stage) -> Runner:
    return Runner(stage.conn, stage.world)


def check(report: Report, capsys: pytest.CaptureFixture[str], what: str) -> None:
    with capsys.disabled():
        print(f"\n{what}: {report}")
    assert not report.survivors
    assert report.killed


def test_every_weakened_policy_is_noticed(runner: Runner, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    check(runner.run(list(policy_mutants(stage.conn))), capsys, "policies")


def test_every_widened_grant_on_a_table_is_noticed(
    runner: Runner, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    check(runner.run(list(grant_mutants(stage.conn))), capsys, "grants")


def test_every_widened_grant_on_a_function_is_noticed(
    runner: Runner, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    check(runner.run(list(execute_mutants(stage.conn))), capsys, "functions")


def test_every_guard_that_is_off_is_noticed(runner: Runner, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    check(runner.run(list(guard_mutants(stage.conn))), capsys, "guards")


def test_every_guard_has_a_probe_and_every_probe_a_guard(runner: Runner, stage: Stage) -> None:
    guards = list(guard_mutants(stage.conn))
    assert not unprobed(guards, runner.probes)
    assert not set(runner.probes) - {mutant.subject for mutant in guards}


def test_nothing_is_noticed_while_all_policies_and_grants_stand(runner: Runner, stage: Stage) -> None:
    for subject, kind in subjects(stage):
        with stage.conn.transaction(force_rollback=True):
            assert not list(runner.complaints(Mutant(kind, subject, "none", "select 1"))), subject


def subjects(stage: Stage) -> list[tuple[str, str]]:
    every = [*policy_mutants(stage.conn), *grant_mutants(stage.conn), *execute_mutants(stage.conn)]
    return sorted({(mutant.subject, mutant.kind) for mutant in every})
