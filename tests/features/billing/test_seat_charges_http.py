"""Seats that are charged by themselves: by setting and consent, once, and with a pay link where the card says no."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.features.billing.shop import Shop
from tests.features.billing.test_kept_cards_http import keep
from tests.features.billing.world import one
from tests.support.scheduling import JERUSALEM, add_template, at, set_hours
from tests.support.waiting import until


@pytest.fixture
def offer(shop: Shop) -> UUID:
    set_hours(shop.world.owner, shop.coach, JERUSALEM, "09:00", "17:00")
    return add_template(shop.world.owner, shop.coach)


def setting(shop: Shop, moment: str) -> None:
    assert shop.live.call(shop.coach, "PATCH", "/practice", {"auto_charge": moment})["auto_charge"] == moment


def book(shop: Shop, offer: UUID, day: int = 3) -> str:
    body = {"template_id": str(offer), "starts_at": at(day).isoformat()}
    made = shop.live.call(shop.client, "POST", "/sessions", body)
    assert made["http_status"] == 201, made
    return made["id"]


def charge_now(shop: Shop) -> None:
    """What is planned is due now, and the worker is asked to look."""
    shop.world.owner.execute("update private.seat_charges set due_at = now() where due_at is not null")
    shop.world.owner.execute("select private.enqueue('billing.charge_seats', '{\"timestamp\": 0}')")


def charge_of(shop: Shop, session: str) -> dict[str, Any] | None:
    return shop.world.owner.execute(
        "select c.due_at, c.intent_id, c.skipped from private.seat_charges c"
        " join public.session_attendees a on a.id = c.attendee_id where a.session_id = %s", [session],
    ).fetchone()  # fmt: skip


def settled(shop: Shop, session: str) -> None:
    until(lambda: (charge_of(shop, session) or {"due_at": 1})["due_at"] is None, "the charge is done with")


def billing_of(shop: Shop, session: str) -> str:
    return shop.live.call(shop.coach, "GET", f"/sessions/{session}")["billing_status"]


def told(shop: Shop, who: UUID, kind: str) -> int:
    query = "select count(*) as v from public.notifications where user_id = %s and data ->> 'kind' = %s"
    return one(shop.world.owner, query, who, kind)


def charges(shop: Shop) -> list[int]:
    return [charge["amount"] for charge in shop.at_gateway("GET", "/v1/charges")["data"]]


def test_a_seat_is_charged_when_it_is_booked_and_once(shop: Shop, offer: UUID) -> None:
    setting(shop, "booking")
    keep(shop)
    session = book(shop, offer)
    charge_now(shop)
    until(lambda: billing_of(shop, session) == "paid", "the seat is paid")
    # Looked at again, by however many workers: the one attempt was made.
    for _ in range(3):
        shop.world.owner.execute("update private.seat_charges set due_at = now() where intent_id is not null")
        shop.world.owner.execute("select private.enqueue('billing.charge_seats', '{\"timestamp\": 0}')")
    settled(shop, session)
    assert charges(shop) == [30000]
    assert (told(shop, shop.client, "card_charged"), told(shop, shop.coach, "payment_received")) == (1, 1)


def test_after_the_session_and_only_what_took_place(shop: Shop, offer: UUID) -> None:
    setting(shop, "session")
    keep(shop)
    session = book(shop, offer)
    assert charge_of(shop, session) is None
    shop.world.owner.execute(
        "update public.sessions set scheduled_at = now() - interval '2 hours' where id = %s", [session]
    )
    done = shop.live.call(shop.coach, "POST", f"/sessions/{session}/complete")
    assert done["http_status"] == 200, done
    planned = charge_of(shop, session)
    assert planned is not None
    minutes = "select extract(epoch from due_at - now()) / 60 as v from private.seat_charges where due_at is not null"
    assert 55 < one(shop.world.owner, minutes) <= 60
    charge_now(shop)
    until(lambda: billing_of(shop, session) == "paid", "the seat is paid")


def test_the_template_says_otherwise_and_nothing_happens_without_the_setting(shop: Shop, offer: UUID) -> None:
    keep(shop)
    plain = book(shop, offer)
    assert charge_of(shop, plain) is None
    changed = shop.live.call(shop.coach, "PATCH", f"/session-templates/{offer}", {"auto_charge": "booking"})
    assert changed["auto_charge"] == "booking", changed
    session = book(shop, offer, 4)
    charge_now(shop)
    until(lambda: billing_of(shop, session) == "paid", "the seat is paid")
    setting(shop, "booking")
    shop.live.call(shop.coach, "PATCH", f"/session-templates/{offer}", {"auto_charge": "off"})
    assert charge_of(shop, book(shop, offer, 5)) is None


def test_without_consent_nothing_is_billed_or_charged(shop: Shop, offer: UUID) -> None:
    setting(shop, "booking")
    keep(shop, off_session=False)
    session = book(shop, offer)
    charge_now(shop)
    settled(shop, session)
    row = charge_of(shop, session)
    assert row is not None
    assert (row["skipped"], row["intent_id"], billing_of(shop, session), charges(shop)) == (
        "no_consented_method",
        None,
        "unbilled",
        [],
    )


def test_a_card_past_its_month_is_not_charged_and_its_owner_is_told_once(shop: Shop, offer: UUID) -> None:
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    setting(shop, "booking")
    kept = keep(shop)
    shop.world.owner.execute("update public.payment_methods set exp_year = 2020 where id = %s", [kept["id"]])
    for day in (3, 4):
        session = book(shop, offer, day)
        charge_now(shop)
        settled(shop, session)
        row = charge_of(shop, session)
        assert row is not None
        assert (row["skipped"], row["intent_id"], billing_of(shop, session)) == ("method_expired", None, "unbilled")
    assert (charges(shop), told(shop, shop.client, "card_unusable")) == ([], 1)
    assert told(shop, shop.coach, "client_card_unusable") == 1


def test_a_seat_that_was_given_up_before_the_worker_came_is_not_charged(shop: Shop, offer: UUID) -> None:
    setting(shop, "booking")
    keep(shop)
    session = book(shop, offer)
    cancelled = shop.live.call(shop.client, "POST", f"/sessions/{session}/cancel", {})
    assert cancelled["http_status"] == 200, cancelled
    charge_now(shop)
    settled(shop, session)
    row = charge_of(shop, session)
    assert row is not None
    assert (row["skipped"], charges(shop)) == ("given_up", [])


@pytest.mark.parametrize(
    ("card", "ended"),
    [
        ("pm_card_authenticationRequired", None),
        ("pm_card_chargeDeclined", None),
        ("pm_card_chargeDeclinedStolenCard", "stolen_card"),
    ],
)
def test_a_card_that_says_no_leads_to_one_pay_link_by_mail_that_pays(
    shop: Shop, offer: UUID, card: str, ended: str | None
) -> None:
    setting(shop, "booking")
    keep(shop)
    # The issuer changes its mind after the card was kept.
    shop.world.owner.execute(
        "update public.payment_methods set provider_method_id = %s, provider_customer_id = null where user_id = %s",
        [card, shop.client],
    )
    session = book(shop, offer)
    charge_now(shop)
    settled(shop, session)
    until(lambda: told(shop, shop.client, "pay_link") == 1, "the client is asked to pay")
    row = charge_of(shop, session)
    assert row is not None
    intent = shop.live.call(shop.client, "GET", f"/payment-intents/{row['intent_id']}")
    mailed = "select count(*) as v from public.document_sends where invoice_id = %s"
    assert (intent["status"], one(shop.world.owner, mailed, intent["invoice_id"])) == ("requires_payment_method", 1)
    assert billing_of(shop, session) == "awaiting_payment"
    # Whoever looks at it again, the card is not tried again.
    shop.world.owner.execute("update private.seat_charges set due_at = now() where intent_id is not null")
    shop.world.owner.execute("select private.enqueue('billing.charge_seats', '{\"timestamp\": 0}')")
    settled(shop, session)
    assert [payment["status"] for payment in shop.payments(intent["invoice_id"])] == ["failed"]
    # One that is refused for good is no way to pay any more.
    [kept] = shop.live.call(shop.client, "GET", "/payment-methods")["items"]
    assert (kept["unusable_reason"], told(shop, shop.client, "card_unusable")) == (ended, 1 if ended else 0)
    # The payer is there now, so the card may ask for its owner.
    paid = shop.confirm(shop.intent(intent["invoice_id"])["id"])
    assert (paid["status"], billing_of(shop, session)) == ("succeeded", "paid")


def test_an_answer_that_was_lost_is_looked_up_and_never_charged_again(shop: Shop, offer: UUID) -> None:
    setting(shop, "booking")
    keep(shop)
    shop.at_gateway(
        "POST", "/sandbox/knobs",
        {"delivery": "never", "faults": [{"on": "POST /v1/payment_intents/*/confirm", "do": "lost_after"}]},
    )  # fmt: skip
    session = book(shop, offer)
    charge_now(shop)
    unknown = "select count(*) as v from public.payment_intents where outcome_unknown_since is not null"
    until(lambda: one(shop.world.owner, unknown) == 1, "nobody knows what became of the charge")
    shop.world.owner.execute("update public.payment_intents set next_check_at = now() where status = 'processing'")
    shop.world.owner.execute("select private.enqueue('billing.repair_unknown', '{\"timestamp\": 0}')")
    until(lambda: billing_of(shop, session) == "paid", "the charge is found")
    assert charges(shop) == [30000]


def test_a_gateway_that_is_away_leaves_the_seat_due(shop: Shop, offer: UUID) -> None:
    setting(shop, "booking")
    keep(shop)
    shop.at_gateway("POST", "/sandbox/knobs", {"faults": [{"on": "POST /v1/payment_intents", "do": "lost_before"}]})
    session = book(shop, offer)
    charge_now(shop)
    until(lambda: (charge_of(shop, session) or {"intent_id": None})["intent_id"] is not None, "the seat is billed")
    looking = (
        "select count(*) as v from jobs.procrastinate_jobs"
        " where task_name = 'billing.charge_seats' and status in ('todo', 'doing')"
    )
    until(lambda: one(shop.world.owner, looking) == 0, "the first look is over")
    charge_now(shop)
    until(lambda: billing_of(shop, session) == "paid", "the seat is paid at the next look")
    assert charges(shop) == [30000]
