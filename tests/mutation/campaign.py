"""Takes a lock, a refusal or a condition out of each function of the money in turn, and runs the tests that call it.

    .venv/bin/python -m tests.mutation.campaign [--kind lock] [--only NAME] [--tests NAME] [--minutes N]

Which tests call a function is counted once, by PostgreSQL itself; each mutant then runs them, the quickest first, until
one fails. What was found is kept in the results, so that a run that was broken off goes on where it stood, and a test
that was written since meets the survivors only.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import suppress
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

from tests.mutation.bodies import Body, BodyMutant, bodies, body_mutants
from tests.support.cluster import Cluster
from tests.support.waiting import until

FOLDERS = ("40_billing", "45_documents", "48_credits")
SUITES = (
    "tests/features/billing",
    "tests/features/credits",
    "tests/features/documents",
    "tests/policies/test_functions.py",
)
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
CALLS = "select format('%s.%s', schemaname, funcname), sum(calls)::int from pg_stat_user_functions group by 1"
OTHERS = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
ONE = SimpleNamespace(params={})
# Processes of their own: too slow to be started for each mutant.
_TOO_SLOW = {"live", "sandbox", "shop", "address"}
CODE = re.compile(r"private\.fail\([^']*'(\w+)'")


@dataclass
class Results:
    """What is known so far. `tests` has, by test, how long it takes and the functions that it calls."""

    tests: dict[str, tuple[float, list[str]]] = field(default_factory=dict)
    caught: dict[str, str] = field(default_factory=dict)
    survived: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Results:
        return TypeAdapter(cls).validate_json(file.read_bytes()) if file.exists() else cls()

    def write(self, file: Path) -> None:
        file.write_bytes(TypeAdapter(Results).dump_json(self, indent=1))


def load_equivalent() -> dict[str, str]:
    """By name, mutants that change nothing that anybody could notice, and why."""
    entries = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("mutant", [])
    return {entry["name"]: entry["because"] for entry in entries}


@cache
def source(of: Any) -> str:
    """The text of a test or its module."""
    return inspect.getsource(of)


class Campaign:
    """A plugin of pytest that runs the tests again for each mutant, in databases that have it."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.results = Results.read(asked.results)
        self.until = time.monotonic() + asked.minutes * 60
        self.equivalent = load_equivalent()
        for name in self.equivalent:
            self.results.survived.pop(name, None)
        self.cluster: Cluster | None = None
        self.database = ""
        self.bodies: dict[str, list[Body]] = {}
        self.counted: Counter[str] = Counter()
        self.clever = {name.partition(": ")[0]: test for name, test in self.results.caught.items()}

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Generator[None, Any, Any]:
        """Learns which databases the tests use."""
        made = yield
        if fixturedef.argname == "cluster":
            self.cluster = made
            self._prepare(made)
        elif fixturedef.argname == "database_name":
            self.database = made
            self.counted.clear()
        return made

    def _prepare(self, cluster: Cluster) -> None:
        with psycopg.connect(cluster.url("postgres", "postgres"), autocommit=True) as conn:
            for role in ("loom_owner", "loom_api"):
                # Some mutants wait for ever. The count of calls is PostgreSQL's own.
                conn.execute(f"alter role {role} set statement_timeout = '60s'")
                conn.execute(f"alter role {role} set track_functions = 'all'")
        with psycopg.connect(cluster.url(cluster.template(), "postgres"), autocommit=True) as conn:
            for body in bodies(conn, FOLDERS):
                self.bodies.setdefault(body.function, []).append(body)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of running each test once."""
        items: dict[str, Any] = {item.nodeid: item for item in session.items if self._wanted(item)}
        gone = set(self.results.tests) - set(items)
        for name in gone:
            del self.results.tests[name]
        new = [item for name, item in items.items() if name not in self.results.tests]
        first = new or [next(iter(items.values()))]
        for item, following in zip(first, [*first[1:], session], strict=True):
            self._count(item)
            if following is session or following.parent is not item.parent:
                self._pause(session)
                self.results.write(self.asked.results)
        for body, mutant in self._mutants():
            calling = self._calling(mutant, items)
            if self.results.survived.get(mutant.name, -1) == len(calling):
                continue
            if time.monotonic() > self.until:
                sys.stdout.write("The time is up; run it again to go on.\n")
                break
            self._try(session, body, mutant, calling)
            self.results.write(self.asked.results)
        return True

    def _wanted(self, item: Any) -> bool:
        # A negative control weakens the functions itself. Of the lives at random one part has to do.
        control = "weakened(" in source(item.function)
        part = getattr(item, "callspec", ONE).params.get("part", 0)
        return not control and part == 0 and not _TOO_SLOW & set(item.fixturenames)

    def _count(self, item: Any) -> None:
        """Runs a test as it is, and notes which functions it calls."""
        if (call := getattr(item, "callspec", ONE).params.get("call")) is not None:
            self.results.tests[item.nodeid] = (0.0, [call.function])
            return
        began = time.monotonic()
        failed = self._run(item, item.parent)
        took = time.monotonic() - began
        assert failed is None, f"{item.nodeid} fails without any mutant: {failed}"
        assert self.cluster is not None
        called: list[str] = []
        if "database_name" in item.fixturenames:
            with psycopg.connect(self.cluster.url(self.database, "postgres"), autocommit=True) as conn:
                # What a connection has counted is there once it has ended.
                with suppress(AssertionError):
                    until(lambda: conn.execute(OTHERS).fetchone() == (0,), "the test's connections are gone", seconds=2)
                calls = Counter(dict(conn.execute(CALLS).fetchall()))
            called = sorted(set(calls - self.counted) & set(self.bodies))
            self.counted = calls
        self.results.tests[item.nodeid] = (round(took, 2), called)

    def _mutants(self) -> Iterator[tuple[Body, BodyMutant]]:
        every = [(body, mutant) for each in self.bodies.values() for body in each for mutant in body_mutants(body)]
        first, step = self.asked.part
        known = self.results.caught.keys() | self.equivalent.keys()
        for body, mutant in every[first::step]:
            if self.asked.kind in {mutant.kind, None} and self.asked.only in mutant.name and mutant.name not in known:
                yield body, mutant

    def _calling(self, mutant: BodyMutant, items: dict[str, Any]) -> list[Any]:
        """The tests that may notice: what noticed the last mutant of the function, then those that speak of the code of
        what is gone or, for a lock, let hands meet, then the others, the quickest first. PostgreSQL does not count a
        call that ends with a refusal, so the first ones are taken whether they were seen to call it or not."""
        code = match[1] if (match := CODE.search(mutant.name)) else None

        def rank(name: str) -> tuple[Any, ...]:
            item, near = items[name], 2
            if mutant.kind == "lock":
                near = 0 if hasattr(item.module, "overtaken") else 1 if hasattr(item.module, "at_once") else 3
            elif code is not None:
                near = 0 if code in name + source(item.function) else 1 if code in source(item.module) else 2
            named = code is not None and code in name
            return name != self.clever.get(mutant.function), near, not named, item.parent.nodeid, self.seconds(name)

        called = {name for name, (_, made) in self.results.tests.items() if mutant.function in made}
        ranked = sorted((rank(name), name) for name in self.results.tests if self.asked.tests in name)
        return [items[name] for (_, near, *_), name in ranked if near == 0 or (near < 3 and name in called)]

    def seconds(self, name: str) -> float:
        """How long a test takes."""
        return self.results.tests[name][0]

    def _try(self, session: pytest.Session, body: Body, mutant: BodyMutant, calling: list[Any]) -> None:
        self._replace(mutant.source)
        try:
            for item, following in zip(calling, [*calling, session][1:], strict=True):
                if self._run(item, following) is not None:
                    self.results.caught[mutant.name] = self.clever[mutant.function] = item.nodeid
                    self.results.survived.pop(mutant.name, None)
                    return
            self.results.survived[mutant.name] = len(calling)
            sys.stdout.write(f"survived {len(calling)} tests: {mutant.name}\n")
            sys.stdout.flush()
        finally:
            self._pause(session)
            self._replace(body.source)

    def _replace(self, source: str) -> None:
        """In the database that all others are copied from."""
        assert self.cluster is not None
        with psycopg.connect(self.cluster.url(self.cluster.template(), "postgres"), autocommit=True) as conn:
            conn.execute(source)

    def _run(self, item: Any, following: Any) -> str | None:
        """What a test says against the database as it is. Its module's database stays if what follows is of it."""
        item._initrequest()
        for report in runtestprotocol(item, nextitem=following, log=False):
            if report.failed:
                return report.longreprtext
        return None

    def _pause(self, session: pytest.Session) -> None:
        """Ends all that lives shorter than the session: the next module gets a new copy."""
        session._setupstate.teardown_exact(session)


def part(text: str) -> tuple[int, int]:
    """ "1/2" is the first of two."""
    which, of = text.split("/")
    return int(which) - 1, int(of)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("lock", "refusal", "condition"))
    parser.add_argument("--only", default="", help="mutants whose name has this in it")
    parser.add_argument("--tests", default="", help="tests whose name has this in it; a mutant may survive those alone")
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
    pytest.main(
        ["-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning", *SUITES], plugins=[campaign]
    )
    found = campaign.results
    sys.stdout.write(json.dumps({"caught": len(found.caught), "survived": len(found.survived)}) + "\n")
    sys.exit(bool(found.survived))


if __name__ == "__main__":
    main()
