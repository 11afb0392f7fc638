"""Packages and credits over HTTP, from the offer to what is left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.credits import tasks
from loom.jobs.registry import JobContext
from tests.features.billing.world import World, person
from tests.features.credits.cards import book, give, template

Bearer = Callable[[Any], dict[str, str]]


async def test_from_the_offer_to_what_is_left(client: httpx.AsyncClient, bearer: Bearer, world: World) -> None:
    coach, payer = bearer(world.coach), bearer(world.client)
    offer = template(world)
    said = {"template_id": str(offer), "title": "Ten", "sessions": 10, "price_cents": 300000, "currency": "ILS"}
    made = await client.post("/v1/packages", json=said | {"valid_days": 365}, headers=coach)
    assert made.status_code == 201
    package = made.json()
    assert (await client.get(f"/v1/packages/{package['id']}", headers=payer)).json() == package
    draft = await client.post("/v1/invoices", json={"client_id": str(world.client), "lines": []}, headers=coach)
    sold = await client.post(
        f"/v1/invoices/{draft.json()['id']}/packages", json={"package_id": package["id"]}, headers=coach
    )
    assert (sold.status_code, sold.json()["balance"], sold.json()["entries"]) == (201, 0, [])
    invoice = (await client.post(f"/v1/invoices/{draft.json()['id']}/finalize", headers=coach)).json()
    assert invoice["total_amount_cents"] == 300000
    early = await client.post(f"/v1/credits/{sold.json()['id']}/move", json={"change": 1, "reason": "x"}, headers=coach)
    assert early.json()["code"] == "credits_not_granted"
    paid = {"invoice_id": invoice["id"], "amount_cents": 300000, "method": "cash"}
    assert (await client.post("/v1/payments", json=paid, headers=coach)).status_code == 201
    book(world, offer)
    mine = (await client.get(f"/v1/credits/{sold.json()['id']}", headers=payer)).json()
    assert (mine["balance"], mine["usable"], mine["client_id"]) == (9, 9, str(world.client))
    assert [(entry["change"], entry["reason"]) for entry in mine["entries"]] == [(10, "granted"), (-1, "spent")]
    listed = (await client.get("/v1/credits", headers=payer)).json()["items"]
    assert [item["id"] for item in listed] == [mine["id"]]
    moved = await client.post(
        f"/v1/credits/{mine['id']}/move", json={"change": -9, "reason": "moved away"}, headers=coach
    )
    assert (moved.json()["balance"], moved.json()["entries"][-1]["note"]) == (0, "moved away")
    more = await client.post(f"/v1/credits/{mine['id']}/move", json={"change": -1, "reason": "x"}, headers=coach)
    assert (more.status_code, more.json()["code"]) == (409, "credits_used_up")


async def test_a_package_is_changed_and_taken_off(client: httpx.AsyncClient, bearer: Bearer, world: World) -> None:
    coach, stranger = bearer(world.coach), bearer(person(world.owner, "client"))
    said = {
        "template_id": str(template(world)),
        "title": "Five",
        "sessions": 5,
        "price_cents": 100,
        "currency": "ILS",
        "valid_days": 30,
    }
    package = (await client.post("/v1/packages", json=said, headers=coach)).json()
    changed = await client.patch(f"/v1/packages/{package['id']}", json={"price_cents": 200}, headers=coach)
    assert (changed.json()["price_cents"], changed.json()["valid_days"]) == (200, 30)
    changed = await client.patch(f"/v1/packages/{package['id']}", json={"valid_days": None}, headers=coach)
    assert changed.json()["valid_days"] is None
    refused = await client.patch(f"/v1/packages/{package['id']}", json={"price_cents": 1}, headers=stranger)
    assert refused.json()["code"] == "not_found"
    await client.patch(f"/v1/packages/{package['id']}", json={"is_active": False}, headers=coach)
    assert (await client.get(f"/v1/packages/{package['id']}", headers=stranger)).status_code == 404
    assert (await client.get(f"/v1/packages/{package['id']}", headers=coach)).status_code == 200
    for change in ({"sessions": 0}, {"price_cents": -1}, {"currency": "shekel"}, {"spent_at": "never"}, {"title": " "}):
        assert (await client.post("/v1/packages", json=said | change, headers=coach)).status_code == 422
    unknown = await client.post("/v1/packages", json=said | {"currency": "ZZZ"}, headers=coach)
    assert unknown.json()["code"] == "currency_unknown"
    for who in (stranger, bearer(person(world.owner, "coach"))):
        assert (await client.post("/v1/packages", json=said, headers=who)).status_code == 404


async def test_credits_of_others_are_not_found(client: httpx.AsyncClient, bearer: Bearer, world: World) -> None:
    credit = give(world, template(world), 2)
    for who in (person(world.owner, "client"), person(world.owner, "coach")):
        for credit_id in (credit, uuid4()):
            answer = await client.get(f"/v1/credits/{credit_id}", headers=bearer(who))
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert (await client.get("/v1/credits", headers=bearer(who))).json()["items"] == []


async def test_gifts_ends_and_seats_by_hand(
    client: httpx.AsyncClient, bearer: Bearer, world: World, db: Database, settings: Settings
) -> None:
    coach, offer = bearer(world.coach), template(world)
    _, seat = book(world, offer)
    gift = {"coach_client_id": str(world.relation), "template_id": str(offer), "sessions": 2, "reason": "welcome"}
    given = (await client.post("/v1/credits", json=gift, headers=coach)).json()
    assert (given["balance"], given["entries"][0]["note"]) == (2, "welcome")
    assert (await client.post("/v1/credits", json=gift, headers=bearer(world.client))).status_code == 404
    spent = await client.post(f"/v1/attendees/{seat}/spend-credit", headers=coach)
    assert spent.json()["balance"] == 1
    until = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    extended = await client.post(f"/v1/credits/{given['id']}/extend", json={"expires_at": until}, headers=coach)
    assert extended.json()["expires_at"] is not None
    world.owner.execute("update public.credits set expires_at = now() - interval '8 days' where id = %s", [given["id"]])
    over = (await client.get(f"/v1/credits/{given['id']}", headers=coach)).json()
    assert (over["balance"], over["usable"]) == (1, 0)
    await tasks.expire(JobContext(db, settings), timestamp=0)
    over = (await client.get(f"/v1/credits/{given['id']}", headers=coach)).json()
    assert (over["balance"], over["entries"][-1]["reason"]) == (0, "expired")
