"""What the functions and triggers of billing refuse and no other test tells of, each with its code."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.features.billing.test_books_sql import by_hand
from tests.features.billing.world import World, addon, code_of, one, person
from tests.features.credits.cards import package, template

Attempt = tuple[Any, str, list[Any]]


def other_kind(world: World) -> Attempt:
    return world.coaching, "public.draft_invoice(p_client_id => %s, p_document_kind => 'receipt')", [world.client]


def nobody(world: World) -> Attempt:
    return world.coaching, "public.draft_invoice()", []


def two_clients(world: World) -> Attempt:
    return world.coaching, "public.draft_invoice(%s, %s)", [world.client, world.relation]


def one_line_more(world: World) -> Attempt:
    draft = world.draft(*[addon(1)] * 200)
    return world.coaching, "public.add_invoice_line(%s, %s)", [draft, json.dumps(addon(1))]


def fee_of_nobody(world: World) -> Attempt:
    line = "public.add_invoice_line(%s, jsonb_build_object('outcome_id', gen_random_uuid()))"
    return world.coaching, line, [world.draft()]


def number_of_others_on_issue(world: World) -> Attempt:
    return world.coaching, "public.finalize_invoice(%s, 'X-1')", [world.draft(addon(1))]


def number_of_others_later(world: World) -> Attempt:
    return world.coaching, "public.note_document_numbers(%s, null, 'X-1')::text", [world.issued(100)]


def release_of_nothing(world: World) -> Attempt:
    payment = by_hand(world, world.issued(100), 100)
    return world.coaching, "public.release_from_invoice(%s, %s)", [payment, world.issued(100)]


def package_for_nobody(world: World) -> Attempt:
    draft = one(
        world.owner,
        "insert into public.invoices (coach_id, total_amount_cents) values (%s, 0) returning id as v",
        world.coach,
    )
    return world.coaching, "public.sell_package(%s, %s)", [draft, package(world, template(world))]


def card_without_gateway(world: World) -> Attempt:
    world.owner.execute("delete from public.gateway_accounts where practice_id = %s", [world.practice])
    return world.paying, "public.begin_payment_intent(%s)", [world.issued(100)]


def kept_card_without_gateway(world: World) -> Attempt:
    world.owner.execute("delete from public.gateway_accounts where practice_id = %s", [world.practice])
    return world.paying, "public.payment_gateway_of(%s)", [world.practice]


def other_sum_held(world: World) -> Attempt:
    intent = world.intent(world.issued(1000))
    held = {"status": "processing", "provider_status": "requires_capture", "currency": "ILS"}
    assert world.outcome(intent, held | {"amount_capturable_cents": 1000}) == "applied"
    with world.coaching() as conn:
        conn.execute("select public.begin_capture(%s, 300)", [intent])
    return world.coaching, "public.begin_capture(%s, 400)::text", [intent]


def other_name_of_an_intent(world: World) -> Attempt:
    intent = world.intent(world.issued(100))
    return world.serving, "public.record_intent_sent(%s, 'pi_other', 's', 'x')::text", [intent]


def other_currency_of_a_refund(world: World) -> Attempt:
    _, payment = world.paid(100)
    with world.coaching() as conn:
        refund = one(conn, "select public.request_refund(%s, 100, 'x') as v", payment)
    news = {"status": "succeeded", "provider_refund_id": "re_x", "currency": "USD", "amount_cents": 100}
    return world.serving, "public.record_refund_outcome(%s, %s)", [refund, json.dumps(news)]


def other_amount_of_a_refund(world: World) -> Attempt:
    who, call, (refund, _) = other_currency_of_a_refund(world)
    news = {"status": "succeeded", "provider_refund_id": "re_x", "currency": "ILS", "amount_cents": 99}
    return who, call, [refund, json.dumps(news)]


@pytest.mark.parametrize(
    ("attempt", "code"),
    [
        (other_kind, "kind_not_drafted"),
        (nobody, "one_client"),
        (two_clients, "one_client"),
        (one_line_more, "too_many_lines"),
        (fee_of_nobody, "not_found"),
        (number_of_others_on_issue, "documents_here"),
        (number_of_others_later, "documents_here"),
        (release_of_nothing, "nothing_allocated"),
        (package_for_nobody, "client_unknown"),
        (card_without_gateway, "no_gateway"),
        (kept_card_without_gateway, "no_gateway"),
        (other_sum_held, "capture_requested"),
        (other_name_of_an_intent, "intent_fixed"),
        (other_currency_of_a_refund, "refund_mismatch"),
        (other_amount_of_a_refund, "refund_mismatch"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_with_its_code(
    world: World, attempt: Callable[[World], Attempt], code: str
) -> None:
    who, call, arguments = attempt(world)
    with who() as conn, pytest.raises(psycopg.Error) as refused:
        conn.execute(f"select {call}", arguments)
    assert code_of(refused) == code


@pytest.fixture
def rows(world: World) -> dict[str, Any]:
    """Ids of a payment with its rows, of drafts, and of another practice's payment."""
    invoice, payment = world.paid(10000)
    refund = "insert into public.payment_refunds (payment_id, amount_cents) values (%s, 100) returning id as v"
    other = one(
        world.owner, "select practice_id as v from public.practice_members where user_id = %s",
        person(world.owner, "coach"),
    )  # fmt: skip
    paid = "insert into public.payments (amount_cents, status, practice_id) values (100, 'paid', %s) returning id as v"
    draft = world.draft(addon(100))
    return {
        "payment": payment,
        "allocation": one(world.owner, "select id as v from public.payment_allocations where invoice_id = %s", invoice),
        "refund": one(world.owner, refund, payment),
        "intent": one(world.owner, "select id as v from public.payment_intents where invoice_id = %s", invoice),
        "draft": draft,
        "empty": world.draft(),
        "line": one(world.owner, "select id as v from public.invoice_line_items where invoice_id = %s", draft),
        "open": world.issued(100),
        "other": other,
        "foreign": one(world.owner, paid, other),
    }


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("update public.payment_allocations set invoice_id = %(open)s where id = %(allocation)s", "allocation_stays"),
        ("update public.payment_refunds set amount_cents = 99 where id = %(refund)s", "refund_fixed"),
        ("update public.payments set user_id = null where id = %(payment)s", "person_has_money"),
        ("update public.payment_intents set amount_cents = 99 where id = %(intent)s", "intent_fixed"),
        ("update public.invoices set practice_id = %(other)s where id = %(draft)s", "issuer_fixed"),
        ("update public.invoices set number = 99, series_year = 2031 where id = %(draft)s", "number_not_given"),
        ("update public.invoice_line_items set invoice_id = %(open)s where id = %(line)s", "line_stays"),
        (
            """insert into public.payment_allocations (payment_id, invoice_id, amount_cents, currency)
               values (%(payment)s, %(open)s, 100, 'USD')""",
            "currency_mismatch",
        ),
        (
            "insert into public.payments (amount_cents, currency, intent_id) values (1, 'USD', %(intent)s)",
            "currency_mismatch",
        ),
        (
            "insert into public.payments (amount_cents, currency, invoice_id) values (1, 'USD', %(open)s)",
            "currency_mismatch",
        ),
        ("select private.issue_document(i) from public.invoices i where i.id = %(empty)s", "invoice_without_lines"),
        (
            """insert into public.payment_allocations (payment_id, invoice_id, amount_cents)
               values (%(foreign)s, %(open)s, 100)""",
            "other_practice",
        ),
    ],
)
def test_what_stays_as_it_is_stays_for_the_owner_too(
    world: World, rows: dict[str, Any], statement: str, code: str
) -> None:
    with pytest.raises(psycopg.Error) as refused:
        world.owner.execute(statement, rows)
    assert code_of(refused) == code
