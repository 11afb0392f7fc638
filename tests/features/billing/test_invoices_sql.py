"""Invoices in the database: from draft to document, and what then never changes."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest

from tests.features.billing.world import World, addon, code_of, one, person, relate

Refused = psycopg.Error


def test_invoice_generation(world: World) -> None:
    """The review's own test: sessions, a seat in a group and an add-on become one invoice that gets paid."""
    other = person(world.owner, "client")
    relate(world.owner, world.coach, other)
    single = world.seat(35000)
    mine, others = world.group(world.client, other, price=25000)

    invoice = world.draft({"attendee_id": single}, {"attendee_id": mine}, addon(4500, quantity=2))
    draft = world.invoice(invoice)
    assert (draft["status"], draft["total_amount_cents"], draft["currency"]) == ("pending", 69000, "ILS")
    assert draft["finalized_at"] is None
    assert draft["number"] is None
    assert world.seat_status(single) == "unbilled"

    number = world.finalize(invoice)
    final = world.invoice(invoice)
    assert final["document_number"] == number
    assert number.startswith(f"INV-{final['series_year']}-")
    assert final["number"] == 1
    assert final["buyer_name"] == "Dana"
    assert final["due_date"] > final["issued_at"]
    lines = world.owner.execute(
        "select description, quantity, amount_cents, line_total_cents, session_id from public.invoice_line_items"
        " where invoice_id = %s order by position",
        [invoice],
    ).fetchall()
    assert [line["line_total_cents"] for line in lines] == [35000, 25000, 9000]
    assert [line["session_id"] is not None for line in lines] == [True, True, False]
    assert lines[0]["description"].startswith("Coaching, 20")
    assert [world.seat_status(seat) for seat in (single, mine, others)] == [
        "awaiting_payment",
        "awaiting_payment",
        "unbilled",
    ]
    assert world.row(
        "select s.billing_status, s.invoice_id from public.sessions s join public.session_attendees a"
        " on a.session_id = s.id where a.id = %s",
        single,
    ) == {
        "billing_status": "awaiting_payment",
        "invoice_id": invoice,
    }

    with world.coaching() as conn:
        payment = one(conn, "select public.record_manual_payment(%s, 69000, 'cash') as v", invoice)
    paid = world.invoice(invoice)
    assert (paid["status"], paid["amount_paid_cents"]) == ("paid", 69000)
    assert paid["paid_at"] is not None
    assert world.payment(payment)["allocated_cents"] == 69000
    assert [world.seat_status(seat) for seat in (single, mine, others)] == ["paid", "paid", "unbilled"]


def test_a_finalised_invoice_and_its_lines_never_change_whoever_writes(world: World) -> None:
    invoice = world.issued(5000)
    for change in (
        "update public.invoices set total_amount_cents = 1 where id = %s",
        "update public.invoices set currency = 'USD' where id = %s",
        "update public.invoices set number = 77 where id = %s",
        "update public.invoices set user_id = null where id = %s",
        "update public.invoices set finalized_at = null where id = %s",
        "delete from public.invoices where id = %s",
        "update public.invoice_line_items set amount_cents = 1 where invoice_id = %s",
        "update public.invoice_line_items set description = 'x' where invoice_id = %s",
        "delete from public.invoice_line_items where invoice_id = %s",
        "insert into public.invoice_line_items (invoice_id, description, amount_cents) values (%s, 'late', 1)",
    ):
        with pytest.raises(Refused) as refused:
            world.owner.execute(change, [invoice])
        assert code_of(refused) == "invoice_final", change
    assert world.invoice(invoice)["total_amount_cents"] == 5000


def test_a_total_that_differs_from_the_lines_cannot_be_committed(world: World) -> None:
    """Even where the guard of final rows is switched off, the deferred check sees it."""
    invoice = world.issued(5000)
    with world.owner.transaction(force_rollback=True):
        world.owner.execute("alter table public.invoices disable trigger invoices_keep")
        world.owner.execute("update public.invoices set total_amount_cents = 4999 where id = %s", [invoice])
        with pytest.raises(Refused) as refused:
            world.owner.execute("set constraints all immediate")
    assert code_of(refused) == "invoice_total_wrong"


