"""The third door: what `matrix.csv` says of public.live_feed is what each person hears, of the past and of now."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI

from tests.features.live.streams import Client, serving
from tests.policies.cells import load_matrix
from tests.policies.stage import Stage
from tests.support.cluster import Cluster

Bearer = Callable[[Any], dict[str, str]]

PEOPLE = [
    name for (table, name) in load_matrix() if table == "public.live_feed" and name not in {"anon", "service", "owner"}
]
COPY = """
insert into public.live_events (
  kind, scope, conversation_id, message_seq, message_id, session_id, invoice_id, notification_id, user_id, coach_id,
  practice_id, detail)
select
  kind, scope, conversation_id, message_seq, message_id, session_id, invoice_id, notification_id, user_id, coach_id,
  practice_id, detail
from public.live_events order by id
"""
# The last thing that each of them hears, so that what comes before it has come.
END = """
insert into public.live_events (kind, scope, conversation_id, user_id, detail)
select 'conversation.left', 'person', gen_random_uuid(), person, '{"label": "end"}' from unnest(%s::uuid[]) as person
returning user_id, id
"""
EXPECTED = {name: set(load_matrix()["public.live_feed", name]["select"].split()) - {"-"} for name in PEOPLE}


@pytest.fixture(scope="module", autouse=True)
def epoch(cluster: Cluster, database_name: str) -> str:
    """The log's. In a copied database it is emptied when it is first opened: that must be before the world is made."""
    with psycopg.connect(cluster.url(database_name, "postgres"), autocommit=True) as conn:
        row = conn.execute("select epoch from private.open_live()").fetchone()
    assert row is not None
    return row[0]


async def until_told(client: Client, number: int) -> None:
    """Waits for an event, or for the end of the connection: who is suspended is told nothing at all."""
    heard = asyncio.ensure_future(client.wait_for(lambda event: event.id is not None and event.number == number))
    ended = asyncio.ensure_future(client.ended())
    _, waiting = await asyncio.wait({heard, ended}, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(heard, ended, return_exceptions=True)


def labels(stage: Stage, client: Client) -> set[str]:
    """What it heard, by the names that the world gives to events."""
    numbers = [event.number for event in client.events if event.kind not in {"ready", "reset"}]
    found = stage.conn.execute(
        "select detail ->> 'label' from public.live_events where id = any (%s)", [numbers]
    ).fetchall()
    assert len(found) == len(numbers), "nothing comes twice"
    return {row[0] for row in found}


async def test_each_hears_of_the_past_what_the_matrix_shows(
    app: FastAPI, bearer: Bearer, stage: Stage, epoch: str
) -> None:
    async with serving(app) as address:
        for name in PEOPLE:
            client = Client(address, bearer(stage.world.id(name)), last_id=f"{epoch}-0-0")
            await client.connect()
            assert labels(stage, client) == EXPECTED[name], name
            await client.drop()


async def test_each_hears_as_it_happens_what_the_matrix_shows(app: FastAPI, bearer: Bearer, stage: Stage) -> None:
    async with serving(app) as address:
        clients = {name: Client(address, bearer(stage.world.id(name))) for name in PEOPLE}
        for client in clients.values():
            await client.connect()
        before = stage.conn.execute("select max(id) from public.live_events").fetchone()
        assert before is not None
        try:
            stage.conn.execute(COPY)
            ends = dict(stage.conn.execute(END, [[stage.world.id(name) for name in PEOPLE]]).fetchall())
            for name, client in clients.items():
                await until_told(client, ends[stage.world.id(name)])
                assert labels(stage, client) - {"end"} == EXPECTED[name], name
                await client.drop()
        finally:
            stage.conn.execute("delete from public.live_events where id > %s", before)
