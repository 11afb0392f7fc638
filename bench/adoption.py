"""Budget: while a large database is adopted online, no writer waits longer than about a second.

    .venv/bin/python -m bench.adoption [--rows N]

An older application's database with N sessions and N payments is adopted twice, plainly (one transaction) and online,
while two writers go on as the older application did: one books and moves sessions, one takes payments. Prints how long
each way took and the longest time that a writer waited for one statement. Both databases must pass `loom db check`.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg
from tests.adoption.generator import generate
from tests.adoption.old_database import legacy_database
from tests.support.cluster import Cluster

from bench.verdict import machine, say
from loom.db.adoption.apply import apply_plan
from loom.db.adoption.decisions import Decisions
from loom.db.check import check
from loom.db.embedded import EmbeddedServer
from loom.db.migrate import connect

STALL = 1.0  # seconds


@dataclass
class Writer:
    """Writes until it is told to stop; `longest` is the longest wait for one statement, in seconds."""

    conninfo: str
    work: Callable[[psycopg.Connection[tuple[object, ...]], int], None]
    stop: threading.Event
    longest: float = 0.0
    written: int = 0
    errors: list[str] = field(default_factory=list[str])

    def run(self) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            while not self.stop.wait(0.005):
                began = time.perf_counter()
                try:
                    self.work(conn, self.written)
                except psycopg.Error as exc:
                    self.errors.append(str(exc.diag.message_primary or exc))
                self.longest = max(self.longest, time.perf_counter() - began)
                self.written += 1


def books(conn: psycopg.Connection[tuple[object, ...]], number: int) -> None:
    """A session years ahead, each at its own time, then moved by a quarter of an hour."""
    session = uuid4()
    conn.execute(
        "insert into public.sessions (id, coach_id, client_id, title, scheduled_at) select %s, c.id, k.id, 'Written',"
        " timestamptz '2040-01-01' + make_interval(hours => 3 * %s)"
        " from (select id from public.users where role = 'coach' order by id limit 1) as c,"
        " (select id from public.users where role = 'client' order by id limit 1) as k",
        [session, number],
    )
    conn.execute(
        "update public.sessions set scheduled_at = scheduled_at + interval '15 minutes' where id = %s", [session]
    )


def pays(conn: psycopg.Connection[tuple[object, ...]], number: int) -> None:
    """A payment that is pending and then paid."""
    payment = uuid4()
    conn.execute(
        "insert into public.payments (id, amount_cents, status, provider_transaction_id)"
        " values (%s, 100, 'pending', %s)",
        [payment, f"written {number}"],
    )
    conn.execute("update public.payments set status = 'paid' where id = %s", [payment])


def adopt(cluster: Cluster, template: str, *, online: bool, quiet: bool = False) -> tuple[float, list[Writer]]:
    """Adopts a copy under fire; returns seconds and writers."""
    name = cluster.create(template)
    stop = threading.Event()
    writers = [Writer(cluster.url(name), work, stop) for work in (books, pays)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    try:
        apply_plan(
            cluster.url(name), Decisions(), online=online, lock_timeout="60s",
            report=lambda text: None if quiet else say(f"  {time.perf_counter() - began:7.1f} s {text}"),
        )  # fmt: skip
    finally:
        took = time.perf_counter() - began
        stop.set()
        for thread in threads:
            thread.join(60)
    with connect(cluster.url(name)) as conn:
        found = check(conn)
        written = conn.execute(
            "select (select count(*) from public.sessions where title = 'Written'),"
            " (select count(*) from public.payments where provider_transaction_id like 'written %' and status = 'paid')"
        ).fetchone()
    cluster.drop(name)
    if found or written != tuple(writer.written - len(writer.errors) for writer in writers):
        raise RuntimeError(
            f"{written} of {[w.written for w in writers]}, {[w.errors[:2] for w in writers]}, {found[:5]}"
        )
    return took, writers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    asked = parser.parse_args()
    say(machine())
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer.start(Path(folder)) as server:
        owner = dict(pair.split("=", 1) for pair in server.url("loom_owner").split() if "=" in pair)
        cluster = Cluster(server.url("postgres", "postgres"), {"loom_owner": owner["password"]})
        template = cluster.create()
        cluster.platform(template)
        with psycopg.connect(cluster.url(template), autocommit=True) as conn:
            legacy_database(conn)
            generate(conn, seed=1, sessions=asked.rows, payments=asked.rows, messages=asked.rows // 10)
            conn.execute("vacuum analyze")
        held = True
        took: dict[str, float] = {}
        for way in ("plain", "online"):
            say(way)
            took[way], writers = adopt(cluster, template, online=way == "online")
            stall = max(writer.longest for writer in writers)
            written = sum(writer.written for writer in writers)
            refused = [error for writer in writers for error in writer.errors]
            say(f"{way}: {took[way]:.1f} s, longest wait of a writer {stall:.2f} s, {written} written")
            say("".join(f"  refused {refused.count(error)} times: {error}\n" for error in sorted(set(refused))))
            if way == "online":
                held = stall <= STALL
        say(f"online / plain: {took['online'] / took['plain']:.1f} times as long")
        say(f"budget of {STALL} s: {'holds' if held else 'MISSED'}")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
