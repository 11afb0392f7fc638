"""Guarantees under trouble: sends repeated and answers lost, transactions taken back, workers killed at every step.

A small version runs always; `--campaign` runs it in full.
"""

from __future__ import annotations

import asyncio
import random
import socket
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
import uvicorn
from aiosmtpd.smtp import SMTP
from fastapi import FastAPI

from loom.core.settings import Settings
from loom.web.app import create_app
from tests.features.messaging.office import Office
from tests.features.messaging.world import Connection, World, make_person, one, relate, rows
from tests.support.acting import AsUser

POINTS = ("in lease", "after lease", "during data", "after 250", "before mark", "after mark")
REPEATING = {"after 250", "before mark"}


@pytest.fixture
def large(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--campaign"))


@pytest.fixture
def two_servers(api_url: str, settings: Settings) -> Iterator[list[str]]:
    """The API twice, on sockets and connections of its own each."""
    servers: list[tuple[uvicorn.Server, threading.Thread, socket.socket]] = []
    for _ in range(2):
        listening = socket.create_server(("127.0.0.1", 0))
        app: FastAPI = create_app(settings, api_url)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        servers.append((server, thread, listening))
    yield [f"http://127.0.0.1:{listening.getsockname()[1]}" for *_, listening in servers]
    for server, thread, listening in servers:
        server.should_exit = True
        thread.join()
        listening.close()


async def test_a_send_repeated_at_once_with_answers_lost_is_one_message(
    owner: Connection,
    as_user: AsUser,
    world: World,
    two_servers: list[str],
    bearer: Callable[[UUID | str], dict[str, str]],
    large: bool,
) -> None:
    sends, repeats = (1000, 5) if large else (60, 5)
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Repeated', %s)", [world.dana])
    dice = random.Random(1)  # noqa: S311 - a run that can be told again
    headers = bearer(world.coach)
    lost = 0

    async def send(http: httpx.AsyncClient, body: dict[str, Any], drop: bool) -> None:
        nonlocal lost
        if not drop:
            assert (await http.post(f"/v1/conversations/{group}/messages", json=body)).status_code == 201
            return
        # The server does its work; the answer is never read.
        async with http.stream("POST", f"/v1/conversations/{group}/messages", json=body):
            lost += 1

    limits = httpx.Limits(max_connections=20)
    async with (
        httpx.AsyncClient(base_url=two_servers[0], headers=headers, limits=limits, timeout=60) as one_server,
        httpx.AsyncClient(base_url=two_servers[1], headers=headers, limits=limits, timeout=60) as other_server,
    ):
        bodies = [{"content": f"message {number}", "client_message_id": str(uuid4())} for number in range(sends)]
        for start in range(0, sends, 20):
            await asyncio.gather(
                *(
                    send((one_server, other_server)[turn % 2], body, dice.random() < 0.3)
                    for body in bodies[start : start + 20]
                    for turn in range(repeats)
                )
            )
        # The whole of it once more, as a client that was away for a day would.
        for start in range(0, sends, 20):
            await asyncio.gather(*(send(one_server, body, False) for body in bodies[start : start + 20]))
    found = rows(owner, "select seq, content from public.messages where conversation_id = %s order by seq", group)
    assert [row["seq"] for row in found] == list(range(1, sends + 1))
    assert Counter(row["content"] for row in found) == Counter(body["content"] for body in bodies)
    assert lost > sends * repeats * 0.2
    assert one(owner, "select count(*) from public.message_deliveries where conversation_id = %s", group) == sends * 3


def test_what_is_taken_back_leaves_nothing_behind(
    owner: Connection, as_user: AsUser, world: World, large: bool, api_url: str
) -> None:
    sends, senders = (5000, 4) if large else (200, 4)
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Taken back', %s)", [world.dana, world.amir])
    kept: list[str] = []

    def run(number: int) -> None:
        dice = random.Random(number)  # noqa: S311
        with psycopg.connect(api_url) as conn:
            for turn in range(sends // senders):
                text = f"{number}/{turn}"
                conn.execute(
                    "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
                    [f'{{"sub": "{world.coach}"}}'],
                )
                conn.execute("select public.post_message(%s, %s)", [group, text])
                if dice.random() < 0.2:
                    conn.rollback()
                else:
                    conn.commit()
                    kept.append(text)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = rows(owner, "select seq, content from public.messages where conversation_id = %s order by seq", group)
    assert {row["content"] for row in found} == set(kept)
    assert len(kept) < sends
    # No gap where something was taken back, no delivery of it, and everybody counts what is there.
    assert [row["seq"] for row in found] == list(range(1, len(kept) + 1))
    assert one(owner, "select count(*) from public.message_deliveries where conversation_id = %s", group) == 6 * len(
        kept
    )
    with as_user(world.dana) as conn:
        unread = one(conn, "select public.unread_json()")["items"]
    assert next(item["unread"] for item in unread if item["conversation_id"] == str(group)) == len(kept)


class Sink:
    """A mail server that remembers what it took over."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        line = next(line for line in envelope.content.split(b"\r\n") if line.lower().startswith(b"message-id:"))
        self.taken[line.decode().partition(":")[2].strip()] += 1
        return "250 2.0.0 queued"


@asynccontextmanager
async def serving(sink: Sink) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(sink, hostname="localhost"), "127.0.0.1", 0)
    async with server:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_workers_killed_at_every_step_lose_nothing_and_repeat_only_where_they_must(
    owner: Connection, as_user: AsUser, world: World, office: Office, api_url: str, tmp_path: Path, large: bool
) -> None:
    deaths = 200 if large else 3
    person = make_person(owner, "Recipient")
    relate(owner, world.coach, person)
    # Only mail, and a conversation for each message: so each death is that of one mail.
    owner.execute("update public.notification_preferences set push_enabled = false where user_id = %s", [person])
    sink = Sink()
    report: dict[str, tuple[int, int]] = {}
    script = Path(__file__).with_name("dying_workers.py")
    async with serving(sink) as smtp:
        runner = await asyncio.create_subprocess_exec(
            sys.executable, str(script), api_url, str(tmp_path), smtp,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert runner.stdin is not None
        assert runner.stdout is not None
        for point in POINTS:
            sink.taken.clear()
            messages: list[UUID] = []
            for _ in range(deaths):
                with as_user(world.coach) as conn:
                    group = one(conn, "select id from public.create_group_conversation('Dying', %s)", [person])
                    messages.append(one(conn, "select id from public.post_message(%s, %s)", group, point))
                runner.stdin.write(f"{point}\n".encode())
                await runner.stdin.drain()
                assert await runner.stdout.readline() == b"killed\n"
            # Every lease of the dead runs out, and a worker that lives takes over.
            owner.execute(
                "update public.message_deliveries set next_attempt_at = now(), lease_until = now()"
                " where state = 'leased'"
            )
            alive = office.with_mailer(office.smtp(smtp))
            while await alive.work_once():
                pass
            ended = rows(
                owner,
                "select private.mail_key(id) as mail_key, state, attempts from public.message_deliveries"
                " where message_id = any (%s) and channel = 'email'",
                messages,
            )
            assert {row["state"] for row in ended} == {"sent"}, point
            ids = {f"<{row['mail_key']}@example.com>" for row in ended}
            # Nothing lost, nothing that was not ours; the same Message-ID where it went out twice.
            assert set(sink.taken) == ids, point
            repeats = sum(count - 1 for count in sink.taken.values())
            assert repeats == (deaths if point in REPEATING else 0), point
            assert max(sink.taken.values()) <= 2
            report[point] = (len(ids), repeats)
        runner.stdin.close()
        assert await runner.wait() == 0
    print(report)  # what a campaign is run for
