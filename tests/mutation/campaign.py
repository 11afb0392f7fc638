"""Takes a lock, a refusal or a condition out of each function of the money in turn, and runs the tests that come to it.

    .venv/bin/python -m tests.mutation.campaign [--kind lock] [--only NAME] [--tests NAME] [--minutes N]

Which test comes to which statement is found once, by marks in the functions. Then each module of tests gets one
database, and in it one mutant after the other stands in the place of its function, until one of the module's tests that
come to that statement fails. A failure counts only if the test passes again, in the same database, once the function is
as it was; otherwise the mutant has left something behind, and the judgement is asked for again in a new database.

What was found is kept in the results, so that a run that was broken off goes on where it stood, and a test that was
written since meets the survivors only.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import time
import tomllib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from pydantic import TypeAdapter

from tests.mutation.bodies import BodyMutant, bodies, body_mutants
from tests.mutation.marks import Marked, Reached, marked, server_log, tell
from tests.support.cluster import Cluster

FOLDERS = ("40_billing", "45_documents", "48_credits")
SUITES = (
    "tests/features/billing",
    "tests/features/credits",
    "tests/features/documents",
    "tests/policies/test_functions.py",
    "tests/policies/test_reach.py",
    "tests/mutation/test_scenarios.py",
)
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
ONE = SimpleNamespace(params={})
# Processes of their own: too slow to be started for each mutant.
_TOO_SLOW = {"live", "sandbox", "shop", "address"}
# Some mutants wait for ever.
_PATIENCE = "15s"


@dataclass
class Results:
    """What is known so far. `tests` has, by test, how long it takes and the marks that it reaches, `tried` by mutant
    the tests that it has survived."""

    marks: set[str] = field(default_factory=set)
    tests: dict[str, tuple[float, set[str]]] = field(default_factory=dict)
    caught: dict[str, str] = field(default_factory=dict)
    tried: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Results:
        return TypeAdapter(cls).validate_json(file.read_bytes()) if file.exists() else cls()

    def write(self, file: Path) -> None:
        file.write_bytes(TypeAdapter(Results).dump_json(self, indent=1))


@dataclass(frozen=True, slots=True)
class Subject:
    """A mutant, its function as it is, and the mark of the statement that it changes."""

    mutant: BodyMutant
    original: str
    mark: str


def load_equivalent() -> dict[str, str]:
    """By name, mutants that change nothing that anybody could notice, and why."""
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("mutant", [])
    return {entry["name"]: entry["because"] for entry in entries}


@cache
def source(of: Any) -> str:
    """The text of a test."""
    return inspect.getsource(of)


class Campaign:
    """A plugin of pytest that runs the tests again for each mutant, in a database that has it."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.results = Results.read(asked.results)
        self.until = time.monotonic() + asked.minutes * 60
        self.cluster: Cluster | None = None
        self.database = ""
        self.functions: list[Marked] = []
        self.runs = 0
        self.said = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        """Learns which databases the tests use."""
        made = yield
        if fixturedef.argname == "cluster":
            self.cluster = made
            self._prepare(made)
        elif fixturedef.argname == "database_name":
            self.database = made
        return made

    def _prepare(self, cluster: Cluster) -> None:
        with psycopg.connect(cluster.url(cluster.template(), "postgres"), autocommit=True) as conn:
            for role in ("loom_owner", "loom_api"):
                conn.execute(f"alter role {role} set statement_timeout = '{_PATIENCE}'")
            self.functions = [marked(body) for body in bodies(conn, FOLDERS)]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of running each test once."""
        items: dict[str, Any] = {item.nodeid: item for item in session.items if self._wanted(item)}
        self._run(next(iter(items.values())), session)
        self._find_what_tests_reach(session, items)
        self._end_module(session)
        modules: dict[str, list[Any]] = {}
        for item in sorted(items.values(), key=lambda item: self.seconds(item.nodeid)):
            modules.setdefault(item.parent.nodeid, []).append(item)
        for tests in sorted(modules.values(), key=self._pace):
            for subject in self._subjects():
                if time.monotonic() > self.until:
                    sys.stdout.write("The time is up; run it again to go on.\n")
                    return True
                self._try(session, subject, tests)
            self._end_module(session)
            self.results.write(self.asked.results)
        return True

    def _pace(self, tests: list[Any]) -> tuple[bool, float]:
        """First the modules that are done soonest with a mutant; the cells of functions see little of what these do."""
        return "policies" in tests[0].nodeid, sum(self.seconds(item.nodeid) for item in tests) / len(tests)

    def _wanted(self, item: Any) -> bool:
        # A negative control weakens the functions itself. Of the lives at random one part has to do.
        control = "weakened(" in source(item.function)
        part = getattr(item, "callspec", ONE).params.get("part", 0)
        return not control and part == 0 and not _TOO_SLOW & set(item.fixturenames) and self.asked.tests in item.nodeid

    def _find_what_tests_reach(self, session: pytest.Session, items: dict[str, Any]) -> None:
        """Runs what is not known yet once in databases where each statement tells that it is reached."""
        known, now = self.results.marks, {mark for function in self.functions for _, mark in function.places}
        changed = {mark.partition("#")[0] for mark in known ^ now} if known else set()
        for name, (_, marks) in list(self.results.tests.items()):
            if changed & {mark.partition("#")[0] for mark in marks} and name in items:
                del self.results.tests[name]
        self.results.marks = now
        unknown = [item for name, item in items.items() if name not in self.results.tests]
        if unknown:
            assert self.cluster is not None
            template = self.cluster.url(self.cluster.template(), "postgres")
            tell(template, self.functions)
            with psycopg.connect(template) as conn:
                reached = Reached(server_log(conn))
            for item, following in zip(unknown, [*unknown[1:], session], strict=True):
                began = time.monotonic()
                failed = self._run(item, following)
                # Whoever looks at how functions are made, or fails as it is, judges no mutant.
                marks = set() if failed else reached.take()
                self.results.tests[item.nodeid] = (round(time.monotonic() - began, 2), marks)
                reached.take()
            for function in self.functions:
                self._replace(self.cluster.template(), function.body.source)
            self.results.write(self.asked.results)

    def _subjects(self) -> Iterator[Subject]:
        """The mutants that are asked for and that nothing has caught yet."""
        every = [(function, mutant) for function in self.functions for mutant in body_mutants(function.body)]
        first, step = self.asked.part
        known = self.results.caught.keys() | load_equivalent().keys()
        for function, mutant in every[first::step]:
            if self.asked.kind in {mutant.kind, None} and self.asked.only in mutant.name and mutant.name not in known:
                yield Subject(mutant, function.body.source, function.near(mutant.at))

    def seconds(self, name: str) -> float:
        """How long a test takes."""
        return self.results.tests[name][0]

    def _try(self, session: pytest.Session, subject: Subject, tests: list[Any]) -> None:
        """The module's tests that come to the statement, until one of them notices."""
        tried = self.results.tried.setdefault(subject.mutant.name, set())
        coming = [item for item in tests if subject.mark in self.results.tests[item.nodeid][1]]
        left = [item for item in coming if item.nodeid not in tried][: self.asked.most]
        if not left:
            return
        if not self.database:
            self._begin_module(session, left[0])
        self._replace(self.database, subject.mutant.source)
        failing = next((item for item in left if self._run(item, item.parent)), None)
        self._replace(self.database, subject.original)
        tried |= {item.nodeid for item in left[: left.index(failing) if failing else None]}
        if failing is None:
            return
        if self._is_the_mutants(session, failing, subject):
            self.results.caught[subject.mutant.name] = f"{failing.nodeid}: {self.said}"
            del self.results.tried[subject.mutant.name]
        else:
            tried.add(failing.nodeid)
            self._try(session, subject, tests)

    def _is_the_mutants(self, session: pytest.Session, item: Any, subject: Subject) -> bool:
        """Whether the failure has no other cause: without the mutant the test passes, if need be in a new database."""
        said = self.said
        if self._run(item, item.parent):
            self._end_module(session)
            self._begin_module(session, item)
            self._replace(self.database, subject.mutant.source)
            fails, said = self._run(item, item.parent), self.said
            self._end_module(session)
            if not fails:
                return False
        self.said = said
        return True

    def _begin_module(self, session: pytest.Session, item: Any) -> None:
        """A new database, in which the test passes."""
        if self._run(item, item.parent):
            self._end_module(session)
            assert not self._run(item, item.parent), f"{item.nodeid} fails without any mutant: {self.said}"

    def _end_module(self, session: pytest.Session) -> None:
        """Ends all that lives shorter than the session: what comes next gets a new copy."""
        session._setupstate.teardown_exact(session)
        self.database = ""

    def _replace(self, database: str, source: str) -> None:
        assert self.cluster is not None
        with psycopg.connect(self.cluster.url(database, "postgres"), autocommit=True) as conn:
            conn.execute(source)

    def _run(self, item: Any, following: Any) -> bool:
        """Whether a test fails as the database is. Whatever `following` needs stays: of a module, its database."""
        self.runs += 1
        item._initrequest()
        failed = [report for report in runtestprotocol(item, nextitem=following, log=False) if report.failed]
        if failed:
            crash = getattr(failed[0].longrepr, "reprcrash", None)
            self.said = " ".join(str(crash.message if crash else failed[0].longrepr).split())[:160]
        return bool(failed)


