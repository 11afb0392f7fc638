"""Budgets of messages: sends over HTTP, a timeline as it grows, and unread counts.

    .venv/bin/python -m bench.messages [--scale MESSAGES] [--rounds N] [--seconds S] [--folder FOLDER]

- durable sends with their delivery rows: at least 1,000 a second over HTTP, callers sending side by side. The server
  commits to disk. The baseline is the same function called by as many connections in SQL.
- a page of fifty at ten million messages: at most 1.3 times its time at a hundred thousand. With a folder the filled
  servers stay there, and `--rounds 0` only fills them.
- unread counts of two hundred conversations: under 10 ms, against a plain count of the unread messages.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import psycopg
import uvloop

from bench.data import LENGTH, OPTIONS, fill, server, uid
from bench.http_read import loom
from bench.verdict import Budget, interleaved, judge, machine, say
from loom.db.embedded import EmbeddedServer

ACT = "select set_config('role', 'authenticated', false), set_config('request.jwt.claims', %s, false)"
READER = uid("user", 10)
BATCH = 20
OTHERS = 200
"""Conversations in all: a table of a few rows is read whole, again and again, which no practice's is."""


def claims(user: UUID) -> str:
    """What a token of the user would say."""
    return json.dumps({"sub": str(user)})


class Sender(asyncio.Protocol):
    """One keep-alive connection that sends one message after another, each with a key of its own."""

    def __init__(self, path: str, token: str) -> None:
        self.head = f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n".encode()
        self.head += b"content-type: application/json\r\ncontent-length: "
        self.good = self.bad = 0
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, _, body = self.received.partition(b"\r\n\r\n")
        wanted = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if not wanted or len(body) < int(wanted):
            return
        self.good += self.received.startswith(b"HTTP/1.1 201")
        self.bad += not self.received.startswith(b"HTTP/1.1 201")
        self.received = b""
        self._send()

    def _send(self) -> None:
        body = json.dumps({"content": "As long as people write on most days.", "client_message_id": str(uuid4())})
        self.transport.write(self.head + f"{len(body)}\r\n\r\n{body}".encode())


async def flood(address: str, targets: list[tuple[str, str]], seconds: float) -> float:
    """Messages taken per second, a connection for each (path, token); RuntimeError when any was refused."""
    host, _, port = address.removeprefix("http://").partition(":")
    loop = asyncio.get_running_loop()
    senders = [
        (await loop.create_connection(lambda target=target: Sender(*target), host, int(port)))[1] for target in targets
    ]
    started, before = time.perf_counter(), sum(sender.good for sender in senders)
    await asyncio.sleep(seconds)
    rate = (sum(sender.good for sender in senders) - before) / (time.perf_counter() - started)
    for sender in senders:
        sender.transport.abort()
    if any(sender.bad for sender in senders):
        raise RuntimeError(f"{sum(sender.bad for sender in senders)} messages were refused")
    return rate


def sql_sends(database: EmbeddedServer, count: int, seconds: float) -> float:
    """The same function from as many connections, without HTTP."""
    done = [0] * count
    end = time.monotonic() + seconds

    def run(number: int) -> None:
        with psycopg.connect(database.url("loom_api"), autocommit=True) as conn:
            conn.execute(ACT, [claims(uid("user", number * 10))])
            while time.monotonic() < end:
                conn.execute(
                    "select id from public.post_message(%s, 'As long as people write on most days.', %s)",
                    [uid("conversation", number), uuid4()],
                )
                done[number] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / seconds


def sends(rounds: int, seconds: int) -> bool:
    """Two people in each conversation, since a coach writes to a client; commits reach the disk."""
    durable = OPTIONS | {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "on"}
    with server(durable) as database, tempfile.TemporaryDirectory() as folder:
        fill(database, OTHERS * LENGTH)
        with psycopg.connect(database.url("postgres"), autocommit=True) as conn:
            conn.execute(
                "delete from public.conversation_participants where conversation_id = any (%s) and user_id <> all (%s)",
                [
                    [uid("conversation", n) for n in range(BATCH)],
                    [uid("user", n * 10 + p) for n in range(BATCH) for p in (0, 1)],
                ],
            )
        with loom(database, Path(folder)) as (address, _, token_of):
            targets = [
                (f"/v1/conversations/{uid('conversation', n)}/messages", token_of(uid("user", n * 10)))
                for n in range(BATCH)
            ]

            def over_http() -> float:
                # In a process of its own, so that it has its own interpreter.
                command = [sys.executable, "-m", "bench.messages", "--flood", address, str(seconds)]
                text = json.dumps(targets)
                done = subprocess.run(command, input=text, check=True, capture_output=True, text=True, timeout=120)
                return float(done.stdout)

            over_http()
            with psycopg.connect(database.url("postgres"), autocommit=True) as conn:
                # As autovacuum does within a minute: plans made while there was no delivery yet are no good afterwards.
                conn.execute("vacuum analyze")
            figures = interleaved(
                {"sends over HTTP": over_http, "sends in SQL": lambda: sql_sends(database, BATCH, seconds)}, rounds
            )
            with psycopg.connect(database.url("postgres")) as conn:
                row = conn.execute(
                    "select count(*), (select count(*) from public.message_deliveries) from public.messages"
                    " where seq > %s",
                    [LENGTH],
                ).fetchone()
                assert row is not None
                assert row[1] == 3 * row[0], "each message has its three deliveries"
    judge(figures, [Budget("sends over HTTP", "sends in SQL", 0.0)])
    reached = statistics.median(figures["sends over HTTP"])
    say(f"sends over HTTP: {reached:,.0f} a second, budget 1,000: {'holds' if reached >= 1000 else 'MISSED'}")
    return reached >= 1000


