"""Budgets of the live stream: how late, how many, how large.

    .venv/bin/python -m bench.live [--streams N] [--seconds S] [--size PEOPLE] [--rate MESSAGES] [--only PART]

- latency: from a commit to a connected reader, p99 under 25 ms at 500 messages a second with 5,000 open streams. The
  baseline is a plain connection that listens to the same bell and reads the log by its last id, without policies.
- deliveries: at least 10,000 a second that are policy-correct. Messages are committed at once, and the time counts
  until the last stream has the last of them. Then each person reads for themselves under the policies, one after
  another: that checks every delivery, and is the baseline.
- memory: under 30 KiB of the server for an open stream. The baseline is Starlette's streaming answer.

Server, PostgreSQL, writers and clients share the machine's cores, so the processor time of each is printed too.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from bench.data import OPTIONS, server, uid
from bench.http_read import free_port, loom_command, running
from bench.latency import percentile
from bench.processes import cpu_seconds, resident_kib
from bench.verdict import machine, say
from loom.core.settings import Settings
from loom.db.doorbell import CHANGES
from loom.db.embedded import EmbeddedServer
from loom.web.app import create_app

# What is committed reaches the disk, as for a practice that is in use.
DURABLE = OPTIONS | {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
ACT = "select set_config('role', 'authenticated', false), set_config('request.jwt.claims', %s, false)"
ROUNDS = 3
SIZES = {"latency": 2, "deliveries": 10, "memory": 10}
"""People in a conversation: a coach and a client write most of what is written."""
Triplet = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Asked:
    """How much of it."""

    streams: int
    size: int
    rate: float
    seconds: float


@dataclass(slots=True)
class Streams:
    """The process that holds the streams."""

    process: subprocess.Popen[str]
    folder: Path

    def heard(self) -> list[Triplet]:
        """(moment, stream, event) since the last time."""
        path = self.folder / "heard"
        _say_to(self.process, str(path))
        _await_line(self.process)
        return _triplets(path)


@dataclass(frozen=True, slots=True)
class Stage:
    """The server under test and its database."""

    database: EmbeddedServer
    address: str
    pid: int
    tokens: list[str]
    folder: Path

    @contextmanager
    def streams(self, path: str = "/v1/live", address: str | None = None) -> Iterator[Streams]:
        """All of them open."""
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.streams"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            _say_to(process, json.dumps({"address": address or self.address, "path": path, "tokens": self.tokens}))
            _await_line(process)
            yield Streams(process, self.folder)
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def stage(asked: Asked) -> Iterator[Stage]:
    """People in groups, and Loom as an operator would start it."""
    text = Path(__file__).with_name("live.sql").read_text(encoding="utf-8")
    with server(DURABLE) as database, tempfile.TemporaryDirectory() as folder:
        with psycopg.connect(database.url("postgres"), autocommit=True) as conn:
            conn.execute(text % {"people": asked.streams, "size": asked.size})
            conn.execute("vacuum analyze")
        settings = Settings(data_dir=Path(folder) / "loom", port=free_port())
        issuer = create_app(settings, "").state.issuer
        tokens = [
            issuer.access_token(uid("user", number), uuid4(), second_factor=False) for number in range(asked.streams)
        ]
        with running(loom_command(database, settings), settings.port, {}) as (address, pid):
            yield Stage(database, address, pid, tokens, Path(folder))


def _say_to(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _await_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a process of the bench ended before its time")
    return line.strip()


def _triplets(path: Path) -> list[Triplet]:
    flat = array("q")
    flat.frombytes(path.read_bytes())
    return list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))


class PlainReader(threading.Thread):
    """A connection that listens to the bell and reads what is new in the log, for nobody in particular."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.seen: dict[int, int] = {}
        self.stop = threading.Event()
        self.conn = psycopg.connect(url, autocommit=True)
        self.conn.execute(f"listen {CHANGES}")

    def run(self) -> None:
        last = 0
        while not self.stop.is_set():
            for _ in self.conn.notifies(timeout=0.5, stop_after=1):
                pass
            for (number,) in self.conn.execute("select id from public.live_events where id > %s order by id", [last]):
                self.seen[number] = time.monotonic_ns()
                last = number


