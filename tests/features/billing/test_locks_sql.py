"""What the second of two hands is told, where the lock that it waits for could seem to be one too many."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

from tests.features.billing.overtaking import client, coach, overtaken, service
from tests.features.billing.test_books_sql import act, differences, registered
from tests.features.billing.test_holds_sql import PRICE, begin, hold, prepaid
from tests.features.billing.world import World, addon, one, succeeded
from tests.support.scheduling import at

HEAR = "public.record_intent_outcome(%s, %s)"
GIVE = "insert into public.payment_allocations (payment_id, invoice_id, amount_cents) values (%s, %s, %s)"


def imported(world: World, amount: int) -> UUID:
    """Money that nobody recorded: it makes no receipt by itself."""
    return one(
        world.owner,
        "insert into public.payments (practice_id, coach_client_id, user_id, amount_cents, status, provider,"
        " method_type) values (%s, %s, %s, %s, 'paid', 'manual', 'cash') returning id as v",
        world.practice, world.relation, world.client, amount,
    )  # fmt: skip


def test_a_card_that_paid_a_hold_waits_for_cash_that_pays_its_seat(world: World, api_url: str) -> None:
    held = hold(world, prepaid(world), at(4))
    intent = begin(world, held)
    act(world, "accept_request(%s)", held)
    seat = one(world.owner, "select a.id as v from public.session_attendees a join public.booking_requests r"
               " on r.session_id = a.session_id where r.id = %s and a.role = 'client'", held)  # fmt: skip
    invoice = world.draft({"attendee_id": seat})
    world.finalize(invoice)
    cash = coach("public.record_manual_payment(%s, %s, 'cash')", invoice, PRICE)
    card = service(HEAR, intent, json.dumps(succeeded(PRICE)))
    assert overtaken(world, api_url, cash, card) == "applied"
    back = "select refund_reserved_cents as v from public.payments where intent_id = %s"
    assert one(world.owner, back, intent) == PRICE
    assert differences(world) == []


def test_two_plain_allocations_pay_an_invoice_once(world: World, api_url: str) -> None:
    # Refused by Loom's own code, and not by that of a check.
    invoice = world.issued(5000)
    deeds = [service(GIVE, imported(world, 3000), invoice, 3000) for _ in range(2)]
    assert overtaken(world, api_url, *deeds) == "allocation_exceeds_invoice"


def test_a_plain_allocation_waits_for_who_voids_the_invoice(world: World, api_url: str) -> None:
    invoice = world.issued(5000)
    deeds = coach("public.void_invoice(%s)", invoice), service(GIVE, imported(world, 3000), invoice, 3000)
    assert overtaken(world, api_url, *deeds) == "invoice_not_open"
    assert differences(world) == []


def test_two_plain_allocations_give_a_payment_once(world: World, api_url: str) -> None:
    payment = imported(world, 3000)
    deeds = [service(GIVE, payment, world.issued(5000), 3000) for _ in range(2)]
    assert overtaken(world, api_url, *deeds) == "allocation_exceeds_payment"
    assert differences(world) == []


def test_receipts_of_two_payments_share_the_tax_of_their_invoice(world: World, api_url: str) -> None:
    registered(world)
    invoice = world.draft(addon(5000), tax_rate_bp=1800, tax_inclusive=True)
    world.finalize(invoice)
    payments = [imported(world, 2500) for _ in range(2)]
    for payment in payments:
        act(world, "allocate_to_invoice(%s, %s)", payment, invoice)
    overtaken(world, api_url, *(coach("public.issue_receipt(%s)", payment) for payment in payments))
    due = "select sum(settled_tax_cents)::int as v from public.invoice_line_items where settled_invoice_id = %s"
    assert one(world.owner, due, invoice) == world.invoice(invoice)["tax_cents"] == 763


def test_the_note_that_takes_a_receipt_back_is_its_clients_who_signs_up_meanwhile(world: World, api_url: str) -> None:
    guest = one(world.owner, "insert into public.coach_clients (coach_id, email, display_name) values (%s, %s, 'Guest')"
                " returning id as v", world.coach, f"{uuid4()}@example.test")  # fmt: skip
    payment = act(world, "record_payment_on_account(%s, 2500, 'ILS', 'cash')", guest)
    act(world, "issue_receipt(%s)", payment)
    newcomer = one(
        world.owner,
        "insert into auth.users (id, email) values (gen_random_uuid(), gen_random_uuid() || '@example.test')"
        " returning id as v",
    )
    signs_up = service("update public.coach_clients set client_id = %s where id = %s", newcomer, guest)
    overtaken(world, api_url, signs_up, coach("public.undo_payment(%s, 'x')", payment))
    whose = "select user_id as v from public.invoices where coach_client_id = %s and document_kind = 'credit_note'"
    assert one(world.owner, whose, guest) == newcomer


def test_a_hold_that_two_intents_paid_at_once_is_told_of_once(world: World, api_url: str) -> None:
    held = hold(world, prepaid(world), at(4))
    first = begin(world, held)
    with world.paying() as conn:
        conn.execute("select public.cancel_payment_intent(%s)", [first])
    second = begin(world, held)
    deeds = [service(HEAR, intent, json.dumps(succeeded(PRICE))) for intent in (first, second)]
    assert overtaken(world, api_url, *deeds) == "applied"
    told = "select count(*)::int as v from public.notifications where user_id = %s and data ? 'session_id'"
    assert [one(world.owner, told, person) for person in (world.client, world.coach)] == [1, 1]
    assert differences(world) == []


def test_a_card_is_not_charged_while_a_late_payment_of_another_intent_is_heard_of(world: World, api_url: str) -> None:
    invoice = world.issued(10000)
    late = world.intent(invoice)
    with world.paying() as conn:
        conn.execute("select public.cancel_payment_intent(%s)", [late])
    heard = service(HEAR, late, json.dumps(succeeded(10000)))
    again = client("public.begin_payment_attempt(%s)", world.intent(invoice))
    assert overtaken(world, api_url, heard, again) == "invoice_not_open"


def test_an_intent_of_nothing_that_is_heard_of_twice_is_booked_once(world: World, api_url: str) -> None:
    # The service, or an import, may write one that names neither invoice nor hold.
    intent = one(
        world.owner,
        "insert into public.payment_intents (practice_id, user_id, amount_cents, gateway_account_id, provider)"
        " values (%s, %s, 500, %s, 'sandbox') returning id as v",
        world.practice, world.client, world.account,
    )  # fmt: skip
    said = json.dumps({k: v for k, v in succeeded(500).items() if k != "charge_id"})
    assert overtaken(world, api_url, service(HEAR, intent, said), service(HEAR, intent, said)) == "unchanged"
    assert one(world.owner, "select count(*)::int as v from public.payments where intent_id = %s", intent) == 1


def test_a_charge_that_the_service_gave_another_name_is_not_taken_for_the_intents(world: World, api_url: str) -> None:
    invoice = world.issued(5000)
    said = succeeded(5000)
    other = one(
        world.owner,
        "insert into public.payments (practice_id, coach_client_id, user_id, amount_cents, status, provider,"
        " gateway_account_id, provider_transaction_id) values (%s, %s, %s, 5000, 'paid', 'sandbox', %s, %s)"
        " returning id as v",
        world.practice, world.relation, world.client, world.account, said["charge_id"],
    )  # fmt: skip
    rename = service("update public.payments set provider_transaction_id = %s where id = %s", str(uuid4()), other)
    heard = service(HEAR, world.intent(invoice), json.dumps(said))
    assert overtaken(world, api_url, rename, heard) == "applied"
    assert world.invoice(invoice)["amount_paid_cents"] == 5000


def test_an_attempt_that_the_service_ended_stays_so_beside_the_charge(world: World, api_url: str) -> None:
    intent = world.intent(world.issued(5000))
    with world.paying() as conn:
        attempt = one(conn, "select public.begin_payment_attempt(%s) as v", intent)
    ended = service("update public.payments set status = 'canceled' where id = %s", attempt)
    heard = service(HEAR, intent, json.dumps(succeeded(5000)))
    assert overtaken(world, api_url, ended, heard) == "applied"
    assert world.payment(attempt)["status"] == "canceled"
