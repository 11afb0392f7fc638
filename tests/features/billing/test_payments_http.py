"""Paying over HTTP, through the real sandbox gateway, with its webhooks and its bad days."""

from __future__ import annotations

from uuid import UUID, uuid4

import httpx

from tests.features.billing.shop import Shop
from tests.features.billing.world import at_once, one, person
from tests.support.waiting import until


def test_an_invoice_is_paid_by_card_from_intent_to_webhook_to_paid_sessions(shop: Shop) -> None:
    seat = shop.world.seat(35000)
    draft = shop.live.call(
        shop.coach, "POST", "/invoices",
        {
            "client_id": str(shop.client),
            "lines": [{"attendee_id": str(seat)}, {"description": "Book", "amount_cents": 500}],
        },
    )  # fmt: skip
    assert (draft["display_status"], draft["total_amount_cents"], draft["issued_at"]) == ("draft", 35500, None)
    assert shop.live.call(shop.client, "GET", f"/invoices/{draft['id']}")["code"] == "not_found"
    final = shop.live.call(shop.coach, "POST", f"/invoices/{draft['id']}/finalize")
    assert (final["display_status"], final["balance_cents"]) == ("open", 35500)

    intent = shop.intent(draft["id"])
    assert (intent["http_status"], intent["status"], intent["amount_cents"]) == (201, "requires_payment_method", 35500)
    assert intent["client_secret"]
    assert shop.live.call(shop.coach, "GET", f"/payment-intents/{intent['id']}")["client_secret"] is None

    done = shop.confirm(intent["id"])
    assert (done["status"], "client_secret" in done) == ("succeeded", False)
    seen = shop.live.call(shop.client, "GET", f"/invoices/{draft['id']}")
    assert (seen["display_status"], seen["amount_paid_cents"], seen["balance_cents"]) == ("paid", 35500, 0)
    assert shop.world.seat_status(seat) == "paid"
    until(lambda: shop.handled() == ["handled"] * 3, "all events are handled")
    assert len(shop.payments(draft["id"])) == 1
    assert shop.intent(draft["id"])["code"] == "invoice_not_open"


def test_the_webhook_alone_pays_too_and_three_copies_of_it_once(shop: Shop) -> None:
    invoice = shop.invoice()
    intent = shop.intent(invoice)
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "twice"})
    # The payer's browser talks to the gateway itself; Loom hears of it by the webhook only.
    name = one(
        shop.world.owner, "select provider_intent_id as v from public.payment_intents where id = %s", intent["id"]
    )
    answer = shop.at_gateway("POST", f"/v1/payment_intents/{name}/confirm", {"payment_method": "pm_card_visa"})
    assert answer["status"] == "succeeded"
    shop.until_paid(invoice)
    event = shop.at_gateway("GET", "/v1/events")["data"][0]
    shop.at_gateway("POST", "/sandbox/send_again", {"event": event["id"]})
    query = "select times_received, status from public.webhook_events where event_id = %s"
    until(lambda: shop.world.row(query, event["id"])["times_received"] == 3, "the third copy came")
    assert shop.world.row(query, event["id"])["status"] == "handled"
    payments = shop.payments(invoice)
    assert [(payment["status"], payment["amount_cents"]) for payment in payments] == [("paid", 25000)]


def test_events_out_of_order_end_where_the_gateway_is(shop: Shop) -> None:
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "withhold"})
    invoice, _ = shop.paid()
    shop.at_gateway("POST", "/sandbox/deliver", {"backwards": True})
    until(lambda: shop.handled() == ["handled"] * 3, "all events are handled")
    assert shop.live.call(shop.client, "GET", f"/invoices/{invoice}")["status"] == "paid"
    assert len(shop.payments(invoice)) == 1


