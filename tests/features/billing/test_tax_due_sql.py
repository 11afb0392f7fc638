"""Tax of a registered practice that falls due with the money: not lost, not twice, and the document says of what."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.features.billing.test_books_sql import accounts, act, by_hand, differences, registered
from tests.features.billing.test_documents_sql import receipt_of, refused_as
from tests.features.billing.world import World, addon, one

WARNINGS = "select private.document_warnings(i) as v from public.invoices i where id = %s"


def issued(world: World, kind: str = "invoice", **more: Any) -> UUID:
    """An issued document of 100.00 before tax."""
    invoice = world.draft(addon(10000), document_kind=kind, **more)
    world.finalize(invoice)
    return invoice


def taxed(world: World, payment: UUID) -> tuple[object, ...]:
    row = receipt_of(world, payment)
    return row["document_kind"], row["tax_rate_bp"], row["tax_cents"], row["subtotal_cents"]


def on_account(world: World, amount: int, *invoices: UUID) -> UUID:
    with world.coaching() as conn:
        return one(
            conn,
            "select public.record_payment_on_account(%s, %s, 'ILS', 'cash', p_allocations =>"
            " (select coalesce(jsonb_agg(jsonb_build_object('invoice_id', i)), '[]') from unnest(%s::uuid[]) i)) as v",
            world.relation, amount, list(invoices),
        )  # fmt: skip


def apart(world: World, payment: UUID) -> tuple[int, int]:
    """What of a receipt the document says that its tax is not of: taxed elsewhere, and not taxed at all."""
    content = one(
        world.owner,
        "select (private.document_of(i.id)).content as v from public.invoices i where payment_id = %s",
        payment,
    )
    return content["taxed_elsewhere_cents"], content["untaxed_cents"]


def test_money_that_moves_to_another_invoice_takes_its_tax_along(world: World) -> None:
    registered(world)
    first, second = issued(world), issued(world)
    payment = by_hand(world, first, 11800)
    act(world, "release_from_invoice(%s, %s)", payment, first)
    act(world, "allocate_to_invoice(%s, %s)", payment, second)
    assert accounts(world) == {
        "cash": 11800,
        "receivable": 11800,
        "revenue": -20000,
        "tax": -1800,
        "tax_deferred": -1800,
    }
    assert taxed(world, by_hand(world, first, 11800)) == ("tax_invoice_receipt", 1800, 1800, 10000)
    assert accounts(world) == {"cash": 23600, "revenue": -20000, "tax": -3600}
    assert [one(world.owner, WARNINGS, invoice) for invoice in (first, second)] == [[], []]
    assert differences(world) == []


def test_what_of_an_earlier_payment_is_still_there_is_not_taxed_again(world: World) -> None:
    registered(world)
    invoice = issued(world)
    payment = by_hand(world, invoice, 3333)
    by_hand(world, invoice, 8467)
    act(world, "release_from_invoice(%s, %s, 1111)", payment, invoice)
    assert taxed(world, by_hand(world, invoice, 1111))[2] == 169
    # 22.22 and 84.67 brought due 16.31 of the tax with what stayed, and this the rest; 1.69 is of what is on account.
    assert accounts(world) == {"cash": 12911, "credits": -1111, "revenue": -10000, "tax": -1969, "tax_deferred": 169}
    assert differences(world) == []


def test_what_is_left_over_of_a_payment_is_taxed_beside_what_was_taxed_elsewhere(world: World) -> None:
    registered(world)
    payment = by_hand(world, issued(world, "tax_invoice"), 23600, keep_rest=True)
    assert taxed(world, payment) == ("tax_invoice_receipt", 1800, 1800, 21800)
    assert apart(world, payment) == (11800, 0)
    act(world, "allocate_to_invoice(%s, %s)", payment, issued(world))
    assert accounts(world) == {"cash": 23600, "revenue": -20000, "tax": -3600}
    assert differences(world) == []


def test_one_payment_of_both_kinds_brings_the_tax_of_one_due_and_says_so(world: World) -> None:
    registered(world)
    payment = on_account(world, 23600, issued(world), issued(world, "tax_invoice"))
    assert taxed(world, payment) == ("tax_invoice_receipt", 1800, 1800, 21800)
    assert apart(world, payment) == (11800, 0)
    assert accounts(world) == {"cash": 23600, "revenue": -20000, "tax": -3600}
    act(world, "undo_payment(%s, 'typed twice')", payment)
    note = one(
        world.owner,
        "select (private.document_of(n.id)).content as v from public.invoices n where n.document_kind = 'credit_note'",
    )
    assert (note["subtotal_cents"], note["taxed_elsewhere_cents"], note["tax_cents"]) == (21800, 11800, 1800)
    assert differences(world) == []


def test_the_receipt_of_what_is_not_taxed_has_no_rate(world: World) -> None:
    registered(world)
    payment = by_hand(world, issued(world, tax_rate_bp=0), 10000)
    assert taxed(world, payment) == ("tax_invoice_receipt", 0, 0, 10000)
    both = on_account(world, 21800, issued(world), issued(world, tax_rate_bp=0))
    assert (taxed(world, both), apart(world, both)) == (("tax_invoice_receipt", 1800, 1800, 20000), (0, 10000))


def test_writing_off_takes_the_tax_out_that_will_not_fall_due(world: World) -> None:
    registered(world)
    invoice = issued(world)
    act(world, "write_off_invoice(%s, 'gone')::text", invoice)
    assert accounts(world) == {"write_offs": 10000, "revenue": -10000}
    assert differences(world) == []
    act(world, "restore_invoice(%s)::text", invoice)
    assert accounts(world) == {"receivable": 11800, "revenue": -10000, "tax_deferred": -1800}
    by_hand(world, invoice, 3333)
    act(world, "write_off_invoice(%s, 'gone')::text", invoice)
    assert accounts(world) == {"cash": 3333, "write_offs": 7175, "revenue": -10000, "tax": -508}
    # Money that comes after all brings its tax due after all.
    by_hand(world, invoice, 8467)
    assert accounts(world) == {"cash": 11800, "revenue": -10000, "tax": -1800}
    assert differences(world) == []


def test_writing_off_a_tax_invoice_leaves_its_tax_due(world: World) -> None:
    registered(world)
    act(world, "write_off_invoice(%s, 'gone')::text", issued(world, "tax_invoice"))
    assert accounts(world) == {"write_offs": 11800, "revenue": -10000, "tax": -1800}


def test_where_documents_are_made_elsewhere_tax_is_booked_at_once_and_no_receipt_made(world: World) -> None:
    registered(world)
    world.owner.execute("update public.practices set documents_elsewhere = true where id = %s", [world.practice])
    invoice = issued(world)
    assert accounts(world) == {"receivable": 11800, "revenue": -10000, "tax": -1800}
    payment = by_hand(world, invoice, 11800)
    refused_as("documents_elsewhere", world, "issue_receipt(%s)", payment)
    assert accounts(world) == {"cash": 11800, "revenue": -10000, "tax": -1800}
    assert differences(world) == []


def test_a_receipt_that_was_made_here_stays_when_documents_move_elsewhere(world: World) -> None:
    registered(world)
    payment = by_hand(world, issued(world), 11800)
    world.owner.execute("update public.practices set documents_elsewhere = true where id = %s", [world.practice])
    assert act(world, "issue_receipt(%s)", payment) == receipt_of(world, payment)["id"]


@pytest.mark.parametrize("freed_by", ["credit_note", "release"])
def test_an_invoice_paid_with_money_whose_tax_is_not_due_is_warned_of(world: World, freed_by: str) -> None:
    registered(world)
    if freed_by == "credit_note":
        first = issued(world)
        payment = by_hand(world, first, 11800)
        act(world, "credit_invoice(%s, null, 'wrong text')", first)
    else:
        first = issued(world, "tax_invoice")
        payment = by_hand(world, first, 11800)
        act(world, "release_from_invoice(%s, %s)", payment, first)
    invoice, well = issued(world), issued(world)
    by_hand(world, well, 11800)
    assert one(world.owner, WARNINGS, invoice) == []
    act(world, "allocate_to_invoice(%s, %s, 5900)", payment, invoice)
    assert [one(world.owner, WARNINGS, each) for each in (invoice, well, first)] == [["tax_document_missing"], [], []]
    # On a tax invoice it does not matter, its tax is due by itself.
    act(world, "release_from_invoice(%s, %s)", payment, invoice)
    instead = issued(world, "tax_invoice")
    act(world, "allocate_to_invoice(%s, %s)", payment, instead)
    assert [one(world.owner, WARNINGS, each) for each in (invoice, instead)] == [[], []]
    assert differences(world) == []


def test_an_allocation_number_is_asked_for_by_what_the_document_taxes(world: World) -> None:
    registered(world)
    threshold = one(world.owner, "select private.tax_rule('IL', 'allocation_threshold_cents', current_date) as v")
    each = threshold * 4 // 5
    invoices: list[UUID] = []
    for kind in ("invoice", "tax_invoice"):
        invoice = world.draft(addon(each), document_kind=kind)
        act(world, """edit_draft_invoice(%s, '{"buyer_tax_id": "514444444"}')::text""", invoice)
        world.finalize(invoice)
        invoices.append(invoice)
    receipt = receipt_of(world, on_account(world, 2 * (each + each * 18 // 100), *invoices))
    assert (receipt["document_kind"], receipt["tax_cents"]) == ("tax_invoice_receipt", each * 18 // 100)
    assert one(world.owner, WARNINGS, receipt["id"]) == []


def test_an_invoice_paid_without_a_receipt_is_warned_of_until_there_is_one(world: World) -> None:
    registered(world)
    invoice = issued(world)
    payment = one(
        world.owner,
        "insert into public.payments (invoice_id, amount_cents, status, provider) values (%s, 11800, 'paid', 'manual')"
        " returning id as v",
        invoice,
    )
    world.owner.execute("select private.allocate_payment(%s)", [payment])
    assert one(world.owner, WARNINGS, invoice) == ["tax_document_missing"]
    act(world, "issue_receipt(%s)", payment)
    assert one(world.owner, WARNINGS, invoice) == []
