"""A gateway that is away for a day: nothing is lost, nothing happens twice, and one alert stands for all of it."""

from __future__ import annotations

import socket
from typing import Any
from uuid import UUID

import pytest

from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.features.billing.service import Billing
from tests.features.billing.test_crash_matrix import Operation, Till, settings
from tests.features.billing.world import World
from tests.support.sandbox import Sandbox

__all__ = ["settings"]

LOOKS_OF_A_DAY = 8


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def alerts(till: Till) -> list[str]:
    rows = till.world.owner.execute(
        "select kind from public.gateway_alerts where gateway_account_id = %s and closed_at is null",
        [till.world.account],
    ).fetchall()
    return [row["kind"] for row in rows]


def state(till: Till, table: str, row_id: UUID) -> str:
    return till.one(f"select status::text as v from public.{table} where id = %s", row_id)


@pytest.mark.parametrize("keys", [True, False])
def test_after_a_day_away_all_that_waited_is_done_once(
    world: World, sandbox: Sandbox, settings: Settings, api_url: str, nobody: str, keys: bool
) -> None:
    till = Till(world, sandbox, settings, api_url, keys=keys)
    paid = Operation(till, "refund")
    payment = till.one("select id as v from public.payments where invoice_id = %s and status = 'paid'", paid.invoice)
    away = settings.model_copy(update={"sandbox_url": nobody, "tranzila_url": nobody})
    till.settings = away
    coach, payer = Actor.user(world.coach), Actor.user(world.client)

    async def wish(database: Any) -> tuple[list[UUID], UUID]:
        """Two refunds, and an invoice that somebody begins to pay."""
        refunds = [
            await database.run(
                coach, lambda tx: tx.fetch_value("select public.request_refund(%(p)s, 1000, 'x')", {"p": payment})
            )
            for _ in range(2)
        ]
        for refund in refunds:
            await Billing(database, away).send_refund(refund)
        begin = "select public.begin_payment_intent(%(i)s)"
        intent = await database.run(payer, lambda tx: tx.fetch_value(begin, {"i": invoice}))
        await Billing(database, away).send_intent(intent)
        return refunds, intent

    invoice = world.issued(7000)
    refunds, intent = till.go(wish)
    till.janitor(LOOKS_OF_A_DAY)
    assert [state(till, "payment_refunds", refund) for refund in refunds] == ["processing", "processing"]
    assert state(till, "payment_intents", intent) == "requires_payment_method"
    assert alerts(till) == ["gateway_unreachable"]
    told = "select count(*) as v from public.notifications where user_id = %s and data ->> 'kind' = 'gateway_alert'"
    assert till.one(told, world.coach) == 1
    waits = "select count(*) as v from public.payment_refunds where id = any (%s) and next_check_at is not null"
    assert till.one(waits, refunds) == 2

    till.settings = settings
    till.janitor()
    assert [state(till, "payment_refunds", refund) for refund in refunds] == ["succeeded", "succeeded"]
    known = "select provider_intent_id is not null as v from public.payment_intents where id = %s"
    assert till.one(known, intent)
    assert till.at_gateway() == till.in_books() == [("charge", 5000), ("refund", 1000), ("refund", 1000)]
    assert alerts(till) == []