def test_a_declined_card_leaves_the_invoice_open_for_another(shop: Shop) -> None:
    invoice = shop.invoice()
    intent = shop.intent(invoice)["id"]
    declined = shop.confirm(intent, "pm_card_chargeDeclined")
    assert (declined["status"], declined["last_error_code"]) == ("requires_payment_method", "generic_decline")
    assert shop.confirm(intent, "pm_card_nonsense")["status"] == "requires_payment_method"
    assert shop.confirm(intent)["status"] == "succeeded"
    made = [(payment["status"], payment["failure_code"]) for payment in shop.payments(invoice)]
    assert made == [("paid", None), ("failed", "resource_missing"), ("failed", "generic_decline")]


def test_a_card_that_asks_its_owner_waits_for_the_answer(shop: Shop) -> None:
    invoice = shop.invoice()
    intent = shop.intent(invoice)["id"]
    asked = shop.confirm(intent, "pm_card_authenticationRequired")
    assert asked["status"] == "requires_confirmation"
    assert shop.confirm(intent)["code"] == "action_required"
    httpx.post(asked["next_action"]["url"], data={"answer": "approve"})
    shop.until_paid(invoice)
    assert [payment["status"] for payment in shop.payments(invoice)] == ["paid"]


def test_a_charge_whose_answer_was_lost_is_looked_up_and_booked_once(shop: Shop) -> None:
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    invoice = shop.invoice()
    intent = shop.intent(invoice)["id"]
    unknown = shop.confirm(intent, "pm_sandbox_answerLost")
    assert unknown["status"] == "processing"
    assert unknown["outcome_unknown_since"] is not None
    assert shop.confirm(intent)["code"] == "payment_in_progress"
    due(shop, intent)
    shop.until_paid(invoice)
    assert [payment["status"] for payment in shop.payments(invoice)] == ["paid"]
    assert len(shop.at_gateway("GET", "/v1/charges?limit=100")["data"]) == 1


def due(shop: Shop, intent: str) -> None:
    """The time of the next look has come."""
    shop.world.owner.execute("update public.payment_intents set next_check_at = now() where id = %s", [intent])
    shop.world.owner.execute("select private.enqueue('billing.repair_unknown', '{\"timestamp\": 0}')")


def test_a_crash_after_the_charge_and_before_its_outcome_was_stored_ends_with_one_payment(shop: Shop) -> None:
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    invoice = shop.invoice()
    intent = shop.intent(invoice)["id"]
    # What the process did before it died: the attempt is committed, the gateway has charged, nothing else is known.
    with shop.world.paying() as conn:
        payment = one(conn, "select public.begin_payment_attempt(%s) as v", intent)
    row = shop.world.row(
        "select i.provider_intent_id, p.idempotency_key from public.payment_intents i"
        " join public.payments p on p.intent_id = i.id where p.id = %s",
        payment,
    )
    shop.live.sandbox.call(
        "POST",
        f"/v1/payment_intents/{row['provider_intent_id']}/confirm",
        {"payment_method": "pm_card_visa"},
        shop.key,
        **{"Idempotency-Key": row["idempotency_key"]},
    )  # fmt: skip
    due(shop, intent)
    shop.until_paid(invoice)
    assert [(one_["id"], one_["status"]) for one_ in shop.payments(invoice)] == [(str(payment), "paid")]
    assert len(shop.at_gateway("GET", "/v1/charges?limit=100")["data"]) == 1


def test_an_intent_that_could_not_be_sent_is_sent_later(shop: Shop) -> None:
    invoice = shop.invoice()
    with shop.world.paying() as conn:
        intent = one(conn, "select public.begin_payment_intent(%s) as v", invoice)
    assert shop.confirm(intent)["code"] == "intent_not_ready"
    due(shop, intent)
    until(
        lambda: shop.live.call(shop.client, "GET", f"/payment-intents/{intent}")["client_secret"],
        "the gateway knows it",
    )
    assert shop.confirm(intent)["status"] == "succeeded"


