"""Every code that Tranzila answers a charge with, to its end in the books: the state, the sum, and who is told."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.features.billing.service import Billing
from loom.providers.payments.tranzila_codes import meaning_of
from tests.features.billing.test_crash_matrix import Operation, Plain, Till, settings
from tests.features.billing.world import World
from tests.providers.test_tranzila_codes import STATES
from tests.support.sandbox import Sandbox

__all__ = ["settings"]

# intent, payment, what was booked of 1000
ENDS = {
    "approved": ("succeeded", "paid", 1000),
    "partial": ("succeeded", "paid", 600),
    "waiting": ("processing", "pending", 0),
    "unknown": ("processing", "pending", 0),
    "declined": ("requires_payment_method", "failed", 0),
    "canceled": ("requires_payment_method", "canceled", 0),
    "tampered": ("canceled", "failed", 0),
}
# Told to the coach for each payment; what is wrong with the terminal is told once.
ABOUT_THE_PAYMENT = {"010", "426", "507", "912791"}
# Said of the card for good.
ABOUT_THE_CARD = {"001", "002", "005", "015", "416", "429"}


class Card:
    """A card kept at a terminal, charged again and again with whatever code the terminal is told to answer."""

    def __init__(self, till: Till) -> None:
        self.till = till
        till.go(lambda database: Operation(till, "save").act(Plain(database)))
        self.method = till.one("select id as v from public.payment_methods where user_id = %s", till.world.client)
        self.ended_by: set[str | None] = set()
        """Codes after which the card counted as unusable."""

    def charged(self, *codes: str | None) -> list[UUID]:
        """The intents of charges of 1000 that were answered so."""

        async def one_by_one(database: Any) -> list[UUID]:
            return [await self._charge(database, code) for code in codes]

        return self.till.go(one_by_one)

    async def _charge(self, database: Any, code: str | None) -> UUID:
        knobs = {} if code is None else {"tranzila_code": code}
        self.till.sandbox.call("POST", "/sandbox/knobs", knobs, f"sk_test_tranzila_{self.till.terminal}")
        payer, billing = Actor.user(self.till.world.client), Billing(database, self.till.settings)
        asked = {"i": self.till.world.issued(1000), "m": self.method}
        begin = "select public.begin_payment_intent(%(i)s)"
        intent = await database.run(payer, lambda tx: tx.fetch_value(begin, asked))
        await billing.send_intent(intent)
        attempt = "select public.begin_payment_attempt(%(i)s, %(m)s)"
        payment = await database.run(payer, lambda tx: tx.fetch_value(attempt, asked | {"i": intent}))
        await billing.send_attempt(payment, None)
        # It is charged on all the same: its owner saves it again each time.
        good = (
            "update public.payment_methods set unusable_at = null, unusable_reason = null where unusable_at is not null"
        )
        if self.till.world.owner.execute(good).rowcount:
            self.ended_by.add(code)
        return intent

    def alerts(self) -> list[UUID | None]:
        """What the open alerts are about."""
        rows = self.till.world.owner.execute(
            "select subject_id from public.gateway_alerts where gateway_account_id = %s and kind = 'odd_answer'"
            " and closed_at is null",
            [self.till.world.account],
        )
        return [row["subject_id"] for row in rows]


@pytest.fixture
def card(standing_world: World, sandbox: Sandbox, settings: Settings, api_url: str) -> Card:
    return Card(Till(standing_world, sandbox, settings, api_url, keys=False))


def test_every_code_of_a_charge_ends_in_its_state(card: Card, campaign: bool) -> None:
    """Each of them with --campaign, else one for each meaning and all that somebody is told of."""
    cases = {code: kind for kind, codes in STATES.items() for code in codes if code.strip()}
    if not campaign:
        one_each = {meaning_of(code): code for code in cases}
        cases = {code: kind for code, kind in cases.items() if code in {*one_each.values(), *ABOUT_THE_PAYMENT}}
    ended: dict[str, tuple[Any, ...]] = {}
    about: set[UUID] = set()
    for code, intent in zip(cases, card.charged(*cases), strict=True):
        row = card.till.world.row(
            "select i.status::text, p.status::text as payment, v.amount_paid_cents from public.payment_intents i"
            " join public.payments p on p.intent_id = i.id join public.invoices v on v.id = i.invoice_id"
            " where i.id = %s",
            intent,
        )
        ended[code] = tuple(row.values())
        about |= {intent} if code in ABOUT_THE_PAYMENT else set()
    assert ended == {code: ENDS[kind] for code, kind in cases.items()}
    assert about <= set(card.alerts())
    assert card.ended_by == ABOUT_THE_CARD & set(cases)
    assert card.till.in_books() == [("charge", 600), ("charge", 1000)]


@pytest.mark.parametrize(("code", "told"), [("051", [None]), ("004", [])], ids=["broken terminal", "plain no"])
def test_a_broken_terminal_is_told_once_and_the_next_good_charge_closes_it(
    card: Card, code: str, told: list[None]
) -> None:
    card.charged(code, code)
    assert card.alerts() == told
    card.charged(None)
    assert card.alerts() == []
