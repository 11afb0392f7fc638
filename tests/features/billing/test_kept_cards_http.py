"""Kept cards and held money: consent, charges while the payer is away, expiry, captures and letting go."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import httpx
import pytest

from loom.core.errors import AppError
from loom.db.database import Database
from loom.features.billing.cards import Cards
from loom.features.billing.service import Billing
from loom.providers.payments.signatures import sign
from tests.features.billing.shop import Shop
from tests.features.billing.test_payments_http import due
from tests.features.billing.test_webhooks_http import forged, webhook
from tests.features.billing.world import one, person
from tests.support.waiting import until

CARD = {"number": "4242424242424242", "expiry": "12/34", "cvc": "123"}


def keep(shop: Shop, card: str = "pm_card_visa", **more: Any) -> dict[str, Any]:
    body = {
        "practice_id": str(shop.world.practice),
        "card_token": card,
        "consent_text": "Keep it.",
        "off_session": True,
    }
    return shop.live.call(shop.client, "POST", "/payment-methods", body | more)


def charge(shop: Shop, invoice: str) -> dict[str, Any]:
    return shop.live.call(shop.coach, "POST", f"/invoices/{invoice}/charge")


def test_a_consented_card_is_charged_while_its_owner_is_away(shop: Shop) -> None:
    invoice = shop.invoice()
    assert charge(shop, invoice)["code"] == "no_consented_method"
    kept = keep(shop, is_default=True)
    assert (kept["http_status"], kept["off_session"], kept["consented_at"] is not None) == (201, True, True)
    charged = charge(shop, invoice)
    assert (charged["http_status"], charged["status"]) == (201, "succeeded")
    assert [payment["status"] for payment in shop.payments(invoice)] == ["paid"]
    assert shop.live.call(shop.client, "POST", f"/invoices/{shop.invoice()}/charge")["code"] == "not_found"


def test_consent_is_given_once_with_its_words_and_can_be_taken_back(shop: Shop) -> None:
    kept = keep(shop)
    path = f"/payment-methods/{kept['id']}"
    assert shop.live.call(shop.client, "PATCH", path, {"off_session": False})["off_session"] is False
    assert charge(shop, shop.invoice())["code"] == "no_consented_method"
    assert shop.live.call(shop.client, "PATCH", path, {"off_session": True})["code"] == "invalid_request"
    words = one(shop.world.owner, "select consent_text as v from public.payment_methods where id = %s", kept["id"])
    assert words == "Keep it."
    assert keep(shop, consent_text=" ")["code"] == "invalid_request"


def test_a_card_that_needs_its_owner_leads_to_a_notice_and_not_to_another_try(shop: Shop) -> None:
    keep(shop)
    # The issuer changes its mind: the kept card now asks for its owner each time.
    shop.world.owner.execute(
        "update public.payment_methods set provider_method_id = 'pm_card_authenticationRequired',"
        " provider_customer_id = null where user_id = %s", [shop.client],
    )  # fmt: skip
    invoice = shop.invoice()
    asked = charge(shop, invoice)
    assert (asked["status"], asked["last_error_code"]) == ("requires_payment_method", "authentication_required")
    told = "select count(*) as v from public.notifications where user_id = %s and data ->> 'kind' = 'pay_link'"
    assert one(shop.world.owner, told, shop.client) == 1
    assert [payment["failure_code"] for payment in shop.payments(invoice)] == ["authentication_required"]


def name_of(shop: Shop, kept: dict[str, Any]) -> str:
    query = "select provider_method_id as v from public.payment_methods where id = %s"
    return one(shop.world.owner, query, kept["id"])


def test_a_card_that_was_removed_at_the_gateway_is_gone_here(shop: Shop) -> None:
    kept = keep(shop)
    shop.at_gateway("POST", f"/v1/payment_methods/{name_of(shop, kept)}/detach")
    until(lambda: shop.live.call(shop.client, "GET", "/payment-methods")["items"] == [], "the card is gone")
    assert charge(shop, shop.invoice())["code"] == "no_consented_method"
    assert one(shop.world.owner, "select count(*) as v from public.payment_methods where id = %s", kept["id"]) == 1


def test_a_card_that_the_gateway_has_renewed_is_good_again(shop: Shop) -> None:
    kept = keep(shop)
    shop.world.owner.execute("update public.payment_methods set exp_year = 2020 where id = %s", [kept["id"]])
    body = forged(name_of(shop, kept), object="payment_method")
    body = body.replace(b"payment_intent.succeeded", b"payment_method.automatically_updated")
    assert webhook(shop, body, sign(shop.secret, body, int(time.time())))["received"] is True
    year = "select exp_year as v from public.payment_methods where id = %s"
    until(lambda: one(shop.world.owner, year, kept["id"]) == 2034, "the card is renewed")
    assert charge(shop, shop.invoice())["status"] == "succeeded"


def test_an_expired_card_is_not_charged(shop: Shop) -> None:
    # The gateway knows better, and would say so with its next event.
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    kept = keep(shop)
    shop.world.owner.execute(
        "update public.payment_methods set exp_year = 2020 where id = %s", [kept["id"]]
    )  # fmt: skip
    assert charge(shop, shop.invoice())["code"] == "method_expired"
    intent = shop.intent(shop.invoice())["id"]
    body = {"payment_method_id": kept["id"]}
    assert shop.live.call(shop.client, "POST", f"/payment-intents/{intent}/confirm", body)["code"] == "method_expired"


def test_a_card_is_kept_on_the_gateways_own_page(shop: Shop) -> None:
    body = {
        "practice_id": str(shop.world.practice), "consent_text": "Keep it.", "locale": "he",
        "success_url": f"{shop.live.url}/kept", "cancel_url": f"{shop.live.url}/back",
    }  # fmt: skip
    page = shop.live.call(shop.client, "POST", "/payment-methods/page", body)
    assert "שמירת" in httpx.get(page["url"]).text
    assert httpx.post(page["url"], data=CARD).status_code == 303
    path = f"/payment-methods/setups/{page['setup_id']}"
    checked = shop.live.call(shop.client, "POST", f"{path}/check")
    assert (checked["status"], checked["payment_method_id"] is not None) == ("succeeded", True)
    assert [method["last4"] for method in shop.live.call(shop.client, "GET", "/payment-methods")["items"]] == ["4242"]
    stranger = person(shop.world.owner, "client")
    assert shop.live.call(stranger, "GET", path)["code"] == "not_found"


def test_a_refused_card_is_told_and_a_lost_answer_is_looked_up(shop: Shop) -> None:
    assert keep(shop, "pm_card_chargeDeclined")["code"] == "card_refused"
    assert keep(shop, "pm_card_authenticationRequired")["code"] == "card_refused"
    lost = keep(shop, "pm_sandbox_answerLost")
    assert lost["http_status"] == 503
    shop.world.owner.execute(
        "update public.payment_method_setups set next_check_at = now() where user_id = %s", [shop.client]
    )
    shop.world.owner.execute("select private.enqueue('billing.repair_unknown', '{\"timestamp\": 0}')")
    until(lambda: shop.live.call(shop.client, "GET", "/payment-methods")["items"], "the card that was kept is found")


def held(shop: Shop, amount: int = 25000) -> tuple[str, str]:
    invoice = shop.invoice(amount)
    plan = {"capture": "manual"}
    intent = shop.live.call(shop.client, "POST", f"/invoices/{invoice}/payment-intents", plan)["id"]
    waiting = shop.confirm(intent)
    assert (waiting["status"], waiting["amount_capturable_cents"]) == ("processing", amount)
    assert shop.live.call(shop.client, "GET", f"/invoices/{invoice}")["status"] == "pending"
    return invoice, intent


def test_held_money_is_taken_in_part_by_the_coach_alone(shop: Shop) -> None:
    invoice, intent = held(shop)
    path = f"/payment-intents/{intent}/capture"
    assert shop.live.call(shop.client, "POST", path, {})["code"] == "not_found"
    assert shop.live.call(shop.coach, "POST", path, {"amount_cents": 25001})["code"] == "amount_out_of_range"
    taken = shop.live.call(shop.coach, "POST", path, {"amount_cents": 20000})
    assert (taken["status"], taken["amount_capturable_cents"]) == ("succeeded", 0)
    assert [(payment["status"], payment["amount_cents"]) for payment in shop.payments(invoice)] == [("paid", 20000)]
    assert shop.live.call(shop.coach, "POST", path, {})["code"] == "nothing_held"
    assert shop.live.call(shop.client, "GET", f"/invoices/{invoice}")["display_status"] == "partially_paid"


def test_held_money_is_let_go_once_the_gateway_says_so(shop: Shop) -> None:
    invoice, intent = held(shop)
    assert shop.live.call(shop.coach, "POST", f"/payment-intents/{intent}/cancel")["status"] == "processing"
    until(
        lambda: shop.live.call(shop.coach, "GET", f"/payment-intents/{intent}")["status"] == "canceled", "it is let go"
    )
    assert [payment["status"] for payment in shop.payments(invoice)] == ["canceled"]
    assert all(charge["captured"] is False for charge in shop.at_gateway("GET", "/v1/charges")["data"])


def test_a_capture_whose_answer_was_lost_is_taken_once(shop: Shop) -> None:
    for do in ("lost_before", "lost_after"):
        invoice, intent = held(shop)
        fault = {"on": "POST /v1/payment_intents/*/capture", "do": do}
        shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never", "faults": [fault]})
        unknown = shop.live.call(shop.coach, "POST", f"/payment-intents/{intent}/capture", {})
        assert unknown["status"] == "processing"
        due(shop, intent)
        shop.until_paid(invoice)
        assert [payment["amount_cents"] for payment in shop.payments(invoice)] == [25000]


def test_a_gateway_that_is_away_makes_one_alert_that_closes_when_it_is_back(shop: Shop) -> None:
    invoices = [shop.invoice() for _ in range(3)]
    intents = [shop.intent(invoice)["id"] for invoice in invoices]
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    for intent in intents:
        assert shop.confirm(intent, "pm_sandbox_answerLost")["status"] == "processing"
    record = "select public.record_intent_unknown(%s, 'Away.', 'gateway_unreachable')"
    for intent in intents * 5:
        shop.world.owner.execute(record, [intent])
    alerts = shop.live.call(shop.coach, "GET", "/gateway-alerts?open=true")["items"]
    assert [alert["kind"] for alert in alerts] == ["gateway_unreachable"]
    told = "select count(*) as v from public.notifications where user_id = %s and data ->> 'kind' = 'gateway_alert'"
    assert one(shop.world.owner, told, shop.coach) == 1
    due(shop, intents[0])
    shop.until_paid(invoices[0])
    assert shop.live.call(shop.coach, "GET", "/gateway-alerts?open=true")["items"] == []
    assert shop.live.call(shop.client, "GET", "/gateway-alerts")["items"] == []


@pytest.mark.parametrize("number", ["4242424242424242", "4242-4242-4242-4242", "6304000000000"])
def test_the_number_of_a_card_is_no_token_and_is_not_repeated(shop: Shop, number: str) -> None:
    said = keep(shop, number)
    assert (said["http_status"], said["errors"][0]["code"]) == (422, "card_number")
    assert number not in str(said)
    said = shop.confirm(shop.intent(shop.invoice())["id"], number)
    assert (said["http_status"], said["errors"][0]["code"]) == (422, "card_number")
    assert number not in str(said)


def test_a_number_that_the_gateway_repeats_is_stored_and_told_nowhere(
    shop: Shop, api_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Past what HTTP refuses. The search for secrets knows the number, and looks through the database and the logs."""
    number = CARD["number"]
    setup, payment = begun(shop)

    async def send() -> str:
        async with await Database.open(api_url, max_size=2) as database:
            await Billing(database, shop.live.settings).send_attempt(payment, number)
            with pytest.raises(AppError) as refused:
                await Cards(database, shop.live.settings).send_setup(setup, number)
        return refused.value.detail

    caplog.set_level("INFO")
    assert asyncio.run(send()) == "No such payment_method: '[card number]'"
    stored = shop.world.row(
        "select s.last_error_message as setup, p.failure_message as payment, i.last_error_message as intent"
        " from public.payment_method_setups s, public.payments p join public.payment_intents i on i.id = p.intent_id"
        " where s.id = %s and p.id = %s", setup, payment,
    )  # fmt: skip
    assert set(stored.values()) == {"No such payment_method: '[card number]'"}
    assert number not in caplog.text


def begun(shop: Shop) -> tuple[UUID, UUID]:
    """A card to be kept and an attempt to pay, both before the gateway is asked."""
    client = shop.world.as_user(shop.client)
    intent = shop.intent(shop.invoice())["id"]
    with client as conn:
        setup = one(conn, "select public.begin_method_setup(%s, 'Keep it.') as v", shop.world.practice)
        payment = one(conn, "select public.begin_payment_attempt(%s) as v", intent)
    return setup, payment