def test_totals_of_a_draft_follow_its_lines_tax_and_discounts(world: World) -> None:
    invoice = world.draft(addon(999, quantity=3, discount_cents=97), tax_rate_bp=1800)
    row = world.invoice(invoice)
    assert (row["subtotal_cents"], row["tax_cents"], row["total_amount_cents"]) == (2900, 522, 3422)
    with world.coaching() as conn:
        line = one(
            conn, "select public.add_invoice_line(%s, %s) as v", invoice, '{"description": "x", "amount_cents": 100}'
        )
    assert world.invoice(invoice)["total_amount_cents"] == 3540
    with world.coaching() as conn:
        conn.execute("select public.remove_invoice_line(%s)", [line])
        conn.execute("select public.edit_draft_invoice(%s, %s)", [invoice, '{"tax_rate_bp": 0, "notes": "hello"}'])
    row = world.invoice(invoice)
    assert (row["total_amount_cents"], row["notes"], row["tax_rate_bp"]) == (2900, "hello", 0)


def test_products_are_computed_in_bigint_and_a_total_beyond_an_integer_is_refused(world: World) -> None:
    with pytest.raises(Refused) as refused:
        world.draft(addon(21474836, quantity=101))
    assert code_of(refused) == "amount_out_of_range"
    assert world.row("select count(*) as n from public.invoices where practice_id = %s", world.practice)["n"] == 0


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ({"description": "x"}, "invalid_line"),
        ({"amount_cents": 5}, "invalid_line"),
        ({"description": "x", "amount_cents": -1}, "invoice_line_items_amount_cents_check"),
        ({"description": "x", "amount_cents": 5, "quantity": 0}, "invoice_line_items_quantity_check"),
        ({"description": "x", "amount_cents": 5, "discount_cents": 6}, "invoice_line_items_discount_within"),
        ({"description": "", "amount_cents": 5}, "invoice_line_items_description_length"),
        ({"description": "x", "amount_cents": 5, "colour": "red"}, "invalid_line"),
        ({"attendee_id": str(uuid4())}, "not_found"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused(world: World, line: dict[str, object], code: str) -> None:
    with pytest.raises(Refused) as refused:
        world.draft(line)
    assert code_of(refused) == code


def test_a_seat_without_a_price_needs_one(world: World) -> None:
    seat = world.seat(None)
    with pytest.raises(Refused) as refused:
        world.draft({"attendee_id": seat})
    assert code_of(refused) == "seat_without_price"
    assert world.invoice(world.draft({"attendee_id": seat, "amount_cents": 100}))["total_amount_cents"] == 100


def test_one_invoice_has_one_currency(world: World) -> None:
    with pytest.raises(Refused) as refused:
        world.draft({"attendee_id": world.seat(100, "USD")}, {"attendee_id": world.seat(100, "ILS")})
    assert code_of(refused) == "currency_mismatch"
    invoice = world.draft({"attendee_id": world.seat(100, "USD")})
    assert world.invoice(invoice)["currency"] == "USD"
    with pytest.raises(Refused) as refused:
        world.owner.execute("update public.invoices set currency = 'ILS' where id = %s", [invoice])
    assert code_of(refused) == "currency_mismatch"
    with pytest.raises(Refused) as refused:
        world.draft(addon(1), currency="XXX")
    assert code_of(refused) == "invoices_currency_known"


def test_a_seat_is_on_one_live_line_and_free_again_when_the_invoice_is_void(world: World) -> None:
    seat = world.seat()
    first = world.draft({"attendee_id": seat})
    with pytest.raises(Refused) as refused:
        world.draft({"attendee_id": seat})
    assert code_of(refused) == "invoice_line_items_seat_once"
    with world.coaching() as conn:
        conn.execute("select public.delete_draft_invoice(%s)", [first])
    second = world.draft({"attendee_id": seat})
    world.finalize(second)
    with pytest.raises(Refused) as refused:
        world.draft({"attendee_id": seat})
    assert code_of(refused) == "seat_already_billed"
    with world.coaching() as conn:
        conn.execute("select public.void_invoice(%s, 'typing error')", [second])
    assert world.seat_status(seat) == "unbilled"
    assert world.invoice(second)["status"] == "canceled"
    third = world.draft({"attendee_id": seat})
    world.finalize(third)
    assert world.seat_status(seat) == "awaiting_payment"


def test_a_seat_of_another_client_cannot_be_billed_to_this_one(world: World) -> None:
    other = person(world.owner, "client")
    relate(world.owner, world.coach, other)
    theirs = world.seat(client=other)
    with pytest.raises(Refused) as refused:
        world.draft({"attendee_id": theirs})
    assert code_of(refused) == "seat_of_other_client"


def test_a_client_who_has_not_signed_up_can_be_billed_and_sees_it_after_signing_up(world: World) -> None:
    relation = one(
        world.owner,
        "insert into public.coach_clients (coach_id, display_name, email) values (%s, 'Noa',"
        " 'noa@example.test') returning id as v",
        world.coach,
    )
    with world.coaching() as conn:
        invoice = one(
            conn,
            "select public.draft_invoice(p_coach_client_id => %s, p_lines => %s) as v",
            relation,
            '[{"description": "Intake", "amount_cents": 9900}]',
        )
        conn.execute("select public.finalize_invoice(%s)", [invoice])
    row = world.invoice(invoice)
    assert (row["user_id"], row["buyer_name"], row["buyer_email"]) == (None, "Noa", "noa@example.test")
    noa = person(world.owner, "client")
    world.owner.execute("update public.coach_clients set client_id = %s where id = %s", [noa, relation])
    with world.as_user(noa) as conn:
        assert one(conn, "select count(*) as v from public.invoices") == 1


def test_an_invoice_of_nothing_is_paid_as_it_stands(world: World) -> None:
    seat = world.seat(0)
    invoice = world.draft({"attendee_id": seat})
    world.finalize(invoice)
    assert world.invoice(invoice)["status"] == "paid"
    assert world.seat_status(seat) == "paid"


def test_a_draft_without_lines_is_not_finalised(world: World) -> None:
    with pytest.raises(Refused) as refused:
        world.finalize(world.draft())
    assert code_of(refused) == "invoice_without_lines"


def test_a_written_off_invoice_writes_its_seats_off_and_still_takes_money(world: World) -> None:
    seat = world.seat(5000)
    invoice = world.draft({"attendee_id": seat})
    world.finalize(invoice)
    with world.coaching() as conn:
        conn.execute("select public.write_off_invoice(%s, 'gone abroad')", [invoice])
    assert world.seat_status(seat) == "written_off"
    with world.coaching() as conn:
        conn.execute("select public.record_manual_payment(%s, 5000, 'bank_transfer', 'T-1')", [invoice])
    assert world.seat_status(seat) == "paid"


def test_paid_invoices_are_refunded_not_voided(world: World) -> None:
    invoice, _ = world.paid()
    with world.coaching() as conn, pytest.raises(Refused) as refused:
        conn.execute("select public.void_invoice(%s)", [invoice])
    assert code_of(refused) == "invoice_paid"


def test_an_invoice_never_fails_and_needs_its_issuer(world: World) -> None:
    with pytest.raises(Refused) as refused:
        world.owner.execute(
            "insert into public.invoices (practice_id, status, total_amount_cents) values (%s, 'failed', 1)",
            [world.practice],
        )
    assert code_of(refused) == "invoices_never_failed"
    with pytest.raises(psycopg.errors.NotNullViolation):
        world.owner.execute("insert into public.invoices (total_amount_cents) values (1)")


def test_the_service_inserts_history_with_the_reviews_columns_and_its_issuer(world: World) -> None:
    with world.serving() as conn:
        paid = one(
            conn,
            "insert into public.invoices (user_id, practice_id, status, total_amount_cents, issued_at)"
            " values (%s, %s, 'paid', 700, '2024-03-01') returning id as v",
            world.client,
            world.practice,
        )
        conn.execute(
            "insert into public.invoice_line_items (invoice_id, description, amount_cents) values"
            " (%s, 'Old session', 700)",
            [paid],
        )
    row = world.invoice(paid)
    assert (row["status"], row["issued_elsewhere"], row["amount_paid_cents"], row["number"]) == (
        "paid",
        True,
        700,
        None,
    )


def test_people_with_documents_cannot_be_deleted(world: World) -> None:
    world.issued(100)
    with pytest.raises(Refused):
        world.owner.execute("delete from public.users where id = %s", [world.client])
