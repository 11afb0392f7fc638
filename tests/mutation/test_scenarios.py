"""What functions and guards refuse or do, one statement each, on the world of the matrix.

The files in `scenarios` have what no story of a feature comes to: `setup` is done as the owner, then `sql` as `who`
(the owner where nothing is said); `expect` is written as in guards.toml.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from loom.db.schema_files import supabase_dir
from tests.mutation.runner import Probe, load_probes
from tests.policies.stage import Stage

HERE = Path(__file__)
SCENARIOS: list[dict[str, Any]] = [
    scenario
    for file in sorted(HERE.with_name("scenarios").glob("*.toml"))
    for scenario in tomllib.loads(file.read_text("utf-8"))["scenario"]
]
PROBES = [probe for probes in load_probes().values() for probe in probes]
CODE = re.compile(r"private\.fail\(\s*\d+,\s*'([a-z0-9_]+)'")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_the_database_answers_as_the_scenario_says(scenario: dict[str, Any], stage: Stage) -> None:
    setup = tuple(scenario.get("setup", ()))
    probe = Probe(scenario["name"], scenario["sql"], scenario["expect"], scenario.get("who", "owner"), setup)
    assert probe.answer(stage.conn, stage.world) == scenario["expect"]


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.guard)
def test_a_guard_that_stands_answers_as_its_probe_says(probe: Probe, stage: Stage) -> None:
    assert probe.answer(stage.conn, stage.world) == probe.expect


def test_every_code_that_sql_refuses_with_is_named_by_a_test() -> None:
    refused = {
        code for file in supabase_dir().glob("schemas/*/*.sql") for code in CODE.findall(file.read_text("utf-8"))
    }
    tests = HERE.parents[1]
    told = " ".join(
        file.read_text("utf-8") for kind in ("py", "csv", "toml") for file in sorted(tests.rglob(f"*.{kind}"))
    )
    assert refused
    assert sorted(refused - set(re.findall(r"\w+", told))) == []
