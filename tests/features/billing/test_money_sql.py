"""Payments in the database: news from gateways, allocations, what was made stands."""

from __future__ import annotations

import itertools
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.features.billing.world import World, at_once, code_of, one, succeeded

Refused = psycopg.Error


def test_the_same_outcome_eight_times_at_once_has_one_effect(world: World) -> None:
    for _ in range(5):
        invoice = world.issued(5000)
        intent = world.intent(invoice)
        said = succeeded(5000)
        results = at_once(8, lambda _, intent=intent, said=said: world.outcome(intent, said))
        assert sorted(results) == ["applied"] + ["unchanged"] * 7
        assert world.row(
            "select count(*) as n, sum(amount_cents) as sum from public.payments where intent_id = %s", intent
        ) == {
            "n": 1,
            "sum": 5000,
        }
        assert world.invoice(invoice)["amount_paid_cents"] == 5000


def test_the_news_of_one_intent_ends_the_same_in_every_order(world: World) -> None:
    life = [
        {"status": "requires_payment_method", "currency": "ILS", "error_code": "card_declined"},
        {"status": "processing", "currency": "ILS"},
        {"status": "requires_confirmation", "currency": "ILS", "next_action": {"url": "x"}},
        succeeded(700, charge_id=f"ch_{uuid4()}"),
    ]
    for order in itertools.permutations(life):
        invoice = world.issued(700)
        intent = world.intent(invoice)
        charge = f"ch_{intent}"
        for news in order:
            world.outcome(intent, news | ({"charge_id": charge} if "charge_id" in news else {}))
        row = world.row("select status, client_secret, next_action from public.payment_intents where id = %s", intent)
        assert row == {"status": "succeeded", "client_secret": None, "next_action": None}
        assert world.invoice(invoice)["status"] == "paid"
        assert (
            one(
                world.owner,
                "select count(*) as v from public.payments where intent_id = %s and status = 'paid'",
                intent,
            )
            == 1
        )


def test_a_declined_attempt_fails_and_the_next_one_pays(world: World) -> None:
    invoice = world.issued(700)
    intent = world.intent(invoice)
    with world.paying() as conn:
        first = one(conn, "select public.begin_payment_attempt(%s) as v", intent)
    world.outcome(
        intent,
        {
            "status": "requires_payment_method",
            "currency": "ILS",
            "error_code": "card_declined",
            "charge_id": f"ch_{first}",
        },
        True,
    )
    assert (world.payment(first)["status"], world.payment(first)["failure_code"]) == ("failed", "card_declined")
    with world.paying() as conn:
        second = one(conn, "select public.begin_payment_attempt(%s) as v", intent)
    # The late news of the first attempt does not end the second.
    stale = {"status": "requires_payment_method", "currency": "ILS", "error_code": "card_declined"}
    assert world.outcome(intent, stale) == "stale"
    assert world.payment(second)["status"] == "pending"
    world.outcome(intent, succeeded(700))
    assert world.payment(second)["status"] == "paid"
    assert world.payment(first)["status"] == "failed"


def test_an_attempt_that_never_arrived_fails_only_at_the_third_look(world: World) -> None:
    intent = world.intent(world.issued(700))
    with world.paying() as conn:
        attempt = one(conn, "select public.begin_payment_attempt(%s) as v", intent)
    before = {"status": "requires_payment_method", "currency": "ILS"}
    assert [world.outcome(intent, before, looked_up=True) for _ in range(3)] == ["wait", "wait", "applied"]
    assert (world.payment(attempt)["status"], world.payment(attempt)["failure_code"]) == ("failed", "not_received")
    # And if the money moved all the same, it is booked.
    assert world.outcome(intent, succeeded(700)) == "applied"
    assert (
        one(
            world.owner,
            "select sum(amount_cents) as v from public.payments where intent_id = %s and status = 'paid'",
            intent,
        )
        == 700
    )


def test_news_that_cannot_be_about_the_intent_pay_nothing(world: World) -> None:
    intent = world.intent(world.issued(700))
    for lie in ({"currency": "USD"}, {"amount_received_cents": 701}, {"reference": str(uuid4())}, {"amount_cents": 70}):
        assert world.outcome(intent, succeeded(700) | lie, looked_up=True) == "incident"
    assert world.row("select count(*) as n from public.payments where intent_id = %s", intent)["n"] == 0
    # The control: the same without the lie.
    assert world.outcome(intent, succeeded(700, reference=str(intent), amount_cents=700)) == "applied"


def test_two_tabs_share_one_intent_and_pay_once(world: World) -> None:
    invoice = world.issued(700)

    def tab(_: int) -> UUID:
        with world.paying() as conn:
            return one(conn, "select public.begin_payment_intent(%s) as v", invoice)

    assert len(set(at_once(8, tab))) == 1


def test_money_that_comes_twice_stays_the_clients_credit(world: World) -> None:
    invoice = world.issued(700)
    intent = world.intent(invoice)
    with world.coaching() as conn:
        conn.execute("select public.record_manual_payment(%s, 700, 'cash')", [invoice])
    assert one(world.owner, "select status as v from public.payment_intents where id = %s", intent) == "canceled"
    # The payer was faster than the cancellation.
    assert world.outcome(intent, succeeded(700)) == "applied"
    row = world.row("select status, allocated_cents from public.payments where intent_id = %s", intent)
    assert row == {"status": "paid", "allocated_cents": 0}
    assert world.invoice(invoice)["amount_paid_cents"] == 700


