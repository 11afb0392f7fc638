"""Budgets of billing: issuing, a month in one call, numbers of one issuer, and how a client stands after ten years.

    .venv/bin/python -m bench.money [--rounds N] [--seconds S]

Each is measured beside a baseline of the same minute: a transaction that writes one small row and commits. The server
commits to disk here, since that is what issuing waits for.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from bench.verdict import machine, say
from loom.db.embedded import EmbeddedServer
from loom.db.migrate import migrate

COACH = UUID("00000000-0000-4000-8000-00000000c0ac")
CLIENTS = 60
YEARS = 10
TWENTY_LINES = "[" + ",".join(['{"description": "Line", "amount_cents": 12345}'] * 20) + "]"


@dataclass(frozen=True, slots=True)
class Bench:
    """A migrated server with one coach and her clients."""

    server: EmbeddedServer
    clients: list[UUID]

    def connect(self) -> psycopg.Connection[Any]:
        """As the application signs in."""
        return psycopg.connect(self.server.url("loom_api"))

    def owner(self) -> psycopg.Connection[Any]:
        """As the owner, each statement for itself."""
        return psycopg.connect(self.server.url("postgres"), autocommit=True)


def act(conn: psycopg.Connection[Any], query: str, *arguments: object) -> Any:
    """One transaction of the coach."""
    with conn.transaction():
        conn.execute(
            "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
            [f'{{"sub": "{COACH}"}}'],
        )
        row = conn.execute(query, list(arguments)).fetchone()  # pyright: ignore[reportArgumentType, reportCallIssue]
    return row[0] if row else None


@contextmanager
def practice() -> Generator[Bench]:
    """A coach with sixty clients, on a server of the bench's own that commits to disk."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer.start(Path(folder) / "data") as server:
        migrate(server.url("postgres"))
        with psycopg.connect(server.url("postgres"), autocommit=True) as conn:
            conn.execute("create table public.bench_rows (n bigint)")
            conn.execute("insert into auth.users (id, email) values (%s, 'coach@example.test')", [COACH])
            conn.execute("update public.users set role = 'coach' where id = %s", [COACH])
            rows = conn.execute(
                "insert into public.coach_clients (coach_id, display_name) select %s, 'Client ' || n"
                " from generate_series(1, %s) n returning id",
                [COACH, CLIENTS],
            ).fetchall()
            yield Bench(server, [row[0] for row in rows])


def timed(work: Callable[[], Any]) -> float:
    """Milliseconds."""
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[98]


def judged(name: str, figure: float, unit: str, budget: float, baseline: float, *, at_least: bool = False) -> bool:
    """Prints a figure with its budget and its ratio to the baseline of the same minute."""
    held = figure >= budget if at_least else figure <= budget
    say(
        f"{name}: {figure:,.1f} {unit}, {figure / baseline:,.2f} times the baseline's {baseline:,.1f},"
        f" budget {'at least' if at_least else 'at most'} {budget:,.0f}: {'holds' if held else 'MISSED'}"
    )
    return held


def issuing(bench: Bench, rounds: int) -> bool:
    """A draft of twenty lines becomes a document."""
    small: list[float] = []
    issued: list[float] = []
    with bench.connect() as conn, bench.owner() as owner:
        for turn in range(rounds):
            draft = act(
                conn,
                "select public.draft_invoice(p_coach_client_id => %s, p_lines => %s::jsonb)",
                bench.clients[turn % CLIENTS],
                TWENTY_LINES,
            )
            small.append(timed(lambda: owner.execute("insert into public.bench_rows values (1)")))
            issued.append(timed(lambda draft=draft: act(conn, "select public.finalize_invoice(%s)", draft)))
    say(
        f"finalise 20 lines: median {statistics.median(issued):.1f} ms;"
        f" a small write: {statistics.median(small):.1f} ms"
    )
    return judged("finalise 20 lines, p99", p99(issued), "ms", 60, p99(small))


def a_month(bench: Bench) -> bool:
    """Two hundred sessions of sixty clients in one call, issued."""
    with bench.owner() as owner:
        for n in range(200):
            owner.execute(
                "with s as (insert into public.sessions (coach_id, title, scheduled_at, duration_minutes, status,"
                " price_cents, type, capacity) values (%s, 'Coaching', timestamptz '2026-03-02 08:00Z' + %s * interval"
                " '3 hours', 60, 'completed', 25000, 'group', 5) returning id)"
                " insert into public.session_attendees (session_id, coach_client_id, role, status, display_name)"
                " select id, %s, 'client', 'confirmed', 'Client' from s",
                [COACH, n, bench.clients[n % CLIENTS]],
            )
        small = timed(lambda: [owner.execute("insert into public.bench_rows values (1)") for _ in range(200)])
    with bench.connect() as conn:
        rows: list[Any] = []
        took = timed(
            lambda: rows.append(act(conn, "select count(invoice_id) from public.bill_month('2026-03-01', true)"))
        )
    assert rows == [CLIENTS], rows
    return judged("200 sessions into 60 invoices", took, "ms", 5000, small)


def numbers(bench: Bench, seconds: float) -> bool:
    """Four clients take numbers of one issuer, a tenth of them for nothing."""

    def run(statement: str) -> float:
        until = time.perf_counter() + seconds

        def work(_: int) -> int:
            done = 0
            with bench.owner() as conn:
                while time.perf_counter() < until:
                    conn.execute(statement)  # pyright: ignore[reportArgumentType, reportCallIssue]
                    done += 1
            return done

        with ThreadPoolExecutor(4) as pool:
            return sum(pool.map(work, range(4))) / seconds

    small = run("insert into public.bench_rows values (1)")
    taken = run(
        "select private.take_number((select practice_id from public.practice_members limit 1), 'receipt', 2031)"
    )
    return judged("numbers of one issuer", taken, "a second", 500, small, at_least=True)


def ten_years(bench: Bench, rounds: int) -> bool:
    """A client with an invoice a week for ten years, each paid, among sixty of a practice."""
    client = bench.clients[0]
    with bench.connect() as conn:
        for n in range(52 * YEARS):
            invoice = act(
                conn,
                "select public.draft_invoice(p_coach_client_id => %s, p_lines =>"
                ' \'[{"description": "Week", "amount_cents": 25000}]\')',
                client,
            )
            act(conn, "select public.finalize_invoice(%s)", invoice)
            if n % 10:
                act(conn, "select public.record_manual_payment(%s, 25000, 'cash')", invoice)
        with bench.owner() as owner:
            owner.execute("analyze")
            small = [timed(lambda: owner.execute("insert into public.bench_rows values (1)")) for _ in range(rounds)]
        query = "select open_cents from public.client_balances where coach_client_id = %s"
        took = [timed(lambda: act(conn, query, client)) for _ in range(rounds)]
    say(f"a client's balance: median {statistics.median(took):.1f} ms over {52 * YEARS} invoices")
    return judged("a client's balance over 10 years, p99", p99(took), "ms", 50, p99(small))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5, help="of each measure of numbers")
    asked = parser.parse_args()
    say(machine())
    with practice() as bench:
        held = [
            issuing(bench, asked.rounds),
            a_month(bench),
            numbers(bench, asked.seconds),
            ten_years(bench, asked.rounds),
        ]
    sys.exit(not all(held))


if __name__ == "__main__":
    main()
