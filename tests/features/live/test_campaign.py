"""The reconnect campaign: many clients, and everything between them and the database killed again and again.

In full (`--campaign`): 200 clients, 30,000 messages. Otherwise 40 clients, 3,000 messages in a minute.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from loom.core.settings import Settings
from loom.db.embedded import EmbeddedServer
from loom.db.migrate import migrate
from loom.web.app import create_app
from tests.features.live.streams import Client
from tests.features.messaging.world import make_person, one, relate, rows
from tests.support.acting import acting
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[3]
GROUP_SIZE = 10


@dataclass(frozen=True)
class Size:
    """How much of it."""

    clients: int
    messages: int
    seconds: float


@dataclass
class Killed:
    """How often each kind was."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("api", "worker", "listener", "postgres"), 0))


class Part:
    """A process of Loom's that is killed and started anew."""

    def __init__(self, *arguments: str, env: dict[str, str]) -> None:
        self.arguments, self.env = arguments, env
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "loom", *self.arguments],
            cwd=ROOT, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process = self._start()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def free_ports(count: int) -> list[int]:
    """Below those that the kernel gives out by itself: a server takes its port later, and again after it was killed."""
    import socket

    ports: list[int] = []
    for port in random.sample(range(20_000, 30_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise AssertionError("no port is free")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(tmp_path / "data") as started:
        migrate(started.url("postgres"))
        yield started


class Writers:
    """People who write, from threads: each message is tried until it is in, always with the same key."""

    def __init__(self, url: str, groups: dict[UUID, list[UUID]], count: int, seconds: float) -> None:
        self.url, self.groups, self.count, self.seconds = url, groups, count, seconds
        self.sent = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._write, args=(number, count // 2)) for number in range(2)]

    def _write(self, number: int, count: int) -> None:
        dice = random.Random(number)  # noqa: S311
        started = time.monotonic()
        conn: psycopg.Connection | None = None
        for turn in range(count):
            group = dice.choice(list(self.groups))
            sender, key = dice.choice(self.groups[group]), uuid4()
            while True:
                try:
                    conn = conn or psycopg.connect(self.url)
                    with conn.transaction():
                        conn.execute(
                            "select set_config('role', 'authenticated', true),"
                            " set_config('request.jwt.claims', %s, true)",
                            [json.dumps({"sub": str(sender)})],
                        )
                        conn.execute("select public.post_message(%s, %s, %s)", [group, f"{number}/{turn}", key])
                    break
                except psycopg.Error:
                    conn = None
                    time.sleep(0.05)  # PostgreSQL is away: it has been killed
            with self.lock:
                self.sent += 1
            ahead = started + self.seconds * (turn + 1) / count - time.monotonic()
            time.sleep(max(0.0, ahead))
        if conn is not None:
            conn.close()


async def read(client: Client, ports: list[int], dice: random.Random, done: asyncio.Event) -> None:
    """One client: goes to any process, loses its connection after two seconds or so, comes back with its last id."""
    while not done.is_set():
        client.base_url = f"http://127.0.0.1:{dice.choice(ports)}"
        with suppress(TimeoutError, httpx.HTTPError, OSError):
            async with asyncio.timeout(dice.expovariate(0.5)):
                await client.connect_once()
        await asyncio.sleep(dice.random() * 0.2)


async def destroy(
    apis: list[Part], worker: Part, server: EmbeddedServer, killed: Killed, stop: asyncio.Event, *, full: bool
) -> None:
    """Kills in turn, until it is stopped and each kind has been killed three times."""
    turn = 0
    while min(killed.counts.values()) < 3 or (full and not stop.is_set()):
        kind = ("listener", "api", "worker", "postgres")[turn % 4]
        if kind == "api":
            await asyncio.to_thread(apis[turn // 4 % len(apis)].kill)
        elif kind == "worker":
            await asyncio.to_thread(worker.kill)
        elif kind == "listener":
            with suppress(psycopg.Error), psycopg.connect(server.url("postgres"), autocommit=True) as conn:
                conn.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'loom listener'"
                )
        else:
            os.kill(server.pid, signal.SIGKILL)
            await asyncio.to_thread(until, server.revive, "PostgreSQL is there again", 180)
        killed.counts[kind] += 1
        turn += 1
        await asyncio.sleep(3.0)


async def test_nothing_is_lost_doubled_disordered_or_seen_by_others(
    server: EmbeddedServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    full = request.config.getoption("--campaign")
    size = Size(200, 30_000, 600.0) if full else Size(40, 3_000, 60.0)
    owner_url, api_url = server.url("loom_owner"), server.url("loom_api")
    people: list[UUID] = []
    groups: dict[UUID, list[UUID]] = {}
    with psycopg.connect(owner_url, autocommit=True, row_factory=dict_row) as owner:
        coach = make_person(owner, "Coach", "coach")
        people = [make_person(owner, f"Client{number}") for number in range(size.clients - 1)]
        for person in people:
            relate(owner, coach, person)
        for at in range(0, len(people), GROUP_SIZE):
            members = people[at : at + GROUP_SIZE]
            with acting(api_url, "authenticated", {"sub": str(coach)}) as conn:
                group = one(conn, "select id from public.create_group_conversation('Group', %s)", members)
            groups[group] = [coach, *members]
    env = {name: value for name, value in os.environ.items() if not name.startswith("LOOM_")} | {
        "LOOM_DATABASE_URL": api_url, "LOOM_DATA_DIR": str(tmp_path / "shared"), "LOOM_RATE_LIMITS": "false",
        "LOOM_PUBLIC_URL": "http://loom.test", "LOOM_ACCESS_TOKEN_MINUTES": "120",
    }  # fmt: skip
    settings = Settings(data_dir=tmp_path / "shared", public_url="http://loom.test", access_token_minutes=120)
    issuer = create_app(settings, "").state.issuer
    ports = free_ports(2)
    apis = [Part("serve", "--no-worker", "--port", str(port), env=env) for port in ports]
    worker = Part("worker", env=env)
    done, stop, killed = asyncio.Event(), asyncio.Event(), Killed()
    clients = {
        person: Client("", {"Authorization": f"Bearer {issuer.access_token(person, uuid4(), second_factor=False)}"})
        for person in [coach, *people]
    }
    writers = Writers(api_url, groups, size.messages, size.seconds)
    try:
        readers = [
            asyncio.create_task(read(client, ports, random.Random(number), done))  # noqa: S311
            for number, client in enumerate(clients.values())
        ]
        # Who has never been told where the stream stands has nothing to come back to.
        async with asyncio.timeout(180):
            while any(client.last_id is None for client in clients.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        destroyer = asyncio.create_task(destroy(apis, worker, server, killed, stop, full=full))
        for thread in writers.threads:
            thread.start()
        for thread in writers.threads:
            await asyncio.to_thread(thread.join)
        stop.set()
        await destroyer
        missing = await caught_up(api_url, clients)
        done.set()
        await asyncio.gather(*readers)
    finally:
        done.set()
        for part in (*apis, worker):
            part.end()
    assert missing == {}
    assert min(killed.counts.values()) >= 3
    heard = sum(judge(client) for client in clients.values())
    sys.stdout.write(
        f"{writers.sent} messages, {len(clients)} clients, {heard} deliveries,"
        f" {sum(client.connections for client in clients.values())} connections, killed {killed.counts}\n"
    )


def judge(client: Client) -> int:
    """Nothing twice, nothing out of order, no start anew; gives how many messages it heard."""
    places = [tuple(map(int, str(e.id).split("-")[1:])) for e in client.events if e.kind not in {"ready", "typing"}]
    assert "reset" not in client.kinds()
    assert places == sorted(set(places)), "an event came twice or out of order"
    seqs: dict[str, int] = {}
    count = 0
    for event in client.events:
        if event.kind == "message.created":
            conversation, seq = event.data["conversation_id"], event.data["seq"]
            assert seq > seqs.get(conversation, 0)
            seqs[conversation] = seq
            count += 1
    return count


async def caught_up(url: str, clients: dict[UUID, Client], seconds: float = 180.0) -> dict[UUID, int]:
    """Waits until each has heard what row-level security shows, no more and no less; who has not, and by how many."""
    visible: dict[UUID, set[str]] = {}
    for person in clients:
        with acting(url, "authenticated", {"sub": str(person)}) as conn:
            visible[person] = {str(row["id"]) for row in rows(conn, "select id from public.messages")}
    missing: dict[UUID, int] = {}
    for _ in range(int(seconds * 2)):
        missing = {
            person: len(visible[person] ^ {e.data["id"] for e in client.events if e.kind == "message.created"})
            for person, client in clients.items()
        }
        missing = {person: count for person, count in missing.items() if count}
        if not missing:
            break
        await asyncio.sleep(0.5)
    return missing
