"""Each condition inside a function that is taken out on purpose is noticed: no mutant survives."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.mutation.runner import Probe
from tests.policies.stage import Stage

GUARDS = tomllib.loads(Path(__file__).with_name("predicates.toml").read_text("utf-8"))["guard"]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard["name"])
def test_a_condition_that_is_gone_is_noticed(guard: dict[str, Any], stage: Stage) -> None:
    probe = Probe(guard["name"], guard["sql"], guard["expect"], setup=tuple(guard.get("setup", ())))
    assert probe.answer(stage.conn, stage.world) == guard["expect"], "while the condition stands"
    with stage.conn.transaction(force_rollback=True):
        row = stage.conn.execute("select pg_get_functiondef(%s::regprocedure)", [guard["function"]]).fetchone()
        assert row is not None
        assert row[0].count(guard["drop"]) == 1, row[0]
        stage.conn.execute(row[0].replace(guard["drop"], guard["instead"]))
        assert answer(probe, stage) != guard["expect"], "the mutant survived"


def answer(probe: Probe, stage: Stage) -> str:
    """What the database says; a setup that fails has noticed too."""
    try:
        return probe.answer(stage.conn, stage.world)
    except psycopg.Error as noticed:
        return str(noticed)