def test_money_for_an_intent_that_was_given_up_while_its_answer_was_lost_is_booked(shop: Shop) -> None:
    fault = {"on": "POST /v1/payment_intents", "do": "lost_after"}
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never", "faults": [fault]})
    invoice = shop.invoice()
    intent = shop.intent(invoice)
    assert intent["client_secret"] is None
    given_up = shop.live.call(shop.client, "POST", f"/payment-intents/{intent['id']}/cancel")
    assert given_up["status"] == "canceled"
    # It was made all the same, and somebody has it paid in the gateway's own pages.
    [made] = shop.at_gateway("GET", "/v1/payment_intents")["data"]
    paid = shop.at_gateway("POST", f"/v1/payment_intents/{made['id']}/confirm", {"payment_method": "pm_card_visa"})
    assert paid["status"] == "succeeded"
    shop.at_gateway("POST", "/sandbox/send_again", {"event": shop.at_gateway("GET", "/v1/events")["data"][0]["id"]})
    shop.until_paid(invoice)
    assert [payment["status"] for payment in shop.payments(invoice)] == ["paid"]


def test_two_tabs_pay_one_invoice_once(shop: Shop) -> None:
    invoice = shop.invoice()
    intents = at_once(4, lambda _: shop.intent(invoice)["id"])
    assert len(set(intents)) == 1
    answers = at_once(4, lambda _: shop.confirm(intents[0]))
    assert sum(answer.get("status") == "succeeded" for answer in answers) >= 1
    assert {answer.get("code") for answer in answers} <= {None, "payment_in_progress", "intent_closed"}
    assert len(shop.at_gateway("GET", "/v1/charges?limit=100")["data"]) == 1
    assert [payment["status"] for payment in shop.payments(invoice)] == ["paid"]


def test_a_repeated_confirmation_with_its_key_charges_once(shop: Shop) -> None:
    invoice = shop.invoice()
    intent, key = shop.intent(invoice)["id"], {"Idempotency-Key": str(uuid4())}
    first, second = shop.confirm(intent, **key), shop.confirm(intent, **key)
    assert (first["status"], second["status"]) == ("succeeded", "succeeded")
    assert (first["replayed"], second["replayed"]) == (None, "true")
    assert len(shop.payments(invoice)) == 1


def test_a_part_is_refunded_and_more_than_was_paid_is_refused(shop: Shop) -> None:
    invoice, payment = shop.paid(25000)
    path = f"/payments/{payment['id']}/refunds"
    key = {"Idempotency-Key": str(uuid4())}
    refund = shop.live.call(shop.coach, "POST", path, {"amount_cents": 10000, "reason": "sorry"}, **key)
    assert (refund["http_status"], refund["status"], refund["amount_cents"]) == (201, "succeeded", 10000)
    assert (
        shop.live.call(shop.coach, "POST", path, {"amount_cents": 10000, "reason": "sorry"}, **key)["id"]
        == refund["id"]
    )
    assert shop.live.call(shop.coach, "POST", path, {"amount_cents": 15001})["code"] == "refund_exceeds_payment"
    assert shop.live.call(shop.client, "POST", path, {"amount_cents": 1})["code"] == "not_found"
    seen = shop.live.call(shop.client, "GET", f"/payments/{payment['id']}")
    assert (seen["status"], seen["refunded_cents"], seen["refundable_cents"]) == ("paid", 10000, 15000)
    assert shop.live.call(shop.coach, "POST", path, {})["amount_cents"] == 15000
    assert shop.live.call(shop.client, "GET", f"/invoices/{invoice}")["display_status"] == "refunded"
    assert len(shop.live.call(shop.client, "GET", f"/refunds?payment_id={payment['id']}")["items"]) == 2


def test_a_refund_that_fails_later_opens_nothing_and_gives_the_payment_back(shop: Shop) -> None:
    invoice, payment = shop.paid(25000, "pm_card_refundFail")
    refund = shop.live.call(shop.coach, "POST", f"/payments/{payment['id']}/refunds", {"amount_cents": 25000})
    until(
        lambda: shop.live.call(shop.coach, "GET", f"/refunds/{refund['id']}")["status"] == "failed", "the refund failed"
    )
    assert shop.live.call(shop.client, "GET", f"/payments/{payment['id']}")["refunded_cents"] == 0
    assert shop.live.call(shop.client, "GET", f"/invoices/{invoice}")["status"] == "paid"