def timed(conn: psycopg.Connection[tuple[object, ...]], query: str, params: list[object], turns: int = 200) -> float:
    """The median of a warm query, in milliseconds."""
    figures: list[float] = []
    for _ in range(turns):
        started = time.perf_counter()
        conn.execute(query, params, prepare=True).fetchall()
        figures.append((time.perf_counter() - started) * 1000)
    return statistics.median(figures)


def grow(database: EmbeddedServer, messages: int) -> None:
    """Fills it unless that has been done. Indexes that no page of a timeline reads would take most of the time."""
    with psycopg.connect(database.url("postgres"), autocommit=True) as conn:
        if conn.execute("select 1 from pg_namespace where nspname = 'bench'").fetchone():
            return
        conn.execute(
            "do $$ declare x text; begin for x in select indexrelid::regclass from pg_index"
            " where indrelid = 'public.messages'::regclass and not indisprimary"
            " loop execute 'drop index ' || x; end loop; end $$"
        )
        fill(database, messages)
        # Built at once, it is what it would have become row by row.
        conn.execute("create unique index messages_conversation_seq_key on public.messages (conversation_id, seq)")
        conn.execute("vacuum analyze public.messages")


def timelines(scale: int, rounds: int, folder: Path | None) -> bool:
    """The newest page and one from the middle, of a conversation among many."""
    page = "select public.conversation_timeline_json(%s, %s, 50)"
    with server(folder=folder and folder / "small") as small, server(folder=folder and folder / "large") as large:
        for database, messages in ((small, 100_000), (large, scale)):
            grow(database, messages)
        if not rounds:
            return True
        ratios: list[float] = []
        with psycopg.connect(small.url("loom_api")) as one, psycopg.connect(large.url("loom_api")) as other:
            for conn in (one, other):
                conn.execute(ACT, [claims(READER)])
            for turn in range(rounds):
                for before in (LENGTH + 1, LENGTH // 2):
                    params: list[object] = [uid("conversation", 1), before]
                    times = [timed(conn, page, params) for conn in (one, other)]
                    ratios.append(times[1] / times[0])
                    say(f"round {turn + 1}: page before {before}: {times[0]:.2f} ms and {times[1]:.2f} ms")
    ratio = statistics.median(ratios)
    say(
        f"page of 50 at {scale:,} messages / at 100,000: {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}),"
        f" budget 1.30: {'holds' if ratio <= 1.3 else 'MISSED'}"
    )
    return ratio <= 1.3


def unread(rounds: int) -> bool:
    """Two hundred conversations of one person, 500 messages in each of which five are unread."""
    with server() as database:
        fill(database, 200 * LENGTH)
        with psycopg.connect(database.url("postgres"), autocommit=True) as conn:
            conn.execute(
                "insert into public.conversation_participants (conversation_id, user_id, role, last_read_seq)"
                " select id, %s, 'member', %s from public.conversations on conflict do nothing",
                [READER, LENGTH - 5],
            )
            conn.execute("vacuum analyze")
        ours: list[float] = []
        plain: list[float] = []
        with psycopg.connect(database.url("loom_api")) as conn:
            conn.execute(ACT, [claims(READER)])
            for _ in range(rounds):
                ours.append(timed(conn, "select public.unread_json()", []))
                plain.append(
                    timed(
                        conn,
                        "select p.conversation_id, count(*) from public.conversation_participants as p"
                        " join public.messages as m on m.conversation_id = p.conversation_id"
                        " and m.seq > p.last_read_seq and m.sender_id <> p.user_id group by 1",
                        [],
                        20,
                    )
                )
    figure, baseline = statistics.median(ours), statistics.median(plain)
    say(f"unread counts of 200 conversations: {figure:.2f} ms, counted one by one {baseline:.2f} ms")
    say(f"{figure / baseline:.2f} of the plain count; budget under 10 ms: {'holds' if figure < 10 else 'MISSED'}")
    return figure < 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=10_000_000, help="messages of the larger timeline")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measure of sends in each round")
    parser.add_argument("--folder", type=Path, help="keep the servers of the timelines there, to measure them again")
    parser.add_argument("--only", choices=["sends", "timelines", "unread"])
    parser.add_argument("--flood", nargs=2, metavar=("ADDRESS", "SECONDS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.flood:
        targets = [(path, token) for path, token in json.load(sys.stdin)]
        sys.stdout.write(f"{uvloop.run(flood(asked.flood[0], targets, float(asked.flood[1]))):.1f}\n")
        return
    say(machine())
    parts = {
        "sends": lambda: sends(asked.rounds, asked.seconds),
        "unread": lambda: unread(asked.rounds),
        "timelines": lambda: timelines(asked.scale, asked.rounds, asked.folder),
    }
    held = [part() for name, part in parts.items() if asked.only in {None, name}]
    sys.exit(not all(held))


if __name__ == "__main__":
    main()
