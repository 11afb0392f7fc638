"""Breaks the guards of the database one at a time and asks the matrix, or the guard's own probe, whether it notices.

Every mutant lives inside a transaction that is taken back, on one connection that owns everything.
"""

import re
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from tests.mutation.mutants import Mutant
from tests.policies.attempts import attempt
from tests.policies.calls import LABEL, functions, load_calls
from tests.policies.cells import Observer, differences, expected_cell, load_matrix
from tests.policies.columns import column_cells, load_columns
from tests.policies.world import World

GUARDS = Path(__file__).with_name("guards.toml")


@dataclass(slots=True)
class Report:
    """What became of the mutants; `survivors` are those that nothing noticed."""

    killed: list[Mutant] = field(default_factory=list)
    survivors: list[Mutant] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        tried, left = len(self.killed) + len(self.survivors), len(self.survivors)
        first = f"{tried} mutants, {len(self.killed)} caught, {left} survived, {self.seconds:.1f} s"
        return "\n".join([first, *(f"  survived: {mutant.name}" for mutant in self.survivors)])


@dataclass(frozen=True, slots=True)
class Probe:
    """A small scenario for one guard: `setup` as the owner, then `sql` as `who` (default: the owner), which answers
    `expect`: `SQLSTATE:constraint` (of Loom's own refusals the code is the constraint), `ok` and `nothing` for a write
    that touched rows or none, or the value of a select."""

    guard: str
    sql: str
    expect: str
    who: str = "owner"
    setup: tuple[str, ...] = ()

    def answer(self, conn: psycopg.Connection[Any], world: World) -> str:
        """What the database says now; leaves nothing behind."""
        identity = world.identities[self.who] if self.who else None
        with conn.transaction(force_rollback=True):
            for statement in self.setup:
                conn.execute(filled(statement, world))
            outcome = attempt(conn, identity, [filled(self.sql, world)])[0]
        if outcome.state is not None:
            return f"{outcome.state}:{outcome.constraint}" if outcome.constraint else outcome.state
        return outcome.value if outcome.value is not None else "ok" if outcome.rows else "nothing"


def filled(statement: str, world: World) -> str:
    def fill(match: re.Match[str]) -> str:
        return f"'{uuid4() if match[1] == 'random' else world.id(match[1])}'"

    return LABEL.sub(fill, statement)


def load_probes() -> dict[str, list[Probe]]:
    """`guards.toml` by guard; several probes may stand for one."""
    probes: dict[str, list[Probe]] = {}
    for entry in tomllib.loads(GUARDS.read_text(encoding="utf-8")).get("guard", []):
        setup = tuple(entry.pop("setup", []))
        probe = Probe(guard=entry.pop("name"), setup=setup, **entry)
        probes.setdefault(probe.guard, []).append(probe)
    return probes


class Runner:
    """Knows for each kind of mutant what must notice it."""

    def __init__(self, conn: psycopg.Connection[Any], world: World) -> None:
        self.conn = conn
        self.world = world
        self.observer = Observer(conn, world)
        self.matrix = load_matrix()
        self.columns = load_columns()
        self.calls = load_calls()
        self.probes = load_probes()

    def run(self, mutants: Iterable[Mutant]) -> Report:
        """Tries each mutant; what is noticed is caught."""
        report = Report()
        started = time.monotonic()
        for mutant in mutants:
            (report.killed if self.notices(mutant) else report.survivors).append(mutant)
        report.seconds = time.monotonic() - started
        return report

    def notices(self, mutant: Mutant) -> bool:
        with self.conn.transaction(force_rollback=True):
            self.conn.execute(mutant.statement)
            return any(True for _ in self.complaints(mutant))

    def complaints(self, mutant: Mutant) -> Iterator[str]:
        """What the tests of the mutant's subject say, inside the caller's transaction; nothing when all is well."""
        if mutant.kind == "policy":
            yield from self._cells(mutant.subject)
        elif mutant.kind == "grant":
            yield from self._grants(mutant.subject)
        elif mutant.kind == "execute":
            yield from self._executables(mutant.subject)
        else:
            yield from self._guards(mutant.subject)

    def _cells(self, table: str) -> Iterator[str]:
        for identity, cell in self.observer.observe_each(table):
            expected = expected_cell(self.matrix, table, identity)
            if expected is not None:
                yield from differences(expected, cell, table, identity)
        if seen := self.observer.seen_by_anon(table):
            yield f"{table}: granted to anon, {seen} rows are seen"

    def _grants(self, table: str) -> Iterator[str]:
        for role, cell in column_cells(self.conn, table).items():
            if cell != self.columns.get((table, role)):
                yield f"{table} × {role}: {cell}"

    def _executables(self, signature: str) -> Iterator[str]:
        for function in functions(self.conn):
            if function.signature != signature:
                continue
            calls = [call for call in self.calls if call.function == function.name]
            refused = {name for call in calls for name, cell in call.expected.items() if cell == "!"}
            names = {name for call in calls for name in call.expected} - refused
            allowed = {self.world.identities[name].role for name in names}
            if set(function.roles) - allowed:
                yield f"{signature} is executable by {function.roles}, the cells allow {sorted(allowed)}"

    def _guards(self, guard: str) -> Iterator[str]:
        for probe in self.probes.get(guard, []):
            answer = probe.answer(self.conn, self.world)
            if answer != probe.expect:
                yield f"{guard}: expected {probe.expect}, got {answer}"


def unprobed(mutants: Iterable[Mutant], probes: Mapping[str, list[Probe]]) -> list[str]:
    """Guards of the catalogue that have no probe."""
    return sorted({mutant.subject for mutant in mutants if mutant.kind == "guard"} - set(probes))