def test_a_refund_whose_sender_died_is_found_or_sent_once(shop: Shop) -> None:
    _, payment = shop.paid(25000)
    refunds: list[UUID] = []
    for _ in range(2):
        with shop.world.coaching() as conn:
            refunds.append(one(conn, "select public.request_refund(%s, 100, 'x') as v", payment["id"]))
    with shop.world.serving() as conn:
        conn.execute("select public.begin_refund_call(%s)", [refunds[1]])
    charge = shop.world.payment(UUID(payment["id"]))["provider_transaction_id"]
    body = {"charge": charge, "amount": 100, "metadata": {"reference": str(refunds[1])}}
    shop.at_gateway("POST", "/v1/refunds", body)
    shop.world.owner.execute("update public.payment_refunds set next_check_at = now() where id = any(%s)", [refunds])
    shop.world.owner.execute("select private.enqueue('billing.repair_unknown', '{\"timestamp\": 0}')")
    for refund in refunds:
        until(
            lambda refund=refund: shop.live.call(shop.coach, "GET", f"/refunds/{refund}")["status"] == "succeeded",
            "sent",
        )
    assert len(shop.at_gateway("GET", "/v1/refunds?limit=100")["data"]) == 2


def test_a_saved_card_pays_and_a_removed_one_is_forgotten(shop: Shop) -> None:
    body = {
        "practice_id": str(shop.world.practice),
        "card_token": "pm_card_visa",
        "is_default": True,
        "consent_text": "Keep my card.",
    }
    saved = shop.live.call(shop.client, "POST", "/payment-methods", body)
    assert (saved["http_status"], saved["last4"], saved["is_default"]) == (201, "4242", True)
    assert (
        shop.live.call(shop.client, "POST", "/payment-methods", body | {"card_token": "pm_card_chargeDeclined"})["code"]
        == "card_refused"
    )
    stranger = person(shop.world.owner, "client")
    assert shop.live.call(stranger, "POST", "/payment-methods", body)["code"] == "not_found"
    assert shop.live.call(stranger, "GET", f"/payment-methods/{saved['id']}")["code"] == "not_found"
    intent = shop.intent(shop.invoice())["id"]
    paid = shop.live.call(shop.client, "POST", f"/payment-intents/{intent}/confirm", {"payment_method_id": saved["id"]})
    assert paid["status"] == "succeeded"
    changed = shop.live.call(shop.client, "PATCH", f"/payment-methods/{saved['id']}", {"is_default": False})
    assert changed["is_default"] is False
    assert shop.live.call(shop.client, "DELETE", f"/payment-methods/{saved['id']}")["http_status"] == 204
    assert shop.live.call(shop.client, "GET", "/payment-methods")["items"] == []
    intent = shop.intent(shop.invoice())["id"]
    again = shop.live.call(
        shop.client, "POST", f"/payment-intents/{intent}/confirm", {"payment_method_id": saved["id"]}
    )
    assert again["code"] == "not_found"


def test_an_account_whose_opening_failed_is_used_for_nothing(shop: Shop) -> None:
    def accounts() -> list[tuple[str, bool, bool]]:
        listed = shop.live.call(shop.coach, "GET", "/gateway-accounts")["items"]
        return [(one["id"], one["is_default"], one["disabled_at"] is None) for one in listed]

    live = [each for each in accounts() if each[2]]
    assert live == [(shop.account["id"], True, True)]
    fault = {"on": "POST /v1/webhook_endpoints", "do": "lost_before", "times": 2}
    shop.live.sandbox.call("POST", "/sandbox/knobs", {"faults": [fault]})
    for _ in range(2):
        said = shop.live.call(shop.coach, "POST", "/gateway-accounts", {"provider": "sandbox"})
        assert (said["http_status"], said["code"]) == (503, "gateway_unavailable")
    assert [each for each in accounts() if each[2]] == live
    assert shop.live.call(shop.coach, "POST", "/gateway-accounts", {"provider": "sandbox"})["http_status"] == 201
