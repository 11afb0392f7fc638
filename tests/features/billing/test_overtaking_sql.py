"""What begins while another change of the same money is not committed yet waits for it, and judges what it left."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.features.billing.overtaking import Deed, client, coach, overtaken, service, weakened, without
from tests.features.billing.test_books_sql import act, by_hand, differences
from tests.features.billing.test_months_sql import fee
from tests.features.billing.world import World, addon, one, succeeded

Deeds = tuple[Deed, Deed]

ADD_SEAT = "public.add_invoice_line(%s, jsonb_build_object('attendee_id', %s::uuid))"
ADD_FEE = "public.add_invoice_line(%s, jsonb_build_object('outcome_id', %s::uuid))"
ALLOCATE = "public.allocate_to_invoice(%s, %s, %s)"
CREDIT = "public.credit_invoice(%s, 6000, 'x')"
PAY = "public.record_manual_payment(%s, 6000, 'cash')"
REFUND = "public.request_refund(%s, 6000, 'x')"
RELEASE = "public.release_from_invoice(%s, %s, 6000)"


def on_account(world: World, amount: int = 10000) -> Any:
    return act(world, "record_payment_on_account(%s, %s, 'ILS', 'cash')", world.relation, amount)


def twice(statement: str) -> Callable[[World], Deeds]:
    """The same to an issued invoice by two hands."""

    def story(world: World) -> Deeds:
        invoice = world.issued(10000)
        return coach(statement, invoice), coach(statement, invoice)

    return story


def after(first: str, second: str) -> Callable[[World], Deeds]:
    """One thing and then another to an issued invoice."""

    def story(world: World) -> Deeds:
        invoice = world.issued(10000)
        return coach(first, invoice), coach(second, invoice)

    return story


def of_payment(first: str, second: str) -> Callable[[World], Deeds]:
    """One thing and then another to a payment that an invoice has."""

    def story(world: World) -> Deeds:
        payment = by_hand(world, world.issued(10000), 10000)
        return coach(first, payment), coach(second, payment)

    return story


def of_credit(first: str, second: str) -> Callable[[World], Deeds]:
    """One thing and then another to a payment that no invoice has."""

    def story(world: World) -> Deeds:
        payment = on_account(world)
        return coach(first, payment), coach(second, payment)

    return story


def of_draft(first: str, second: str) -> Callable[[World], Deeds]:
    """One thing and then another to a draft."""

    def story(world: World) -> Deeds:
        draft = world.draft(addon(100))
        return coach(first, draft), coach(second, draft)

    return story


def allocate_twice(world: World) -> Deeds:
    payment = on_account(world)
    return coach(ALLOCATE, payment, world.issued(7000), 7000), coach(ALLOCATE, payment, world.issued(7000), 7000)


def give_what_is_refunded(world: World) -> Deeds:
    payment, invoice = on_account(world), world.issued(10000)
    return coach(REFUND, payment), coach(ALLOCATE, payment, invoice, 6000)


def give_to_what_is_credited(world: World) -> Deeds:
    payment, invoice = on_account(world), world.issued(10000)
    return coach(CREDIT, invoice), coach(ALLOCATE, payment, invoice, 6000)


def release_twice(world: World) -> Deeds:
    invoice = world.issued(10000)
    payment = by_hand(world, invoice, 10000)
    return coach(RELEASE, payment, invoice), coach(RELEASE, payment, invoice)


def bill_a_seat_twice(world: World) -> Deeds:
    seat = world.seat(5000)
    return coach(ADD_SEAT, world.draft(), seat), coach(ADD_SEAT, world.draft(), seat)


def bill_a_fee_that_is_waived(world: World) -> Deeds:
    outcome = fee(world, world.seat(5000))
    return coach("public.waive_outcome(%s)", outcome), coach(ADD_FEE, world.draft(), outcome)


def bill_what_is_written_off(world: World) -> Deeds:
    seat = world.seat(5000)
    return coach("public.write_off_seat(%s, 'x')", seat), coach(ADD_SEAT, world.draft(), seat)


def write_off_what_is_billed(world: World) -> Deeds:
    seat = world.seat(5000)
    return coach(ADD_SEAT, world.draft(), seat), coach("public.write_off_seat(%s, 'x')", seat)


def insert_into_what_is_issued(world: World) -> Deeds:
    draft = world.draft(addon(100))
    line = "insert into public.invoice_line_items (invoice_id, description, amount_cents) values (%s, 'More', 1)"
    return coach("public.finalize_invoice(%s)", draft), service(line, draft)


def attempt_twice(world: World) -> Deeds:
    intent = world.intent(world.issued(10000))
    return client("public.begin_payment_attempt(%s)", intent), client("public.begin_payment_attempt(%s)", intent)


def pay_by_hand_what_a_card_pays(world: World) -> Deeds:
    invoice = world.issued(10000)
    return client("public.begin_payment_attempt(%s)", world.intent(invoice)), coach(PAY, invoice)


def charge_what_is_voided(world: World) -> Deeds:
    invoice = world.issued(10000)
    intent = world.intent(invoice)
    return coach("public.void_invoice(%s)", invoice), client("public.begin_payment_attempt(%s)", intent)


def charge_what_is_given_up(world: World) -> Deeds:
    intent = world.intent(world.issued(10000))
    return client("public.cancel_payment_intent(%s)", intent), client("public.begin_payment_attempt(%s)", intent)


def hear_the_same_twice(world: World) -> Deeds:
    intent = world.intent(world.issued(10000))
    said = json.dumps(succeeded(10000))
    hear = "public.record_intent_outcome(%s, %s)"
    return service(hear, intent, said), service(hear, intent, said)


def hear_of_a_refund_twice(world: World) -> Deeds:
    _, payment = world.paid(10000)
    refund = act(world, "request_refund(%s, 6000, 'x')", payment)
    said = {"status": "succeeded", "provider_refund_id": "re_1", "currency": "ILS", "amount_cents": 6000}
    hear = "public.record_refund_outcome(%s, %s)"
    return service(hear, refund, json.dumps(said)), service(hear, refund, json.dumps(said))


def hear_of_the_dashboards_refund_twice(world: World) -> Deeds:
    _, payment = world.paid(10000)
    said = {"status": "succeeded", "provider_refund_id": "re_2", "currency": "ILS", "amount_cents": 6000,
            "charge_id": world.payment(payment)["provider_transaction_id"]}  # fmt: skip
    hear = "public.record_refund_news(%s, %s)"
    return service(hear, world.account, json.dumps(said)), service(hear, world.account, json.dumps(said))


def look_twice(world: World, table: str, row: Any) -> Deeds:
    world.owner.execute(f"update public.{table} set next_check_at = now() - interval '9 days' where id = %s", [row])
    look = service("(select count(*) from public.take_due_checks(1) c where c.id = %s)", row)
    return look, look


def look_after_an_intent_twice(world: World) -> Deeds:
    return look_twice(world, "payment_intents", world.intent(world.issued(10000)))


def begun_setup(world: World) -> Any:
    with world.paying() as conn:
        return one(conn, "select public.begin_method_setup(%s, 'I agree.') as v", world.practice)


def look_after_a_setup_twice(world: World) -> Deeds:
    return look_twice(world, "payment_method_setups", begun_setup(world))


def keep_a_card_twice(world: World) -> Deeds:
    setup = begun_setup(world)
    saved = {"provider_method_id": str(uuid4()), "last4": "4242", "exp_month": 1, "exp_year": 2040, "brand": "visa"}
    said = json.dumps({"status": "succeeded", "saved": saved})
    hear = "public.record_method_setup(%s, %s)"
    return service(hear, setup, said), service(hear, setup, said)


@pytest.mark.parametrize(
    ("story", "answer"),
    [
        (twice(CREDIT), "credit_exceeds_invoice"),
        (twice(PAY), "payment_exceeds_balance"),
        (after("public.void_invoice(%s)", PAY), "invoice_not_open"),
        (after(PAY, "public.void_invoice(%s)"), "invoice_paid"),
        (after("public.void_invoice(%s)", "public.write_off_invoice(%s, 'x')"), "invoice_not_open"),
        (of_draft("public.finalize_invoice(%s)", "public.finalize_invoice(%s)"), "invoice_final"),
        (of_draft("public.finalize_invoice(%s)", "public.delete_draft_invoice(%s)"), "invoice_final"),
        (of_payment(REFUND, REFUND), "refund_exceeds_payment"),
        (of_payment("public.undo_payment(%s, 'x')", REFUND), "refund_exceeds_payment"),
        (of_payment(REFUND, "public.undo_payment(%s, 'x')"), "payment_refunded"),
        (insert_into_what_is_issued, "invoice_final"),
        (of_credit(REFUND, REFUND), "refund_exceeds_payment"),
        (of_credit(REFUND, "public.undo_payment(%s, 'x')"), "payment_refunded"),
        (allocate_twice, "allocation_exceeds_payment"),
        (give_what_is_refunded, "allocation_exceeds_payment"),
        (give_to_what_is_credited, "allocation_exceeds_invoice"),
        (release_twice, "amount_out_of_range"),
        (bill_a_seat_twice, "invoice_line_items_seat_once"),
        (bill_a_fee_that_is_waived, "fee_not_owed"),
        (bill_what_is_written_off, "seat_already_billed"),
        (write_off_what_is_billed, "seat_already_billed"),
        (attempt_twice, "payment_in_progress"),
        (pay_by_hand_what_a_card_pays, "payment_in_progress"),
        (charge_what_is_voided, "intent_closed"),
        (charge_what_is_given_up, "intent_closed"),
        (hear_the_same_twice, "unchanged"),
        (hear_of_a_refund_twice, "unchanged"),
        (hear_of_the_dashboards_refund_twice, "unchanged"),
        (keep_a_card_twice, "unchanged"),
        (look_after_an_intent_twice, "0"),
        (look_after_a_setup_twice, "0"),
    ],
)
def test_the_second_hand_is_told_what_the_first_left(
    world: World, api_url: str, story: Callable[[World], Deeds], answer: str
) -> None:
    assert overtaken(world, api_url, *story(world)) == answer
    assert differences(world) == []


def test_a_receipt_asked_for_by_two_is_one(world: World, api_url: str) -> None:
    payment = by_hand(world, world.issued(10000), 10000)
    issue = coach("public.issue_receipt(%s)", payment)
    second = overtaken(world, api_url, issue, issue)
    assert second == one(world.owner, "select id::text as v from public.invoices where payment_id = %s", payment)


def test_payer_and_coach_share_the_intent_that_one_of_them_just_began(world: World, api_url: str) -> None:
    invoice = world.issued(10000)
    begin = "public.begin_payment_intent(%s)"
    second = overtaken(world, api_url, client(begin, invoice), coach(begin, invoice))
    assert second == one(world.owner, "select id::text as v from public.payment_intents where invoice_id = %s", invoice)


def test_two_accounts_added_at_once_have_one_default(world: World, api_url: str) -> None:
    world.owner.execute("delete from public.gateway_accounts where practice_id = %s", [world.practice])
    add = "public.add_gateway_account('sandbox', 'Cards', %s, 'sealed:a', 'sealed:b')"
    assert len(overtaken(world, api_url, coach(add, str(uuid4())), coach(add, str(uuid4()))) or "") == 36
    defaults = "select count(*) filter (where is_default) as v from public.gateway_accounts where practice_id = %s"
    assert one(world.owner, defaults, world.practice) == 1


def test_without_the_lock_of_the_invoice_it_is_taken_back_twice(world: World, api_url: str) -> None:
    """The negative control: the same two hands, and nothing that makes the second wait or counts."""
    lock = ") for no key update;"
    with (
        weakened(world.owner, lock, ");", "private.lock_my_invoice(uuid,boolean)"),
        without(world.owner, "public.invoices", "invoices_credited_within"),
        weakened(world.owner, "> v_invoice.total_amount_cents then", "> null then", "private.check_invoice_totals()"),
    ):
        overtaken(world, api_url, *twice(CREDIT)(world))
    credited = "select sum(credited_cents) as v from public.invoices where practice_id = %s"
    assert one(world.owner, credited, world.practice) == 12000


def test_without_the_lock_of_the_payment_more_is_given_than_it_holds(world: World, api_url: str) -> None:
    lock = "where p.id = {} for no key update"
    with (
        weakened(
            world.owner, lock.format("new.payment_id"), "where p.id = new.payment_id", "private.keep_allocation()"
        ),
        weakened(
            world.owner, lock.format("p_payment_id"), "where p.id = p_payment_id", "private.lock_my_payment(uuid,uuid)"
        ),
        without(world.owner, "public.payments", "payments_allocated_within"),
    ):
        overtaken(world, api_url, *allocate_twice(world))
    given = "select sum(amount_cents) as v from public.payment_allocations where practice_id = %s"
    assert one(world.owner, given, world.practice) == 14000


def test_without_the_lock_of_the_payment_more_goes_back_than_came(world: World, api_url: str) -> None:
    lock = "where p.id = p_payment_id for no key update"
    with (
        weakened(world.owner, lock, "where p.id = p_payment_id", "private.lock_money_of(uuid)"),
        weakened(world.owner, ") order by i.id for no key update", ")", "private.lock_money_of(uuid)"),
        without(world.owner, "public.payments", "payments_refunds_within"),
        without(world.owner, "public.payments", "payments_allocated_within"),
    ):
        overtaken(world, api_url, *of_payment(REFUND, REFUND)(world))
    back = "select sum(amount_cents) as v from public.payment_refunds where practice_id = %s"
    assert one(world.owner, back, world.practice) == 12000
