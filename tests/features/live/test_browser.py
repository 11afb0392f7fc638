"""The stream in a real browser: its own EventSource, which keeps the last id and comes back by itself."""

from __future__ import annotations

from typing import Any

import httpx
from fastapi import FastAPI
from playwright.async_api import Page
from psycopg.conninfo import conninfo_to_dict

from tests.features.live.conftest import Bearer, Ring
from tests.features.live.streams import serving
from tests.features.messaging.world import World, one, post
from tests.support.acting import AsUser
from tests.support.browser import browsing
from tests.support.proxy import door

LISTEN = """ticket => {
  window.heard = []
  const stream = new EventSource(`/v1/live?ticket=${ticket}`)
  for (const kind of ["ready", "reset", "message.created", "conversation.left"])
    stream.addEventListener(kind, event => heard.push({kind, id: event.lastEventId, data: JSON.parse(event.data)}))
}"""


async def heard(page: Page, text: str) -> list[dict[str, Any]]:
    """All that the page heard, once it has heard a message of that text."""
    await page.wait_for_function("text => heard.some(event => event.data.content === text)", arg=text)
    return await page.evaluate("heard")


async def test_a_browser_streams_is_cut_and_goes_on_where_it_was(
    app: FastAPI, world: World, as_user: AsUser, bearer: Bearer, ring: Ring
) -> None:
    with as_user(world.coach) as conn:
        short = one(conn, "select id from public.create_group_conversation('Short', %s)", [world.dana])
    async with serving(app) as address, door(_conninfo(address)) as front, browsing() as browser:
        async with httpx.AsyncClient(base_url=address) as http:
            ticket = (await http.post("/v1/live/tickets", headers=bearer(world.dana))).json()["ticket"]
        page = await browser.new_page()
        await page.route("**/page", lambda route: route.fulfill(body="<p>", content_type="text/html"))
        await page.goto(f"http://127.0.0.1:{conninfo_to_dict(front.url)['port']}/page")
        await page.evaluate(LISTEN, ticket)
        await page.wait_for_function("heard.some(event => event.kind === 'ready')")
        post(as_user, world.coach, world.group, "streamed")
        ring()
        before = await heard(page, "streamed")

        await front.shut()
        for number in range(3):
            post(as_user, world.coach, world.group, f"missed {number}")
        await front.open()
        after = await heard(page, "missed 2")
        assert after[: len(before)] == before
        # What was written just before it came back may come after `ready`.
        come = [event["data"]["content"] for event in after[len(before) :] if event["kind"] == "message.created"]
        assert come == ["missed 0", "missed 1", "missed 2"]

        post(as_user, world.coach, short, "with dana")
        ring()
        await heard(page, "with dana")
        with as_user(world.coach) as conn:
            conn.execute("select public.remove_from_conversation(%s, %s)", [short, world.dana])
            conn.execute("select public.post_message(%s, 'without dana')", [short])
        post(as_user, world.coach, world.group, "marker")
        ring()
        told = await heard(page, "marker")
        assert [event["data"] for event in told if event["kind"] == "conversation.left"] == [{"id": str(short)}]
        said = [event["data"]["content"] for event in told if event["kind"] == "message.created"]
        assert said == ["streamed", "missed 0", "missed 1", "missed 2", "with dana", "marker"]
        assert [event["kind"] for event in told].count("reset") == 0
        places = [event["id"] for event in told]
        assert all(places), "each has a place to come back to"


def _conninfo(address: str) -> str:
    host, _, port = address.removeprefix("http://").partition(":")
    return f"host={host} port={port}"
