"""Bells that do not ring, and transactions that are taken back."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from typing import Any

import httpx
import pytest

from tests.features.live.conftest import Bearer, Listen
from tests.features.messaging.world import Connection, World, one, post
from tests.support.acting import AsUser


async def test_without_any_bell_it_comes_late_and_is_not_lost(
    world: World,
    listen: Listen,
    server: str,
    bearer: Bearer,
    app: Any,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """In full for a minute; how late is told, not judged: another machine is slower."""
    full = request.config.getoption("--campaign")
    doorbell = app.state.services.database.doorbell

    async def deaf(*_: Any) -> None: ...

    monkeypatch.setattr(doorbell, "say", deaf)
    dana = listen(world.dana)
    await dana.connect()
    sent: list[float] = []
    end = time.monotonic() + 60
    async with httpx.AsyncClient(base_url=server) as http:
        while len(sent) < 20 or (full and time.monotonic() < end):
            body = {"content": f"{len(sent)}"}
            path = f"/v1/conversations/{world.group}/messages"
            answer = await http.post(path, json=body, headers=bearer(world.coach))
            assert answer.status_code == 201, answer.text
            sent.append(time.time())
            await asyncio.sleep(0.05 if full else 0)
    await dana.kind("message.created", len(sent))
    heard = [event for event in dana.events if event.kind == "message.created"]
    assert [event.data["content"] for event in heard] == [f"{n}" for n in range(len(sent))]
    late = [event.heard_at - moment for event, moment in zip(heard, sent, strict=True)]
    if full:
        p99 = statistics.quantiles(late, n=100)[98]
        sys.stdout.write(f"{len(sent)} messages without a bell, p99 {p99:.2f} s, longest {max(late):.2f} s\n")


async def test_a_rolled_back_fifth_tells_nothing(
    world: World, listen: Listen, as_user: AsUser, owner: Connection, request: pytest.FixtureRequest
) -> None:
    """In full 5,000."""
    count = 5000 if request.config.getoption("--campaign") else 100

    def write() -> list[str]:
        kept: list[str] = []
        for number in range(count):
            try:
                with as_user(world.coach) as conn:
                    conn.execute("select public.post_message(%s, %s)", [world.group, f"r{number}"])
                    if number % 5 == 0:
                        raise ZeroDivisionError
                kept.append(f"r{number}")
            except ZeroDivisionError:
                pass
        return kept

    dana = listen(world.dana)
    await dana.connect()
    kept = await asyncio.to_thread(write)
    await dana.kind("message.created", len(kept))
    post(as_user, world.coach, world.group, "end")
    await dana.kind("message.created", len(kept) + 1)
    assert [e.data["content"] for e in dana.events if e.kind == "message.created"] == [*kept, "end"]
    assert one(owner, "select count(*) from public.messages where content like 'r%%'") == len(kept)