def part(text: str) -> tuple[int, int]:
    """ "1/2" is the first of two."""
    which, of = text.split("/")
    return int(which) - 1, int(of)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("lock", "refusal", "condition"))
    parser.add_argument("--only", default="", help="mutants whose name has this in it")
    parser.add_argument("--tests", default="", help="tests whose name has this in it; a mutant may survive those alone")
    parser.add_argument("--most", type=int, help="tests of a module for a mutant; a later run goes on from there")
    parser.add_argument("--part", type=part, default=(0, 1), help="1/2 tries every second")
    parser.add_argument("--minutes", type=float, default=24 * 60)
    parser.add_argument("--results", type=Path, default=Path(".loom/body_mutants.json"))
    asked = parser.parse_args()
    # The first failure counts: looking for the smallest one takes minutes.
    hypothesis_settings.register_profile(
        "mutants", phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck), database=None
    )
    hypothesis_settings.load_profile("mutants")
    campaign = Campaign(asked)
    began = time.monotonic()
    # What a mutant leaves open is closed late, and no fault of a test.
    plain = ["-q", "-p", "no:cacheprovider", "-p", "no:unraisableexception"]
    pytest.main([*plain, "-W", "ignore::pytest.PytestAssertRewriteWarning", *SUITES], plugins=[campaign])
    campaign.results.write(asked.results)
    left = {
        subject.mutant.name: len(campaign.results.tried.get(subject.mutant.name, ()))
        for subject in campaign._subjects()
    }
    for name, tests in left.items():
        sys.stdout.write(f"not caught by {tests} tests: {name}\n")
    took = time.monotonic() - began
    told = {"caught": len(campaign.results.caught), "left": len(left), "runs": campaign.runs, "seconds": round(took)}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.exit(bool(left))


if __name__ == "__main__":
    main()
