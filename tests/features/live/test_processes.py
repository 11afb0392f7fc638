"""Two API processes on one database: what is said to one is heard at the other."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from loom.core.settings import Settings
from loom.db.database import Database
from loom.web.app import create_app
from tests.features.live.conftest import Bearer, Listen
from tests.features.live.streams import Client, serving
from tests.features.messaging.world import World


@pytest.fixture
async def elsewhere(api_url: str, settings: Settings) -> AsyncIterator[str]:
    """The address of another one, with connections of its own."""
    async with await Database.open(api_url) as database, serving(create_app(settings, database)) as address:
        yield address


async def test_messages_and_typing_go_from_process_to_process(
    world: World, listen: Listen, server: str, elsewhere: str, bearer: Bearer
) -> None:
    here, there = listen(world.coach), Client(elsewhere, bearer(world.coach))
    for client in (here, there):
        await client.connect()
    path = f"/v1/conversations/{world.group}"
    for address in (server, elsewhere):
        async with httpx.AsyncClient(base_url=address, headers=bearer(world.dana)) as http:
            assert (await http.post(f"{path}/typing", json={"typing": True})).status_code == 204
            assert (await http.post(f"{path}/messages", json={"content": address})).status_code == 201
    for client in (here, there):
        first, second = await client.kind("message.created"), await client.kind("message.created", 2)
        assert [first.data["content"], second.data["content"]] == [server, elsewhere]
        assert (await client.kind("typing", 2)).data["user_id"] == str(world.dana)
    # A place is one in the log, whoever named it.
    await there.drop()
    there.base_url = server
    there.last_id = here.events[0].id
    there.events.clear()
    await there.connect()
    assert [event.data.get("content") for event in there.events] == [server, elsewhere, None]
    await there.drop()
