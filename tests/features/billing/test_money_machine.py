"""A practice's money lived through at random: whatever happens in whatever order, the sums hold after every step."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.features.billing.world import Owner, World, addon, one
from tests.support.acting import AsRole, AsUser

# Each finds what must not exist; named by the invariants that the reference of the field lists.
INVARIANTS: dict[str, Any] = {
    "a final total equals its lines": """
        select i.id from public.invoices i
        join lateral (select coalesce(sum(l.line_total_cents), 0) as net from public.invoice_line_items l
                      where l.invoice_id = i.id) s on true
        where i.practice_id = %(practice)s
          and (i.subtotal_cents <> s.net or i.total_amount_cents <> s.net + i.tax_cents)""",
    "allocations stay within the payment less its refunds": """
        select p.id from public.payments p where p.practice_id = %(practice)s
        and (p.allocated_cents + p.refunded_cents > p.amount_cents or p.allocated_cents <>
          (select coalesce(sum(a.amount_cents), 0) from public.payment_allocations a where a.payment_id = p.id))""",
    "allocations stay within the invoice and are its paid amount": """
        select i.id from public.invoices i
        join lateral (select coalesce(sum(a.amount_cents), 0) as paid, coalesce(sum(a.refunded_cents), 0) as back
                      from public.payment_allocations a where a.invoice_id = i.id) s on true
        where i.practice_id = %(practice)s
          and ((i.amount_paid_cents, i.amount_refunded_cents) <> (s.paid, s.back)
            or s.paid + s.back > i.total_amount_cents)""",
    "refunds stay within the payment": """
        select p.id from public.payments p
        join lateral (select coalesce(sum(r.amount_cents) filter (where r.status <> 'failed'), 0) as reserved,
                        coalesce(sum(r.amount_cents) filter (where r.status = 'succeeded'), 0) as back
                      from public.payment_refunds r where r.payment_id = p.id) s on true
        where p.practice_id = %(practice)s
          and (s.reserved > p.amount_cents or (p.refund_reserved_cents, p.refunded_cents) <> (s.reserved, s.back)
            or (p.status = 'refunded') <> (s.back = p.amount_cents))""",
    "one charge is one payment, and an intent has one at most": """
        select min(p.id::text) from public.payments p
        where p.practice_id = %(practice)s and p.status in ('paid', 'refunded')
          and p.intent_id is not null
        group by p.intent_id having count(*) > 1""",
    "currencies are never mixed": """
        select a.id from public.payment_allocations a
        join public.payments p on p.id = a.payment_id join public.invoices i on i.id = a.invoice_id
        where a.practice_id = %(practice)s and (p.currency <> i.currency or a.currency <> i.currency)""",
    "numbers have no holes": """
        select s.year from public.invoice_series s where s.practice_id = %(practice)s and s.last_number <>
          (select count(distinct i.number) from public.invoices i where i.practice_id = s.practice_id
             and i.document_kind = s.document_kind and i.series_year = s.year)""",
    "the state of an invoice follows from its amounts": """
        select i.id from public.invoices i where i.practice_id = %(practice)s and i.finalized_at is not null
          and i.status <> case
            when i.voided_at is not null then 'canceled'
            when i.amount_paid_cents + i.amount_refunded_cents < i.total_amount_cents then 'pending'
            when i.amount_paid_cents = 0 and i.amount_refunded_cents > 0 then 'refunded'
            else 'paid' end::public.payment_status""",
    "a seat stands as its invoice does": """
        select a.id from public.session_attendees a
        left join public.invoice_line_items l on l.attendee_id = a.id and l.released_at is null
        left join public.invoices i on i.id = l.invoice_id and i.finalized_at is not null
        where a.coach_id = %(coach)s and a.role = 'client' and a.billing_status <> case
            when i.id is null then 'unbilled' when i.status = 'paid' then 'paid'
            when i.status = 'refunded' or i.written_off_at is not null then 'written_off'
            else 'awaiting_payment' end::public.session_billing_status""",
    "what is under way has a time to be looked at": """
        select i.id from public.payment_intents i where i.practice_id = %(practice)s and i.status = 'processing'
          and i.next_check_at is null
        union all
        select r.id from public.payment_refunds r
        where r.practice_id = %(practice)s and r.status in ('pending', 'processing')
          and r.next_check_at is null""",
    "what is over keeps no secret": """
        select i.id from public.payment_intents i where i.practice_id = %(practice)s
          and i.status in ('succeeded', 'canceled') and i.client_secret is not null""",
}

# What people may be told; anything else is a defect.
REFUSALS = {
    "invoice_final", "invoice_not_open", "invoice_paid", "invoice_voided", "payment_in_progress", "intent_closed",
    "refund_exceeds_payment", "payment_exceeds_balance", "payment_not_made", "seat_already_billed", "invoice_draft",
    "invoice_line_items_seat_once", "action_required", "not_found",
}  # fmt: skip


STATES = ["requires_payment_method", "requires_confirmation", "processing", "canceled", "succeeded"]


class Money(RuleBasedStateMachine):
    """The world is given by the test; each run gets a practice of its own."""

    make_world: Any = None

    invoices = Bundle("invoices")
    intents = Bundle("intents")
    payments = Bundle("payments")
    refunds = Bundle("refunds")

    @initialize()
    def open_practice(self) -> None:
        self.world: World = self.make_world()
        self.seats = [self.world.seat(price) for price in (1000, 35000)]
        self.said: dict[UUID, list[dict[str, Any]]] = {}

    def tried(self, act: Any) -> Any:
        """The result, or None where the database refused as it may."""
        try:
            return act()
        except psycopg.Error as refused:
            if refused.diag.constraint_name not in REFUSALS:
                raise
            return None

    def asked(self, who: Any, query: str, *arguments: object) -> Any:
        def act() -> Any:
            with who() as conn:
                return one(conn, query, *arguments)

        return self.tried(act)

    @rule(
        target=invoices, amount=st.integers(0, 500), seat=st.sampled_from([None, 0, 1]), tax=st.sampled_from([0, 1800])
    )
    def draft(self, amount: int, seat: int | None, tax: int) -> Any:
        lines = [addon(amount, quantity=3)] + ([] if seat is None else [{"attendee_id": self.seats[seat]}])
        made = self.tried(lambda: self.world.draft(*lines, tax_rate_bp=tax))
        return multiple() if made is None else made

    @rule(invoice=invoices)
    def finalize(self, invoice: UUID) -> None:
        self.tried(lambda: self.world.finalize(invoice))

    @rule(invoice=invoices)
    def void(self, invoice: UUID) -> None:
        self.asked(self.world.coaching, "select public.void_invoice(%s)::text as v", invoice)

    @rule(invoice=invoices)
    def write_off(self, invoice: UUID) -> None:
        self.asked(self.world.coaching, "select public.write_off_invoice(%s, 'x')::text as v", invoice)

    @rule(target=payments, invoice=invoices, amount=st.integers(1, 40000))
    def pay_by_hand(self, invoice: UUID, amount: int) -> Any:
        made = self.asked(
            self.world.coaching, "select public.record_manual_payment(%s, %s, 'cash') as v", invoice, amount
        )
        return multiple() if made is None else made

    @rule(target=intents, invoice=invoices)
    def begin(self, invoice: UUID) -> Any:
        made = self.tried(lambda: self.world.intent(invoice))
        return multiple() if made is None else made

    @rule(intent=intents)
    def attempt(self, intent: UUID) -> None:
        self.asked(self.world.paying, "select public.begin_payment_attempt(%s) as v", intent)

    @rule(
        intent=intents,
        status=st.sampled_from(
            ["requires_payment_method", "requires_confirmation", "processing", "canceled", "succeeded"]
        ),
        looked_up=st.booleans(),
    )
    def hear(self, intent: UUID, status: str, looked_up: bool) -> None:
        row = self.world.row("select amount_cents from public.payment_intents where id = %s", intent)
        news = {
            "status": status, "provider_status": status, "currency": "ILS",
            "amount_received_cents": row["amount_cents"], "charge_id": f"ch_{intent}",
        }  # fmt: skip
        self.said.setdefault(intent, []).append(news)
        self.world.outcome(intent, news, looked_up)

    @rule(target=payments, intent=intents)
    def hear_all_again(self, intent: UUID) -> Any:
        for news in reversed(self.said.get(intent, [])):
            self.world.outcome(intent, news)
        found = self.world.owner.execute(
            "select id from public.payments where intent_id = %s and status = 'paid'", [intent]
        ).fetchall()
        return multiple(*(row["id"] for row in found))

    @rule(intent=intents)
    def lose_the_answer(self, intent: UUID) -> None:
        with self.world.serving() as conn:
            conn.execute("select public.record_intent_unknown(%s, 'lost')", [intent])

    @rule(intent=intents)
    def give_up(self, intent: UUID) -> None:
        self.asked(self.world.paying, "select public.cancel_payment_intent(%s)::text as v", intent)

    @rule(target=refunds, payment=payments, amount=st.one_of(st.none(), st.integers(1, 20000)))
    def refund(self, payment: UUID, amount: int | None) -> Any:
        made = self.asked(self.world.coaching, "select public.request_refund(%s, %s, 'x') as v", payment, amount)
        return multiple() if made is None else made

    @rule(refund=refunds, status=st.sampled_from(["processing", "succeeded", "failed"]), copies=st.integers(1, 3))
    def hear_of_refund(self, refund: UUID, status: str, copies: int) -> None:
        row = self.world.row("select amount_cents, currency from public.payment_refunds where id = %s", refund)
        news = json.dumps({"status": status, "provider_refund_id": f"re_{refund}", **row})
        for _ in range(copies):
            with self.world.serving() as conn:
                conn.execute("select public.record_refund_outcome(%s, %s)", [refund, news])

    @rule(payment=payments, amount=st.integers(1, 20000))
    def refund_at_the_gateway(self, payment: UUID, amount: int) -> None:
        def act() -> None:
            with self.world.serving() as conn:
                conn.execute(
                    "insert into public.payment_refunds (payment_id, amount_cents, status, provider_refund_id)"
                    " values (%s, %s, 'succeeded', %s)",
                    [payment, amount, str(uuid4())],
                )

        self.tried(act)

    @invariant()
    def the_books_are_right(self) -> None:
        if not hasattr(self, "world"):
            return
        keys = {"practice": self.world.practice, "coach": self.world.coach}
        for claim, query in INVARIANTS.items():
            wrong = self.world.owner.execute(query, keys).fetchall()
            assert not wrong, f"{claim}: {wrong}"


@pytest.fixture
def machine(database_url: str, as_user: AsUser, as_role: AsRole) -> Any:
    with psycopg.connect(database_url, autocommit=True, row_factory=psycopg.rows.dict_row) as owner:

        class Bound(Money):
            @staticmethod
            def make_world() -> World:
                return World.make(owner, as_user, as_role)

        yield Bound


def test_whatever_happens_to_money_the_sums_hold_after_every_step(machine: Any) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=8,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize(
    ("table", "trigger"),
    [("payment_refunds", "payment_refunds_settle"), ("payment_allocations", "payment_allocations_settle")],
)
def test_the_machine_sees_books_that_a_missing_trigger_left_wrong(
    machine: Any, owner: Owner, table: str, trigger: str
) -> None:
    """The negative control: with a guard switched off, the same steps leave what the invariants find."""
    run = machine()
    run.open_practice()
    owner.execute(f"alter table public.{table} disable trigger {trigger}")
    try:
        invoice = run.draft(100, None, 0)
        run.finalize(invoice)
        run.the_books_are_right()
        payment = run.pay_by_hand(invoice, 300)
        run.refund(payment, 100)
        with pytest.raises(AssertionError):
            run.the_books_are_right()
    finally:
        owner.execute(f"alter table public.{table} enable trigger {trigger}")
