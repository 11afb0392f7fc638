"""Bells that do not ring, and transactions that are taken back."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.features.live.conftest import Bearer, Listen
from tests.features.messaging.world import Connection, World, one, post
from tests.support.acting import AsUser


async def test_without_any_bell_it_comes_late_and_is_not_lost(
    world: World, listen: Listen, server: str, bearer: Bearer, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    doorbell = app.state.services.database.doorbell

    async def deaf(*_: Any) -> None: ...

    monkeypatch.setattr(doorbell, "say", deaf)
    dana = listen(world.dana)
    await dana.connect()
    async with httpx.AsyncClient(base_url=server) as http:
        for number in range(20):
            answer = await http.post(
                f"/v1/conversations/{world.group}/messages", json={"content": f"{number}"}, headers=bearer(world.coach)
            )
            assert answer.status_code == 201, answer.text
    await dana.kind("message.created", 20)
    assert [e.data["content"] for e in dana.events if e.kind == "message.created"] == [f"{n}" for n in range(20)]


async def test_a_rolled_back_fifth_tells_nothing(
    world: World, listen: Listen, as_user: AsUser, owner: Connection
) -> None:
    dana = listen(world.dana)
    await dana.connect()
    kept: list[str] = []
    for number in range(100):
        try:
            with as_user(world.coach) as conn:
                conn.execute("select public.post_message(%s, %s)", [world.group, f"r{number}"])
                if number % 5 == 0:
                    raise ZeroDivisionError
            kept.append(f"r{number}")
        except ZeroDivisionError:
            pass
    await dana.kind("message.created", 80)
    post(as_user, world.coach, world.group, "end")
    await dana.kind("message.created", 81)
    assert [e.data["content"] for e in dana.events if e.kind == "message.created"] == [*kept, "end"]
    assert one(owner, "select count(*) from public.messages where content like 'r%%'") == 80
