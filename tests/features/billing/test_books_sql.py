"""The books: what each movement posts, that they agree with documents, and that a broken one is found."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.features.billing.world import World, addon, code_of, one, person, relate


def accounts(world: World) -> dict[str, int]:
    """What each account of the practice stands at; those at zero left out."""
    rows = world.owner.execute(
        "select account, sum(amount_cents)::bigint as amount from public.journal_entries where practice_id = %s"
        " group by account having sum(amount_cents) <> 0",
        [world.practice],
    ).fetchall()
    return {row["account"]: row["amount"] for row in rows}


def differences(world: World) -> list[tuple[str, str]]:
    """What verifying the practice finds."""
    with world.coaching() as conn:
        rows = conn.execute("select check_name, subject_id from public.verify_books()").fetchall()
    return [(row["check_name"], row["subject_id"]) for row in rows]


def by_hand(world: World, invoice: UUID, amount: int, method: str = "cash", **more: Any) -> UUID:
    named = "".join(f", p_{name} => %({name})s" for name in more)
    with world.coaching() as conn:
        row = conn.execute(
            f"select public.record_manual_payment(%(invoice)s, %(amount)s, %(method)s{named}) as v",
            {"invoice": invoice, "amount": amount, "method": method, **more},
        ).fetchone()
    assert row is not None
    return row["v"]


def act(world: World, call: Any, *arguments: object) -> Any:
    with world.coaching() as conn:
        return one(conn, f"select public.{call} as v", *arguments)


def registered(world: World, scheme: str = "registered") -> None:
    world.owner.execute("update public.practices set tax_scheme = %s where id = %s", [scheme, world.practice])


def test_an_invoice_a_payment_and_a_refund_stand_in_the_books(world: World) -> None:
    invoice = world.draft(addon(10000), tax_rate_bp=1800)
    world.finalize(invoice)
    assert accounts(world) == {"receivable": 11800, "revenue": -10000, "tax": -1800}
    payment = by_hand(world, invoice, 11800)
    assert accounts(world) == {"cash": 11800, "revenue": -10000, "tax": -1800}
    act(world, "request_refund(%s, 1800, 'came late')", payment)
    assert accounts(world) == {"cash": 10000, "refunds": 1800, "revenue": -10000, "tax": -1800}
    act(world, "credit_invoice(%s, 1800, 'came late')", invoice)
    assert accounts(world) == {"cash": 10000, "revenue": -8475, "tax": -1525}
    assert differences(world) == []


def test_card_money_lies_at_the_gateway_until_it_is_paid_out(world: World) -> None:
    world.paid(10000)
    assert accounts(world) == {"clearing:sandbox": 10000, "revenue": -10000}
    assert differences(world) == []


def test_voiding_writing_off_and_taking_that_back_post_and_reverse(world: World) -> None:
    invoice = world.issued(5000)
    act(world, "write_off_invoice(%s, 'gone')::text", invoice)
    assert accounts(world) == {"write_offs": 5000, "revenue": -5000}
    act(world, "restore_invoice(%s)::text", invoice)
    act(world, "void_invoice(%s)::text", invoice)
    assert accounts(world) == {}
    kinds = world.owner.execute(
        "select kind from public.journal_transactions where subject_id = %s order by created_at", [invoice]
    ).fetchall()
    assert [row["kind"] for row in kinds] == ["invoice_issued", "written_off", "write_off_undone", "invoice_voided"]


def test_over_payment_is_refused_unless_it_is_meant_and_is_then_credit(world: World) -> None:
    invoice = world.issued(5000)
    with pytest.raises(psycopg.Error) as refused:
        by_hand(world, invoice, 6000)
    assert code_of(refused) == "payment_exceeds_balance"
    by_hand(world, invoice, 6000, keep_rest=True)
    assert accounts(world) == {"cash": 6000, "credits": -1000, "revenue": -5000}
    with world.paying() as conn:
        mine = conn.execute("select open_cents, credit_cents, balance_cents from public.client_balances").fetchall()
    assert mine == [{"open_cents": 0, "credit_cents": 1000, "balance_cents": -1000}]


def test_one_payment_over_several_invoices_and_back(world: World) -> None:
    first, second = world.issued(5000), world.issued(3000)
    with world.coaching() as conn:
        payment = one(
            conn,
            "select public.record_payment_on_account(%s, 9000, 'ILS', 'bank_transfer', 'T-1', p_allocations =>"
            " jsonb_build_array(jsonb_build_object('invoice_id', %s::uuid, 'amount_cents', 5000),"
            " jsonb_build_object('invoice_id', %s::uuid))) as v",
            world.relation, first, second,
        )  # fmt: skip
    assert [world.invoice(each)["status"] for each in (first, second)] == ["paid", "paid"]
    assert accounts(world) == {"bank": 9000, "credits": -1000, "revenue": -8000}
    assert act(world, "release_from_invoice(%s, %s, 2000)", payment, first) == 2000
    assert world.invoice(first)["status"] == "pending"
    assert accounts(world) == {"bank": 9000, "credits": -3000, "receivable": 2000, "revenue": -8000}
    assert act(world, "allocate_to_invoice(%s, %s)", payment, first) == 2000
    assert differences(world) == []


def test_a_payment_of_one_client_does_not_pay_the_invoice_of_another(world: World) -> None:
    other = person(world.owner, "client")
    relate(world.owner, world.coach, other)
    theirs = world.draft(addon(100), client=other)
    world.finalize(theirs)
    payment = by_hand(world, world.issued(100), 200, keep_rest=True)
    with pytest.raises(psycopg.Error) as refused:
        act(world, "allocate_to_invoice(%s, %s, 50)", payment, theirs)
    assert code_of(refused) == "other_client"


def test_undoing_a_payment_opens_its_invoice_and_stays_on_record(world: World) -> None:
    registered(world, "exempt")
    invoice = world.issued(5000)
    payment = by_hand(world, invoice, 5000)
    assert world.row("select document_kind from public.invoices where payment_id = %s", payment)["document_kind"] == (
        "receipt"
    )
    act(world, "undo_payment(%s, 'typed twice')", payment)
    assert (world.invoice(invoice)["status"], world.payment(payment)["status"]) == ("pending", "refunded")
    assert accounts(world) == {"receivable": 5000, "revenue": -5000}
    assert world.row("select count(*) as n from public.invoices where credit_of_invoice_id in"
                     " (select id from public.invoices where payment_id = %s)", payment)["n"] == 1  # fmt: skip
    by_hand(world, invoice, 5000)
    assert differences(world) == []


def test_the_same_voucher_is_taken_once_and_again_after_it_was_undone(world: World) -> None:
    first, second = world.issued(100), world.issued(100)
    payment = by_hand(world, first, 100, "voucher", reference="V-77")
    # Copied out of a Hebrew text a number brings marks along that nobody sees.
    for same in ("v-77", "V-77\u200f", "\u200e V-77", " \u061cV-\u200b77 "):
        with pytest.raises(psycopg.Error) as refused:
            by_hand(world, second, 100, "voucher", reference=same)
        assert code_of(refused) == "payments_voucher_once"
    act(world, "undo_payment(%s, 'wrong invoice')", payment)
    by_hand(world, second, 100, "voucher", reference="V-77")
    assert accounts(world) == {"receivable": 100, "revenue": -200, "vouchers": 100}


def test_a_credit_note_on_a_paid_invoice_leaves_the_money_as_credit(world: World) -> None:
    seat = world.seat(10000)
    invoice = world.draft({"attendee_id": seat})
    world.finalize(invoice)
    payment = by_hand(world, invoice, 10000)
    act(world, "credit_invoice(%s, 4000, 'shorter')", invoice)
    assert accounts(world) == {"cash": 10000, "credits": -4000, "revenue": -6000}
    assert (world.invoice(invoice)["status"], world.seat_status(seat)) == ("paid", "paid")
    act(world, "credit_invoice(%s, null, 'not held')", invoice)
    assert (world.invoice(invoice)["status"], world.seat_status(seat)) == ("canceled", "unbilled")
    assert world.payment(payment)["allocated_cents"] == 0
    with pytest.raises(psycopg.Error) as refused:
        act(world, "credit_invoice(%s, 1, 'more')", invoice)
    assert code_of(refused) in {"invoice_not_open", "credit_exceeds_invoice"}
    again = world.draft({"attendee_id": seat})
    world.finalize(again)
    assert world.seat_status(seat) == "awaiting_payment"
    assert differences(world) == []


def test_a_refund_that_fails_after_its_credit_note_leaves_credit(world: World) -> None:
    invoice, payment = world.paid(10000)
    refund = act(world, "request_refund(%s, 4000)", payment)
    news = '{"status": "%s", "provider_refund_id": "re_1", "currency": "ILS", "amount_cents": 4000}'
    with world.serving() as conn:
        conn.execute("select public.record_refund_outcome(%s, %s)", [refund, news % "succeeded"])
    act(world, "credit_invoice(%s, 4000, 'came late')", invoice)
    assert accounts(world) == {"clearing:sandbox": 6000, "revenue": -6000}
    with world.serving() as conn:
        conn.execute("select public.record_refund_outcome(%s, %s)", [refund, news % "failed"])
    assert accounts(world) == {"clearing:sandbox": 10000, "credits": -4000, "revenue": -6000}
    assert world.invoice(invoice)["status"] == "paid"
    assert differences(world) == []


def test_nobody_changes_the_journal_nor_a_final_document_not_even_its_owner(world: World) -> None:
    invoice = world.issued(100)
    for change, code in (
        ("update public.journal_entries set amount_cents = 1", "journal_append_only"),
        ("delete from public.journal_transactions", "journal_append_only"),
        ("truncate public.journal_entries", "journal_append_only"),
        ("truncate public.invoices cascade", "money_is_kept"),
        ("delete from public.invoices where finalized_at is not null", "invoice_final"),
        ("update public.invoices set notes = 'x' where finalized_at is not null", "invoice_final"),
    ):
        with pytest.raises(psycopg.Error) as refused:
            world.owner.execute(change)
        assert code_of(refused) == code, change
    assert world.invoice(invoice)["total_amount_cents"] == 100


@pytest.mark.parametrize(
    ("table", "trigger", "found"),
    [
        ("invoices", "invoices_book", "document_in_journal"),
        ("payments", "payments_book", "payment_in_journal"),
        ("payment_allocations", "payment_allocations_settle", "paid_by_allocations"),
        ("payment_refunds", "payment_refunds_settle", "counters_of_payment"),
    ],
)
def test_verifying_says_where_a_missing_trigger_left_the_books_wrong(
    world: World, table: str, trigger: str, found: str
) -> None:
    assert differences(world) == []
    world.owner.execute(f"alter table public.{table} disable trigger {trigger}")
    try:
        invoice = world.issued(5000)
        payment = by_hand(world, invoice, 5000)
        act(world, "request_refund(%s, 100, 'x')", payment)
    finally:
        world.owner.execute(f"alter table public.{table} enable trigger {trigger}")
    assert found in {check for check, _ in differences(world)}


def test_old_payments_without_a_practice_stand_outside_the_books(world: World) -> None:
    """As an adopted database has them: nobody knows who received them, or they are older than the practice."""
    world.owner.execute(
        "insert into public.payments (user_id, amount_cents, status) values (%s, 700, 'paid')", [world.client]
    )
    assert accounts(world) == {}
    assert differences(world) == []
    with world.paying() as conn:
        assert conn.execute("select 1 from public.client_balances").fetchall() == []
