"""A practice's money lived through at random: whatever happens in whatever order, the sums hold after every step."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, seed, settings
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
from psycopg.rows import dict_row

from tests.features.billing.invariants import ALL
from tests.features.billing.world import Owner, World, addon, one
from tests.support.acting import hurrying

# What people may be told; anything else is a defect.
REFUSALS = {
    "invoice_final", "invoice_not_open", "invoice_paid", "invoice_voided", "payment_in_progress", "intent_closed",
    "refund_exceeds_payment", "payment_exceeds_balance", "payment_not_made", "seat_already_billed", "invoice_draft",
    "invoice_line_items_seat_once", "action_required", "not_found", "credit_note_needed", "credit_exceeds_invoice",
    "allocation_exceeds_payment", "allocation_exceeds_invoice", "nothing_allocated", "payment_refunded", "not_manual",
    "tax_not_allowed", "kind_not_allowed", "amount_out_of_range", "currency_mismatch", "fee_not_owed", "series_begun",
    "invoice_line_items_fee_once", "series_only_rises", "payments_voucher_once",
    "reason_needed", "illegal_transition", "discount_exceeds_lines", "seat_not_written_off",
}  # fmt: skip


# In parts, so that the cores of a machine share them.
PARTS = 6
EXAMPLES = 300
STEPS = 40

STATES = ["requires_payment_method", "requires_confirmation", "processing", "canceled", "succeeded"]


class Money(RuleBasedStateMachine):
    """The world is given by the test; each run gets a practice of its own."""

    make_world: Any = None

    invoices = Bundle("invoices")
    intents = Bundle("intents")
    payments = Bundle("payments")
    refunds = Bundle("refunds")

    @initialize(scheme=st.sampled_from(["own_rate", "registered", "exempt"]))
    def open_practice(self, scheme: str = "own_rate") -> None:
        self.world: World = self.make_world()
        self.world.owner.execute(
            "update public.practices set tax_scheme = %s where id = %s", [scheme, self.world.practice]
        )
        self.seats = [self.world.seat(price) for price in (1000, 35000)]
        self.said: dict[UUID, list[dict[str, Any]]] = {}

    # Of the step that is under way.
    refused = False
    done = False

    def tried(self, act: Any) -> Any:
        """The result, or None where the database refused as it may and so has changed nothing."""
        try:
            made = act()
        except psycopg.Error as refused:
            if refused.diag.constraint_name not in REFUSALS:
                raise
            self.refused = True
            return None
        self.done = True
        return made

    def asked(self, who: Any, query: str, *arguments: object) -> Any:
        def act() -> Any:
            with who() as conn:
                return one(conn, query, *arguments)

        return self.tried(act)

    @rule(
        target=invoices,
        amount=st.integers(0, 500),
        seat=st.sampled_from([None, 0, 1]),
        tax=st.sampled_from([0, 1800]),
        inclusive=st.booleans(),
        kind=st.sampled_from(["invoice", "invoice", "tax_invoice"]),
        currency=st.sampled_from(["ILS", "ILS", "ILS", "JPY"]),
        discount=st.sampled_from([0, 0, 100]),
    )
    def draft(
        self,
        amount: int,
        seat: int | None,
        tax: int,
        inclusive: bool = False,
        kind: str = "invoice",
        currency: str = "ILS",
        discount: int = 0,
    ) -> Any:
        lines = [addon(amount, quantity=3, discount_cents=amount // 4)]
        lines += [] if seat is None else [{"attendee_id": self.seats[seat]}]
        made = self.tried(
            lambda: self.world.draft(
                *lines,
                tax_rate_bp=tax,
                tax_inclusive=inclusive,
                document_kind=kind,
                currency=currency,
                discount_cents=discount,
            )
        )
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

    @rule(invoice=invoices)
    def restore(self, invoice: UUID) -> None:
        self.asked(self.world.coaching, "select public.restore_invoice(%s)::text as v", invoice)

    @rule(seat=st.integers(0, 1), taken_back=st.booleans())
    def write_off_a_seat(self, seat: int, taken_back: bool) -> None:
        self.asked(self.world.coaching, "select public.write_off_seat(%s, 'x') as v", self.seats[seat])
        if taken_back:
            self.asked(self.world.coaching, "select public.restore_seat(%s) as v", self.seats[seat])

    @rule(invoice=invoices, amount=st.one_of(st.none(), st.integers(1, 2000)))
    def credit(self, invoice: UUID, amount: int | None) -> None:
        self.asked(self.world.coaching, "select public.credit_invoice(%s, %s, 'x') as v", invoice, amount)

    @rule(target=payments, invoice=invoices, amount=st.integers(1, 40000), keep_rest=st.booleans())
    def pay_by_hand(self, invoice: UUID, amount: int, keep_rest: bool = False) -> Any:
        made = self.asked(
            self.world.coaching,
            "select public.record_manual_payment(%s, %s, 'cash', p_keep_rest => %s) as v",
            invoice, amount, keep_rest,
        )  # fmt: skip
        return multiple() if made is None else made

    @rule(target=payments, amount=st.integers(1, 40000), voucher=st.sampled_from([None, "V1", "V2"]))
    def pay_on_account(self, amount: int, voucher: str | None) -> Any:
        made = self.asked(
            self.world.coaching,
            "select public.record_payment_on_account(%s, %s, 'ILS', %s, %s) as v",
            self.world.relation, amount, "voucher" if voucher else "cash", voucher,
        )  # fmt: skip
        return multiple() if made is None else made

    @rule(payment=payments, invoice=invoices, amount=st.one_of(st.none(), st.integers(1, 2000)))
    def allocate(self, payment: UUID, invoice: UUID, amount: int | None) -> None:
        self.asked(self.world.coaching, "select public.allocate_to_invoice(%s, %s, %s) as v", payment, invoice, amount)

    @rule(payment=payments, invoice=invoices, amount=st.one_of(st.none(), st.integers(1, 500)))
    def release(self, payment: UUID, invoice: UUID, amount: int | None) -> None:
        self.asked(self.world.coaching, "select public.release_from_invoice(%s, %s, %s) as v", payment, invoice, amount)

    @rule(payment=payments)
    def undo(self, payment: UUID) -> None:
        self.asked(self.world.coaching, "select public.undo_payment(%s, 'x') as v", payment)

    @rule(payment=payments)
    def receipt(self, payment: UUID) -> None:
        self.asked(self.world.coaching, "select public.issue_receipt(%s) as v", payment)

    @rule(kind=st.sampled_from(["invoice", "receipt", "credit_note"]), last=st.integers(0, 30))
    def continue_series(self, kind: str, last: int) -> None:
        self.asked(self.world.coaching, "select public.continue_series(%s, %s) as v", kind, last)

    @rule(price=st.sampled_from([700, 12345]), missed=st.booleans())
    def hold_a_session(self, price: int, missed: bool) -> None:
        seat = self.world.seat(price)
        if missed:
            self.world.owner.execute(
                "insert into public.seat_outcomes (session_id, attendee_id, coach_id, kind, by_coach, amount_cents,"
                " currency) select a.session_id, a.id, a.coach_id, 'no_show', false, %s, 'ILS'"
                " from public.session_attendees a where a.id = %s",
                [price // 2, seat],
            )

    @rule(target=invoices, finalize=st.booleans())
    def bill_everything(self, finalize: bool) -> Any:
        def act() -> list[UUID]:
            with self.world.coaching() as conn:
                rows = conn.execute(
                    "select b.invoice_id as id from (select distinct date_trunc('month', at)::date as month"
                    " from generate_series(now() - interval '5 days', now(), interval '1 day') at) m,"
                    " public.bill_month(m.month, %s) b where b.invoice_id is not null",
                    [finalize],
                ).fetchall()
            return [row["id"] for row in rows]

        return multiple(*(self.tried(act) or []))

    @rule(target=intents, invoice=invoices)
    def begin(self, invoice: UUID) -> Any:
        made = self.tried(lambda: self.world.intent(invoice))
        # Two transactions: the first may stand although the second was refused.
        self.done = True
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
            self.asked(self.world.serving, "select public.record_refund_outcome(%s, %s) as v", refund, news)

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
        only_refused = self.refused and not self.done
        self.refused = self.done = False
        if only_refused or not hasattr(self, "world"):
            return
        keys = {"practice": self.world.practice, "coach": self.world.coach}
        with self.world.paying() as conn:
            seen = conn.execute(
                "select (select count(*) from public.journal_entries) + (select count(*) from public.invoices"
                " where user_id is distinct from %s or finalized_at is null) as n",
                [self.world.client],
            ).fetchone()
        assert seen == {"n": 0}, "a client sees what is not the client's"
        wrong = self.world.owner.execute(ALL, keys, prepare=True).fetchall()
        assert not wrong


@pytest.fixture
def machine(database_url: str, api_url: str) -> Any:
    """The machine over two connections that stay: one of the owner, one on which everybody acts."""
    with (
        psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as owner,
        hurrying(api_url) as door,
    ):

        class Bound(Money):
            @staticmethod
            def make_world() -> World:
                return World.make(owner, lambda user: door("authenticated", sub=str(user)), door)

        yield Bound


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_to_money_the_sums_hold_after_every_step(machine: Any, campaign: bool, part: int) -> None:
    """With --campaign 5,000 lives of 80 steps instead, other ones each time."""
    run_state_machine_as_test(
        machine if campaign else seed(part)(machine),
        settings=settings(
            max_examples=(5000 if campaign else EXAMPLES) // PARTS,
            stateful_step_count=80 if campaign else STEPS,
            deadline=None,
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
        payment = run.pay_by_hand(invoice, 275)
        run.refund(payment, 100)
        with pytest.raises(AssertionError):
            run.the_books_are_right()
    finally:
        owner.execute(f"alter table public.{table} enable trigger {trigger}")
