"""Kept cards that their issuer refused for good: marked, told of once, not charged again, good again when renewed."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.features.billing.world import World, code_of, one

FOR_GOOD = [
    "expired_card", "lost_card", "stolen_card", "pickup_card", "restricted_card", "blocked_card", "forged_card",
    "invalid_account", "stop_payment_order", "revocation_of_authorization", "revocation_of_all_authorizations",
]  # fmt: skip
FOR_NOW = ["insufficient_funds", "generic_decline", "incorrect_cvc", "authentication_required", "call_issuer", None]


def kept(world: World, **more: Any) -> UUID:
    """A card that the client keeps with the practice, and may be charged while away."""
    card = {"last4": "4242", "brand": "visa", "exp_month": 12, "exp_year": 2099} | more
    return one(
        world.owner,
        "insert into public.payment_methods (user_id, type, provider, provider_method_id, gateway_account_id,"
        " off_session, last4, brand, exp_month, exp_year) values (%s, 'credit_card', 'sandbox', %s, %s, true, %s, %s,"
        " %s, %s) returning id as v",
        world.client, f"pm_{uuid4()}", world.account, *card.values(),
    )  # fmt: skip


def attempt(world: World, method: UUID) -> UUID:
    """The payer is about to be charged on the card."""
    intent = world.intent(world.issued(1000))
    with world.paying() as conn:
        conn.execute("select public.begin_payment_attempt(%s, %s)", [intent, method])
    return intent


def declined(world: World, method: UUID, code: str | None) -> None:
    news = {"status": "requires_payment_method", "currency": "ILS", "charge_id": f"ch_{uuid4()}", "error_code": code}
    assert world.outcome(attempt(world, method), news, looked_up=True) == "applied"


def told(world: World) -> list[tuple[UUID, str]]:
    rows = world.owner.execute(
        "select user_id, data ->> 'kind' as kind from public.notifications where data ->> 'payment_method_id' in"
        " (select id::text from public.payment_methods where user_id = %s)", [world.client],
    ).fetchall()  # fmt: skip
    return [(row["user_id"], row["kind"]) for row in rows]


def state(world: World, method: UUID) -> tuple[bool, str | None]:
    row = world.row("select unusable_at, unusable_reason from public.payment_methods where id = %s", method)
    return row["unusable_at"] is not None, row["unusable_reason"]


def charged_away(world: World) -> UUID:
    """The card that a charge while the client is away would use."""
    with world.coaching() as conn:
        intent = one(conn, "select public.begin_off_session_charge(%s) as v", world.issued(1000))
    return world.row("select payment_method_id from public.payment_intents where id = %s", intent)["payment_method_id"]


def refusal(world: World) -> str | None:
    with pytest.raises(psycopg.Error) as refused:
        charged_away(world)
    return code_of(refused)


@pytest.mark.parametrize("code", FOR_GOOD)
def test_a_decline_for_good_ends_the_card_and_both_are_told_once(world: World, code: str) -> None:
    method, other = kept(world), kept(world)
    declined(world, method, code)
    assert (state(world, method), state(world, other)) == ((True, code), (False, None))
    assert sorted(told(world)) == sorted([(world.client, "card_unusable"), (world.coach, "client_card_unusable")])
    with pytest.raises(psycopg.Error) as refused:
        attempt(world, method)
    assert code_of(refused) == "method_unusable"
    assert charged_away(world) == other
    world.owner.execute("update public.payment_methods set detached_at = now() where id = %s", [other])
    assert refusal(world) == "method_unusable"


@pytest.mark.parametrize("code", FOR_NOW)
def test_any_other_decline_leaves_the_card_as_it_is(world: World, code: str | None) -> None:
    method = kept(world)
    declined(world, method, code)
    assert (state(world, method), told(world)) == ((False, None), [])
    assert charged_away(world) == method


def test_a_refusal_without_a_charge_ends_the_card_too(world: World) -> None:
    method = kept(world)
    payment = one(world.owner, "select id as v from public.payments where intent_id = %s", attempt(world, method))
    with world.serving() as conn:
        conn.execute("select public.record_attempt_refused(%s, 'invalid_account', 'No.')", [payment])
    assert state(world, method) == (True, "invalid_account")


def test_a_card_past_its_month_is_refused_by_that_name(world: World) -> None:
    method = kept(world, exp_year=2020)
    assert refusal(world) == "method_expired"
    with pytest.raises(psycopg.Error) as refused:
        attempt(world, method)
    assert code_of(refused) == "method_expired"
    world.owner.execute("update public.payment_methods set off_session = false where id = %s", [method])
    assert refusal(world) == "no_consented_method"


@pytest.mark.parametrize(("said", "good"), [({"exp_year": 2100}, True), ({"last4": "1111"}, True), ({}, False)])
def test_only_a_renewed_card_is_good_again(world: World, said: dict[str, Any], good: bool) -> None:
    method = kept(world)
    declined(world, method, "expired_card")
    name = world.row("select provider_method_id as v from public.payment_methods where id = %s", method)["v"]
    news = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2099} | said
    with world.serving() as conn:
        query = "select public.record_method_news(%s, %s, %s) as v"
        assert one(conn, query, world.account, name, json.dumps(news)) == "applied"
    assert state(world, method) == ((False, None) if good else (True, "expired_card"))


@pytest.mark.parametrize("removed", [False, True])
def test_the_same_card_saved_again_is_good_again(world: World, removed: bool) -> None:
    method = kept(world)
    declined(world, method, "restricted_card")
    if removed:
        with world.paying() as conn:
            conn.execute("update public.payment_methods set detached_at = now() where id = %s", [method])
    name = world.row("select provider_method_id as v from public.payment_methods where id = %s", method)["v"]
    with world.paying() as conn:
        setup = one(conn, "select public.begin_method_setup(%s, 'Keep it.', true) as v", world.practice)
    saved = {"provider_method_id": name, "last4": "4242", "exp_month": 1, "exp_year": 2098}
    with world.serving() as conn:
        news = json.dumps({"status": "succeeded", "provider_status": "succeeded", "saved": saved})
        assert one(conn, "select public.record_method_setup(%s, %s) as v", setup, news) == "applied"
    assert (state(world, method), charged_away(world)) == ((False, None), method)
