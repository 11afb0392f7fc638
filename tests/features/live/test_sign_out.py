"""Who signs out hears nothing more: not on the stream that is open, nor with its ticket."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import httpx
from fastapi import FastAPI

from loom.features.identity.service.secrets import hash_token
from tests.features.live.conftest import Listen
from tests.features.live.streams import Client
from tests.features.messaging.world import Connection, World, one, post
from tests.support.acting import AsUser

SECRET = "s" * 43


def sign_in(owner: Connection, person: UUID) -> UUID:
    """A sign-in as the issuer keeps it."""
    return one(
        owner,
        "insert into private.auth_sessions (user_id, refresh_token_hash, expires_at)"
        " values (%s, %s, now() + interval '1 day') returning id",
        person,
        hash_token(SECRET + str(time.time_ns())),
    )


async def test_signing_out_cuts_the_streams_of_that_sign_in_and_no_others(
    world: World, owner: Connection, as_user: AsUser, app: FastAPI, server: str, listen: Listen
) -> None:
    def stream(person: UUID, session_id: UUID) -> Client:
        client = listen(person)
        token = app.state.issuer.access_token(person, session_id, second_factor=False)
        client.headers = {"Authorization": f"Bearer {token}"}
        return client

    phone, laptop = sign_in(owner, world.dana), sign_in(owner, world.dana)
    owner.execute("update private.auth_sessions set refresh_token_hash = %s where id = %s", [hash_token(SECRET), phone])
    on_phone, on_laptop, others = (
        stream(world.dana, phone), stream(world.dana, laptop), stream(world.amir, sign_in(owner, world.amir)),
    )  # fmt: skip
    for client in (on_phone, on_laptop, others):
        await client.connect()
    async with httpx.AsyncClient(base_url=server) as http:
        ticket = (await http.post("/v1/live/tickets", headers=on_phone.headers)).json()["ticket"]
        other = (await http.post("/v1/live/tickets", headers=on_laptop.headers)).json()["ticket"]
        started = time.monotonic()
        answer = await http.post("/v1/auth/sign-out", json={"refresh_token": f"{phone.hex}.{SECRET}"})
        assert answer.status_code == 204, answer.text
    await on_phone.ended()
    assert on_phone.events[-1].kind == "end"
    assert on_phone.events[-1].data == {"reason": "signed_out"}
    post(as_user, world.coach, world.group, "after the sign-out")
    # The others go on, and the person's other devices know.
    for client in (on_laptop, others):
        await client.kind("message.created")
    assert (await on_laptop.kind("sign_in.ended")).data == {"id": str(phone)}
    assert "sign_in.ended" not in others.kinds()
    assert "message.created" not in on_phone.kinds()
    assert time.monotonic() - started < 30, "by itself it would have ended with its token, after a quarter of an hour"
    # Neither the token nor the ticket opens one that hears anything.
    again = stream(world.dana, phone)
    by_ticket = listen(world.dana)
    by_ticket.headers = {}
    async with asyncio.timeout(20):
        await again.connect_once()
        await by_ticket.connect_once(ticket=ticket)
    assert again.events == by_ticket.events == []
    good = listen(world.dana)
    good.headers = {}
    await good.connect_once_until_ready(ticket=other)
    assert good.kinds() == ["ready"]
