"""Stripe's lists, read by the client: what can't be read in one place keeps nobody from the rest."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from loom.providers.payments.stripe_gateway import StripeGateway


def event(name: str, **more: Any) -> dict[str, Any]:
    told = {"id": "pi_1", "object": "payment_intent", "metadata": {}}
    kind = "payment_intent.succeeded"
    return {"id": name, "object": "event", "type": kind, "created": 1, "data": {"object": told}} | more


@pytest.mark.parametrize("odd", [{"data": None}, {"data": {}}, {"created": "soon"}, {"created": 1e300}], ids=str)
def test_an_event_that_can_not_be_read_keeps_nobody_from_the_others(odd: dict[str, Any]) -> None:
    told = [event("evt_3"), event("evt_2", **odd), event("evt_1")]
    page = {"object": "list", "data": told, "has_more": False, "url": "/v1/events"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=page))

    async def read() -> list[str]:
        async with httpx.AsyncClient(transport=transport) as http:
            gateway = StripeGateway("http://gateway", "sk_test_x", http)
            return [one.event_id async for one in gateway.list_hints(datetime(2026, 3, 5, tzinfo=UTC))]

    assert asyncio.run(read()) == ["evt_3", "evt_1"]