def test_allocations_never_exceed_the_payment_nor_the_invoice_at_once(world: World, database_url: str) -> None:
    first, second = world.issued(700), world.issued(700)
    payment = one(
        world.owner,
        "insert into public.payments (amount_cents, status, practice_id) values (1000, 'paid', %s) returning id as v",
        world.practice,
    )

    def work(index: int) -> None:
        with psycopg.connect(database_url) as conn:
            conn.isolation_level = [None, psycopg.IsolationLevel.REPEATABLE_READ][index % 2]
            conn.execute(
                "insert into public.payment_allocations (payment_id, invoice_id, amount_cents) values (%s, %s, 700)",
                [payment, [first, second][index % 2]],
            )

    at_once(8, work)
    assert (
        one(world.owner, "select sum(amount_cents) as v from public.payment_allocations where payment_id = %s", payment)
        == 700
    )
    third = world.issued(100)
    with pytest.raises(Refused) as refused:
        world.owner.execute(
            "insert into public.payment_allocations (payment_id, invoice_id, amount_cents) values (%s, %s, 101)",
            [payment, third],
        )
    assert code_of(refused) == "allocation_exceeds_invoice"


def test_manual_payments_need_a_reference_and_stay_within_the_balance(world: World) -> None:
    invoice = world.issued(700)
    for arguments, code in (
        ("700, 'bank_transfer'", "reference_needed"),
        ("700, 'credit_card'", "not_manual"),
        ("701, 'cash'", "payment_exceeds_balance"),
        ("0, 'cash'", "payments_amount_cents_check"),
        ("700, 'cash', null, now() + interval '3 days'", "received_in_future"),
        ("700, 'cash', null, '0001-01-01'", "received_too_early"),
    ):
        with world.coaching() as conn, pytest.raises(Refused) as refused:
            conn.execute(f"select public.record_manual_payment('{invoice}', {arguments})")
        assert code_of(refused) == code
    with world.coaching() as conn:
        conn.execute("select public.record_manual_payment(%s, 300, 'voucher', 'V-1')", [invoice])
    assert world.invoice(invoice)["status"] == "pending"
    with world.coaching() as conn:
        rest = one(conn, "select public.record_manual_payment(%s, 400, 'cash', null, null, 'k') as v", invoice)
        assert one(conn, "select public.record_manual_payment(%s, 400, 'cash', null, null, 'k') as v", invoice) == rest
    assert world.invoice(invoice)["status"] == "paid"


def test_plain_inserts_of_the_reviews_columns_work_for_the_service(world: World) -> None:
    invoice = world.issued(700)
    with world.serving() as conn:
        method = one(
            conn,
            "insert into public.payment_methods (user_id, type, provider) values (%s, 'cash',"
            " 'manual') returning id as v",
            world.client,
        )
        intent = one(
            conn,
            "insert into public.payment_intents (user_id, amount_cents, payment_method_id,"
            " client_secret) values (%s, 5, %s, 's')"
            " returning id as v",
            world.client,
            method,
        )
        payment = one(
            conn,
            "insert into public.payments (user_id, amount_cents, status, invoice_id, intent_id, method_id)"
            " values (%s, 700, 'paid', %s, %s, %s) returning id as v",
            world.client,
            invoice,
            intent,
            method,
        )
        conn.execute(
            "insert into public.payment_line_items (payment_id, description, amount_cents) values (%s, 'x', 700)",
            [payment],
        )
        conn.execute(
            "insert into public.payment_refunds (payment_id, amount_cents, status) values (%s, 100, 'succeeded')",
            [payment],
        )
    row = world.payment(payment)
    assert (row["practice_id"], row["method_type"], row["refunded_cents"]) == (world.practice, "cash", 100)
    with world.serving() as conn:
        conn.execute(
            "insert into public.payments (user_id, amount_cents, provider, provider_transaction_id)"
            " values (%s, 1, 'tranzila', 't1')"
            " on conflict (provider, provider_transaction_id) do update set amount_cents = 2",
            [world.client],
        )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("status = 'pending'", "illegal_transition"),
        ("status = 'failed'", "illegal_transition"),
        ("amount_cents = 5", "payment_final"),
        ("currency = 'USD'", "payment_final"),
        ("status = 'refunded'", "illegal_transition"),
    ],
)
def test_a_payment_that_was_made_stands(world: World, change: str, code: str) -> None:
    _, payment = world.paid(100)
    with pytest.raises(Refused) as refused:
        world.owner.execute(f"update public.payments set {change} where id = '{payment}'")
    assert code_of(refused) == code


def test_a_person_has_one_default_method_and_removed_ones_do_not_come_back(world: World) -> None:
    with world.serving() as conn:
        first, second = (
            one(
                conn,
                "insert into public.payment_methods (user_id, type, provider, provider_method_id,"
                " is_default, gateway_account_id)"
                " values (%s, 'credit_card', 'sandbox', %s, true, %s) returning id as v",
                world.client,
                name,
                world.account,
            )
            for name in ("pm_1", "pm_2")
        )
    assert one(world.owner, "select is_default as v from public.payment_methods where id = %s", first) is False
    with world.paying() as conn:
        conn.execute("update public.payment_methods set is_default = true where id = %s", [first])
    assert one(world.owner, "select is_default as v from public.payment_methods where id = %s", second) is False
    with world.paying() as conn:
        conn.execute("update public.payment_methods set detached_at = now() where id = %s", [first])
    with world.paying() as conn, pytest.raises(Refused) as refused:
        conn.execute("update public.payment_methods set detached_at = null where id = %s", [first])
    assert code_of(refused) == "method_detached"
    with world.paying() as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("update public.payment_methods set last4 = '1111' where id = %s", [first])
