"""Kinds of documents: which are made when, with which tax, under which numbers; and what is refused."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from tests.features.billing.test_books_sql import accounts, act, by_hand, differences, registered
from tests.features.billing.world import World, addon, code_of, one


def refused_as(code: str, world: World, call: str, *arguments: object) -> None:
    with pytest.raises(psycopg.Error) as refused:
        act(world, call, *arguments)
    assert code_of(refused) == code


def receipt_of(world: World, payment: object) -> dict[str, object]:
    return world.row("select * from public.invoices where payment_id = %s", payment)


def test_in_a_registered_practice_the_tax_falls_due_with_the_payment(world: World) -> None:
    registered(world)
    invoice = world.draft(addon(10001))
    world.finalize(invoice)
    row = world.invoice(invoice)
    assert (row["document_kind"], row["tax_rate_bp"], row["tax_cents"], row["tax_on_payment"]) == (
        "invoice", 1800, 1800, True,
    )  # fmt: skip
    assert accounts(world) == {"receivable": 11801, "revenue": -10001, "tax_deferred": -1800}
    payments = [by_hand(world, invoice, amount) for amount in (3333, 3333, 5135)]
    receipts = [receipt_of(world, payment) for payment in payments]
    assert {receipt["document_kind"] for receipt in receipts} == {"tax_invoice_receipt"}
    assert sum(int(str(receipt["tax_cents"])) for receipt in receipts) == 1800
    assert [receipt["number"] for receipt in receipts] == [1, 2, 3]
    assert accounts(world) == {"cash": 11801, "revenue": -10001, "tax": -1800}
    assert differences(world) == []


@pytest.mark.parametrize(("language", "said"), [("en", "On account"), ("he", "על החשבון")])
def test_a_receipt_says_what_is_on_account_and_not_of_an_invoice(world: World, language: str, said: str) -> None:
    registered(world)
    world.owner.execute("update public.practices set language = %s where id = %s", [language, world.practice])
    invoice = world.issued(10000)
    payment = by_hand(world, invoice, 12577, keep_rest=True)
    lines = world.owner.execute(
        "select description, amount_cents from public.invoice_line_items where invoice_id = %s order by amount_cents",
        [receipt_of(world, payment)["id"]],
    ).fetchall()
    number = world.invoice(invoice)["document_number"]
    assert [tuple(line.values()) for line in lines] == [(said, 777), (number, 11800)]


def test_a_tax_invoice_owes_its_tax_at_once_and_its_payment_gets_a_plain_receipt(world: World) -> None:
    registered(world)
    invoice = world.draft(addon(10000), document_kind="tax_invoice")
    number = world.finalize(invoice)
    assert number.startswith("TAX-")
    assert accounts(world)["tax"] == -1800
    payment = by_hand(world, invoice, 11800)
    assert (receipt_of(world, payment)["document_kind"], receipt_of(world, payment)["tax_cents"]) == ("receipt", 0)
    refused_as("credit_note_needed", world, "void_invoice(%s)::text", invoice)


def test_an_exempt_practice_has_no_tax_and_no_tax_documents(world: World) -> None:
    registered(world, "exempt")
    with pytest.raises(psycopg.Error) as refused:
        world.draft(addon(100), tax_rate_bp=1800)
    assert code_of(refused) == "tax_not_allowed"
    with pytest.raises(psycopg.Error) as refused:
        world.draft(addon(100), document_kind="tax_invoice")
    assert code_of(refused) == "kind_not_allowed"
    payment = by_hand(world, world.issued(100), 100)
    assert receipt_of(world, payment)["document_kind"] == "receipt"


@pytest.mark.parametrize(("scheme", "rate"), [("registered", 1700), ("registered", 1), ("own_rate", 1234)])
def test_a_rate_that_never_was_or_is_no_more_is_refused(world: World, scheme: str, rate: int) -> None:
    registered(world, scheme)
    with pytest.raises(psycopg.Error) as refused:
        world.draft(addon(100), tax_rate_bp=rate)
    assert code_of(refused) == "tax_rate_unknown"


def test_a_payment_of_a_day_with_another_rate_takes_that_days_rate(world: World) -> None:
    registered(world)
    invoice = world.draft(addon(10000))
    world.finalize(invoice)
    payment = by_hand(world, invoice, 11800, received_at="2024-12-30T10:00:00Z")
    receipt = receipt_of(world, payment)
    assert (receipt["tax_rate_bp"], receipt["tax_cents"]) == (1700, 1715)
    assert accounts(world) == {"cash": 11800, "revenue": -10085, "tax": -1715}
    assert differences(world) == []


def test_parts_of_a_credited_tax_make_up_the_whole(world: World) -> None:
    invoice = world.draft(addon(3333), tax_rate_bp=1800)
    world.finalize(invoice)
    notes = [act(world, "credit_invoice(%s, %s, 'part')", invoice, amount) for amount in (1311, 1311, 1311)]
    rows = [world.invoice(note) for note in notes]
    assert sum(row["tax_cents"] for row in rows) == world.invoice(invoice)["tax_cents"] == 600
    assert [row["document_number"][:3] for row in rows] == ["CRN"] * 3
    assert world.invoice(invoice)["status"] == "canceled"
    assert accounts(world) == {}


def test_prices_with_the_tax_in_them_keep_their_total(world: World) -> None:
    invoice = world.draft(addon(10000), tax_rate_bp=1800, tax_inclusive=True)
    world.finalize(invoice)
    row = world.invoice(invoice)
    assert (row["subtotal_cents"], row["tax_cents"], row["total_amount_cents"]) == (8475, 1525, 10000)


def test_a_series_goes_on_from_another_system_and_never_back(world: World) -> None:
    assert act(world, "continue_series('invoice', 412)") == 413
    invoice = world.issued(100)
    assert world.invoice(invoice)["number"] == 413
    refused_as("series_only_rises", world, "continue_series('invoice', 7)")
    refused_as("series_begun", world, "continue_series('invoice', 500)")
    refused_as("kind_unknown", world, "continue_series('proforma', 1)")
    assert differences(world) == []


def test_where_documents_are_made_elsewhere_loom_gives_no_number(world: World) -> None:
    world.owner.execute(
        "update public.practices set documents_elsewhere = true, tax_scheme = 'exempt' where id = %s", [world.practice]
    )
    invoice = world.draft(addon(100))
    assert act(world, "finalize_invoice(%s)", invoice) is None
    assert one(
        world.owner, "select private.document_warnings(i) as v from public.invoices i where id = %s", invoice
    ) == ["number_elsewhere_missing"]
    act(world, "note_document_numbers(%s, p_document_number => 'EZ-9')::text", invoice)
    refused_as("invoice_final", world, "note_document_numbers(%s, p_document_number => 'EZ-10')::text", invoice)
    payment = by_hand(world, invoice, 100)
    assert world.owner.execute("select 1 from public.invoices where payment_id = %s", [payment]).fetchall() == []


def test_an_allocation_number_is_asked_for_above_the_threshold_of_the_day(world: World) -> None:
    registered(world)
    invoice = world.draft(addon(600000), document_kind="tax_invoice")
    act(world, """edit_draft_invoice(%s, '{"buyer_tax_id": "514444444"}')::text""", invoice)
    world.finalize(invoice)
    warnings = "select private.document_warnings(i) as v from public.invoices i where id = %s"
    assert one(world.owner, warnings, invoice) == ["allocation_number_needed"]
    refused_as("invoices_allocation_number_form", world, "note_document_numbers(%s, '12')::text", invoice)
    act(world, "note_document_numbers(%s, '123456789')::text", invoice)
    assert one(world.owner, warnings, invoice) == []


def test_cash_above_the_ceiling_is_warned_of(world: World) -> None:
    small, large = world.issued(600000), world.issued(700000)
    by_hand(world, small, 600000)
    by_hand(world, large, 70001)
    warnings = "select private.document_warnings(i) as v from public.invoices i where id = %s"
    assert [one(world.owner, warnings, invoice) for invoice in (small, large)] == [[], ["cash_over_ceiling"]]


def test_an_exempt_practice_is_warned_near_and_above_the_ceiling_of_its_year(world: World) -> None:
    registered(world, "exempt")
    warnings = "select private.document_warnings(i) as v from public.invoices i where id = %s"
    receipt_of = "select private.document_warnings(i) as v from public.invoices i where payment_id = %s"
    today = "(now() at time zone 'Asia/Jerusalem')::date"
    ceiling = one(world.owner, f"select private.tax_rule('IL', 'exempt_ceiling_cents', {today}) as v")

    def receive(amount: int, at: str = "now()") -> UUID:
        with world.coaching() as conn:
            return one(
                conn,
                f"select public.record_payment_on_account(%s, %s, 'ILS', 'cash', p_received_at => {at}) as v",
                world.relation,
                amount,
            )

    receive(ceiling, "now() - interval '13 months'")
    draft = world.draft(addon(100))
    first = receive(ceiling - ceiling // 10)
    assert [one(world.owner, warnings, draft), one(world.owner, receipt_of, first)] == [[], []]
    second = receive(1)
    assert one(world.owner, receipt_of, second) == ["exempt_near_ceiling"]
    receive(ceiling // 10 - 1)
    assert one(world.owner, warnings, draft) == ["exempt_near_ceiling"]
    last = receive(1)
    assert [one(world.owner, warnings, draft), one(world.owner, receipt_of, last)] == [["exempt_over_ceiling"]] * 2
    # What went out before keeps its own word; what goes back, and other schemes, are not over anything.
    assert one(world.owner, receipt_of, first) == []
    act(world, "request_refund(%s, null, 'back')", last)
    assert one(world.owner, warnings, draft) == ["exempt_near_ceiling"]
    registered(world, "own_rate")
    assert one(world.owner, warnings, draft) == []


def test_hebrew_and_control_characters_in_names_stay_as_they_are(world: World) -> None:
    invoice = world.draft({"description": "חוברת \u202eעבודה\u202c (2)", "amount_cents": 100})
    act(world, "edit_draft_invoice(%s, %s)::text", invoice, '{"buyer_name": "דנה \u200f Levi"}')
    world.finalize(invoice)
    assert world.invoice(invoice)["buyer_name"] == "דנה \u200f Levi"
