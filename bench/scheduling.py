"""Budgets: a month of slots under 50 ms (p95) with 1,000 and with 20,000 sessions; booking by 50 at once under 150 ms
(p95); and neither slower than 1.3 times in a database of 500,000 sessions.

    .venv/bin/python -m bench.scheduling [--sessions N] [--rounds N]

End to end over HTTP against one `loom serve`. The baseline of the same minute is reading one's own profile, once by one
connection and once by fifty: what the machine, HTTP and a transaction cost by themselves.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from bench.data import server
from bench.http_read import free_port, serving
from bench.latency import Question, latencies, percentile
from bench.verdict import machine, say
from loom.core.settings import Settings
from loom.db.embedded import EmbeddedServer
from loom.web.app import create_app

PEOPLE = 60
CALLERS = 50
HERE = Path(__file__).parent


def person(number: int) -> UUID:
    """The id of the nth person; each practice has the hundred from its own on, the coach first."""
    return UUID(f"00000000-0000-4000-8000-{number:012x}")


def template(number: int) -> UUID:
    """The id of the offer of the nth coach."""
    return UUID(f"00000000-0000-4000-8001-{number:012x}")


@dataclass
class Bench:
    """A server with practices in it, and Loom before it."""

    database: EmbeddedServer
    address: str
    token: Callable[[UUID], str]
    day: int = 0
    figures: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    medians: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def practice(self, first: int, sessions: int) -> None:
        """A coach with clients and that many sessions."""
        values = {
            "first": str(first),
            "people": str(PEOPLE),
            "mine": str(sessions),
            "coach": f"'{person(first)}'",
            "template": f"'{template(first)}'",
            "hours": "open from six to ten",
        }
        with psycopg.connect(self.database.url("postgres"), autocommit=True) as conn:
            conn.execute((HERE / "scheduling.sql").read_text("utf-8") % values)

    def settle(self) -> None:
        with psycopg.connect(self.database.url("postgres"), autocommit=True) as conn:
            conn.execute("vacuum analyze")

    def note(self, name: str, took: list[float]) -> None:
        self.figures.setdefault(name, []).append(percentile(took, 0.95))
        self.medians.setdefault(name, []).append(statistics.median(took))
        say(f"{name:<44} p50 {statistics.median(took):7.1f} ms   p95 {percentile(took, 0.95):7.1f} ms")

    def slots(self, name: str, coach: int, times: int) -> None:
        """One caller looks at a month, over and over."""
        token = self.token(person(coach + 1))
        start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
        path = (
            f"/v1/coaches/{person(coach)}/slots?template_id={template(coach)}&time_zone=Europe/London"
            f"&from={start:%Y-%m-%dT%H:%M:%SZ}&to={start + timedelta(days=31):%Y-%m-%dT%H:%M:%SZ}"
        )
        self.note(name, latencies(self.address, [[("GET", path, token, b"")] * times], 200))

    def profile(self, name: str, connections: int, times: int) -> None:
        """The baseline."""
        asks: list[list[Question]] = [
            [("GET", "/v1/me", self.token(person(1 + n)), b"")] * times for n in range(connections)
        ]
        self.note(name, latencies(self.address, asks, 200))

    def book(self, name: str, coach: int) -> None:
        """Fifty callers at once, each for ten slots of one coach that nobody else wants."""
        self.day += 1
        first = datetime.now(UTC).replace(hour=5, minute=0, second=0, microsecond=0) + timedelta(
            days=400 + 25 * self.day
        )
        asks: list[list[Question]] = []
        for caller in range(CALLERS):
            token = self.token(person(coach + 1 + caller))
            starts = [
                first + timedelta(days=n // 20, minutes=30 * (n % 20)) for n in range(caller, 10 * CALLERS, CALLERS)
            ]
            bodies = [{"template_id": str(template(coach)), "starts_at": start.isoformat()} for start in starts]
            asks.append([("POST", "/v1/sessions", token, json.dumps(body).encode()) for body in bodies])
        self.note(name, latencies(self.address, asks, 201))

    def round(self, size: str) -> None:
        self.profile(f"{size}: profile, one caller", 1, 200)
        self.slots(f"{size}: month of slots, 1,000 sessions", 100, 100)
        self.slots(f"{size}: month of slots, 20,000 sessions", 200, 100)
        self.profile(f"{size}: profile, fifty callers", CALLERS, 10)
        self.book(f"{size}: booking, fifty callers", 300)


def judge(bench: Bench, sessions: int) -> bool:
    """Prints each budget with its verdict. Medians of the rounds' p95, and for comparison of their medians."""
    p95 = {name: statistics.median(values) for name, values in bench.figures.items()}
    p50 = {name: statistics.median(values) for name, values in bench.medians.items()}
    held = True
    limits = {
        "month of slots, 1,000 sessions": 50,
        "month of slots, 20,000 sessions": 50,
        "booking, fifty callers": 150,
    }
    for name, limit in limits.items():
        small, large = p95[f"small: {name}"], p95[f"large: {name}"]
        base = "profile, fifty callers" if "fifty" in name else "profile, one caller"
        good = small < limit
        grown = large <= 1.3 * small
        held = held and good and grown
        say(
            f"{name}: p95 {small:.1f} ms, {small / p95[f'small: {base}']:.1f} times the baseline;"
            f" budget {limit} ms: {'holds' if good else 'MISSED'}"
        )
        verdict = "holds" if grown else "MISSED"
        middle = p50[f"large: {name}"] / p50[f"small: {name}"]
        say(
            f"{name}: {large / small:.2f} times with {sessions:,} sessions (by the median {middle:.2f});"
            f" budget 1.3: {verdict}"
        )
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=500_000, help="of other coaches, in the large database")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with server() as database, tempfile.TemporaryDirectory() as folder:
        port = free_port()
        settings = Settings(data_dir=Path(folder) / "loom", port=port)
        issuer = create_app(settings, "").state.issuer
        command = [
            str(Path(sys.executable).with_name("loom")), "serve", "--no-worker", "--port", str(port),
            "--data-dir", str(settings.data_dir), "--database-url", database.url("loom_api"),
        ]  # fmt: skip
        with serving(command, port, {}) as address:
            bench = Bench(database, address, lambda who: issuer.access_token(who, uuid4(), second_factor=False))
            for first, sessions in ((0, 10), (100, 1_000), (200, 20_000), (300, 10)):
                bench.practice(first, sessions)
            bench.settle()
            say(machine())
            bench.round("warming up")
            for _ in range(asked.rounds):
                bench.round("small")
            say(f"filling: {asked.sessions:,} sessions of other coaches")
            for number in range(max(asked.sessions // 10_000, 1)):
                bench.practice(1_000 + 100 * number, min(asked.sessions, 10_000))
            bench.settle()
            bench.round("warming up")
            for _ in range(asked.rounds):
                bench.round("large")
    sys.exit(not judge(bench, asked.sessions))


if __name__ == "__main__":
    main()