def milliseconds(values: Sequence[float]) -> str:
    """A line of percentiles."""
    ordered = sorted(values)
    return (
        ", ".join(
            f"{name} {percentile(ordered, share):.1f}" for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        )
        + f", longest {ordered[-1]:.1f} ms"
    )


def latency(asked: Asked) -> bool:
    """Messages at a rate, from a process of their own, to groups of which everybody listens."""
    with stage(asked) as here, here.streams() as streams:
        plain = PlainReader(here.database.url("postgres"))
        plain.start()
        file = here.folder / "written"
        told = {
            "url": here.database.url("loom_api"), "people": asked.streams, "size": asked.size,
            "path": str(file), "rate": asked.rate,
        }  # fmt: skip
        for seconds in (2.0, asked.seconds):  # the first is to warm up
            streams.heard()
            before = [cpu_seconds(pid) for pid in (here.pid, here.database.pid, streams.process.pid)]
            done = subprocess.run(
                [sys.executable, "-m", "bench.writers"], input=json.dumps(told | {"seconds": seconds}), check=True,
                capture_output=True, text=True,
            )  # fmt: skip
            time.sleep(1.5)
            after = [cpu_seconds(pid) for pid in (here.pid, here.database.pid, streams.process.pid)]
        plain.stop.set()
        plain.join()
        committed = {number: after_ns for number, _, after_ns in _triplets(file)}
        with psycopg.connect(here.database.url("postgres")) as conn:
            events = conn.execute(
                "select e.id, m.content::bigint"
                " from public.live_events as e join public.messages as m on m.id = e.message_id"
                " where e.kind = 'message.created' order by e.id desc limit %s",
                [len(committed)],
            ).fetchall()
        moment = {event: committed[number] for event, number in events}
        heard = streams.heard()
    late = [(now - moment[event]) / 1e6 for now, _, event in heard]
    plainly = [(plain.seen[event] - moment[event]) / 1e6 for event in moment if event in plain.seen]
    say(f"{len(moment):,} messages, asked {asked.rate:,.0f} a second, reached {done.stdout.strip()};")
    say(f"{len(late):,} deliveries to {asked.streams:,} streams, of {len(moment) * asked.size:,}")
    used = [(b - a) / asked.seconds for a, b in zip(before, after, strict=True)]
    say("processor, in cores: server {:.2f}, PostgreSQL {:.2f}, clients {:.2f}".format(*used))
    say(f"commit to stream: {milliseconds(late)}")
    say(f"commit to a plain reader, which lost {len(moment) - len(plainly):,}: {milliseconds(plainly)}")
    p99 = percentile(sorted(late), 0.99)
    good = p99 < 25 and len(late) == len(moment) * asked.size
    say(f"{p99 / percentile(sorted(plainly), 0.99):.2f} times the plain reader's; budget 25 ms: {_verdict(good)}")
    return good


