"""Clients that take too little, and clients that take too much."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import socket
from collections.abc import Iterator
from uuid import uuid4

import pytest
from fastapi import FastAPI

from loom.features.live import stream
from loom.features.live.stream import MOST_WAITING, Stream
from tests.features.live.conftest import Bearer, Listen, Ring
from tests.features.live.streams import Client, serving
from tests.features.messaging.world import World, post
from tests.support.acting import AsUser

THOUSAND = 1000


async def until_open(app: FastAPI, count: int) -> None:
    """Waits until so many streams are left."""
    async with asyncio.timeout(20):
        while app.state.live.streams > count:  # noqa: ASYNC110 - another task's state
            await asyncio.sleep(0.02)


def test_what_waits_for_a_client_is_bounded() -> None:
    one = Stream(uuid4(), 0.0)
    for number in range(MOST_WAITING):
        one.push((1, number), b"event")
    assert not one.closed
    one.push((2, 0), b"one more")
    assert one.closed
    assert one.idle, "what was waiting takes no more memory"


async def test_a_slow_reader_is_cut_and_catches_up(
    app: FastAPI, world: World, as_user: AsUser, bearer: Bearer, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read after `ready`, and the buffers on the way are small: sending has to wait until it gives up."""
    monkeypatch.setattr(stream, "_SEND_SECONDS", 0.3)
    headers = bearer(world.dana)
    asked = f"GET /v1/live HTTP/1.1\r\nhost: loom\r\nauthorization: {headers['Authorization']}\r\n\r\n"
    async with serving(app, send_buffer=4096) as address:
        reader, writer = await small_door(address)
        writer.write(asked.encode())
        while b"event: ready" not in await reader.readuntil(b"\n\n"):
            pass
        sent = 0
        while app.state.live.streams and sent < 2000:
            await asyncio.to_thread(post, as_user, world.coach, world.group, f"{sent} " + "long " * 1500)
            ring()
            sent += 1
        assert app.state.live.streams == 0, "it was cut"
        # What was on its way arrives; the rest does not.
        text = (await reader.read(-1)).decode()
        writer.close()
        whole = text[: text.rfind("\n\n") + 2]
        heard = [int(number) for number in re.findall(r'"content" ?: ?"(\d+) long', whole)]
        assert heard == list(range(len(heard)))
        assert 0 < len(heard) < sent
        again = Client(address, headers, last_id=re.findall(r"^id: (\S+)$", whole, re.MULTILINE)[-1])
        await again.connect()
        await again.kind("message.created", sent - len(heard))
        rest = [int(event.data["content"].split()[0]) for event in again.events if event.kind == "message.created"]
        assert heard + rest == list(range(sent))
        assert "reset" not in again.kinds()
        await again.drop()


async def small_door(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection with small buffers, which is not read by itself."""
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    door.setblocking(False)
    host, _, port = address.removeprefix("http://").partition(":")
    await asyncio.get_running_loop().sock_connect(door, (host, int(port)))
    return await asyncio.open_connection(sock=door, limit=2048)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of the connections are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * THOUSAND
    assert hard == resource.RLIM_INFINITY or hard >= wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if soft != resource.RLIM_INFINITY else soft, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
async def test_a_thousand_streams_opened_at_once_by_one_person(
    world: World, listen: Listen, server: str, bearer: Bearer, app: FastAPI, as_user: AsUser, ring: Ring
) -> None:
    host, _, port = server.removeprefix("http://").partition(":")
    asked = f"GET /v1/live HTTP/1.1\r\nhost: loom\r\nauthorization: {bearer(world.stranger)['Authorization']}\r\n\r\n"

    async def knock() -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(asked.encode())
        return await reader.readuntil(b"\r\n\r\n"), reader, writer

    answers = await asyncio.gather(*(knock() for _ in range(THOUSAND)))
    open_ones = [answer for answer in answers if answer[0].startswith(b"HTTP/1.1 200")]
    refused = [answer for answer in answers if answer[0].startswith(b"HTTP/1.1 429")]
    assert (len(open_ones), len(refused)) == (20, THOUSAND - 20)
    assert app.state.live.streams == 20
    head, reader, _ = refused[0]
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    problem = json.loads(await reader.readexactly(int(length[1])))
    assert problem["code"] == "too_many_streams"
    assert b"retry-after: 30\r\n" in head
    # Nobody else is worse off.
    dana = listen(world.dana)
    await dana.connect()
    post(as_user, world.coach, world.group, "still there")
    ring()
    await dana.kind("message.created")
    await dana.drop()
    for _, _, writer in answers:
        writer.close()
    await until_open(app, 0)
    again = listen(world.stranger)
    await again.connect()
    assert again.kinds() == ["ready"]