def deliveries(asked: Asked) -> bool:
    """As many messages as there are streams, committed at once."""
    with (
        stage(asked) as here,
        here.streams() as streams,
        psycopg.connect(here.database.url("loom_api")) as conn,
        psycopg.connect(here.database.url("postgres"), autocommit=True) as owner,
    ):
        rates: list[float] = []
        plain: list[float] = []
        wrong = 0
        for _ in range(ROUNDS):
            place = owner.execute("select private.live_cursor(pg_snapshot_xmin(pg_current_snapshot()), 0)").fetchone()
            assert place is not None
            streams.heard()
            used = cpu_seconds(here.pid)
            committed = write_at_once(conn, asked)
            owner.execute("select pg_notify(%s, '')", [CHANGES])
            heard: list[Triplet] = []
            while len(heard) < asked.streams * asked.size and time.monotonic_ns() - committed < 60e9:
                time.sleep(0.5)
                heard += streams.heard()
            used = cpu_seconds(here.pid) - used
            rates.append(len(heard) / (max(now for now, _, _ in heard) - committed) * 1e9)
            told: list[set[int]] = [set() for _ in range(asked.streams)]
            for _, stream, event in heard:
                told[stream].add(event)
            rate, differing = read_for_themselves(conn, place[0], told)
            plain.append(rate)
            wrong += differing + len(heard) - sum(map(len, told))
            say(
                f"{len(heard):,} deliveries, {rates[-1]:,.0f} a second, {used / len(heard) * 1e6:.0f} µs of the server"
                f" each; read by each person for themselves {rate:,.0f} a second; wrong: {wrong}"
            )
    ratio = statistics.median(a / b for a, b in zip(rates, plain, strict=True))
    reached = statistics.median(rates)
    good = reached >= 10_000 and wrong == 0
    say(f"{reached:,.0f} policy-correct deliveries a second, {ratio:.1f} times those of reading one by one;")
    say(f"budget 10,000: {_verdict(good)}")
    return good


def write_at_once(conn: psycopg.Connection[Any], asked: Asked) -> int:
    """A message by each person, in one transaction; the moment after its commit."""
    for number in range(asked.streams):
        conn.execute(ACT, [json.dumps({"sub": str(uid("user", number))})])
        conn.execute(
            "select id from public.post_message(%s, 'As long as people write on most days.')",
            [uid("conversation", number // asked.size)],
        )
    conn.commit()
    return time.monotonic_ns()


def read_for_themselves(conn: psycopg.Connection[Any], place: str, told: list[set[int]]) -> tuple[float, int]:
    """Each person asks for what came after a place: rows a second, and in how many this differs from what was told."""
    found = wrong = 0
    began = time.perf_counter()
    for number, events in enumerate(told):
        conn.execute(ACT, [json.dumps({"sub": str(uid("user", number))})])
        query = "select cursor from public.live_since(%s) where kind = 'message.created'"
        mine = conn.execute(query, [place], prepare=True).fetchall()
        conn.commit()
        found += len(mine)
        wrong += len(events ^ {int(cursor.rpartition("-")[2]) for (cursor,) in mine})
    return found / (time.perf_counter() - began), wrong


def memory(asked: Asked) -> bool:
    """What the server's process grows by, for each stream."""
    port = free_port()
    plain_command = [
        sys.executable, "-m", "uvicorn", "bench.plain_stream:app", "--port", str(port), "--no-access-log",
        "--log-level", "warning",
    ]  # fmt: skip
    with stage(asked) as here, running(plain_command, port, {}) as (plain_address, plain_pid):
        grown: list[float] = []
        for pid, path, address in ((here.pid, "/v1/live", here.address), (plain_pid, "/stream", plain_address)):
            before = resident_kib(pid)
            with here.streams(path, address):
                time.sleep(2)
                grown.append((resident_kib(pid) - before) / asked.streams)
    ours, theirs = grown
    say(f"an open stream: {ours:.1f} KiB, {ours / theirs:.2f} of a plain streaming answer's {theirs:.1f};")
    say(f"budget 30 KiB: {_verdict(ours < 30)}")
    return ours < 30


def _verdict(held: bool) -> str:
    return "holds" if held else "MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--streams", type=int, default=5_000)
    parser.add_argument(
        "--size", type=int, help="people in a conversation: a coach and a client for latency, ten for deliveries"
    )
    parser.add_argument("--rate", type=float, default=500, help="messages a second")
    parser.add_argument("--seconds", type=float, default=20)
    parts = {"latency": latency, "deliveries": deliveries, "memory": memory}
    parser.add_argument("--only", choices=list(parts))
    given = parser.parse_args()
    say(f"{machine()}, shared by server, PostgreSQL, writers and clients")
    held = [
        part(Asked(given.streams, given.size or SIZES[name], given.rate, given.seconds))
        for name, part in parts.items()
        if given.only in {None, name}
    ]
    sys.exit(not all(held))


if __name__ == "__main__":
    main()
