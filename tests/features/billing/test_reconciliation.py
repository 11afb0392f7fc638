"""The books against the gateway's list: eight kinds of faults found, none invented, some mended."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from loom.db.database import Database
from loom.features.billing.gateway_schemas import Reconciliation
from loom.features.billing.reconciliation import Reconciler, days_before
from tests.features.billing.live import Live
from tests.features.billing.shop import Shop, TranzilaShop
from tests.features.billing.world import World, one
from tests.support.waiting import until

KINDS = ("missing_here", "missing_there", "amount", "currency", "status", "duplicate", "late", "wrong_charge")
NOW = datetime.now(UTC).replace(microsecond=0)


def books(world: World, count: int) -> list[dict[str, Any]]:
    """Payments and refunds in the books, and the list of a gateway that agrees with them."""
    world.owner.execute(
        "insert into public.payments (amount_cents, currency, status, provider, provider_transaction_id, practice_id,"
        " gateway_account_id, paid_at) select 1000 + n, 'ILS', 'paid', 'sandbox', 'ch_' || %(account)s || '_' || n,"
        " %(practice)s, %(account)s, %(now)s::timestamptz - n * interval '20 seconds'"
        " from generate_series(1, %(count)s) n",
        {"account": world.account, "practice": world.practice, "now": NOW, "count": count * 9 // 10},
    )
    world.owner.execute(
        "insert into public.payment_refunds (payment_id, amount_cents, status, provider_refund_id, processed_at)"
        " select p.id, 10, 'succeeded', 're_' || p.provider_transaction_id, p.paid_at + interval '1 minute'"
        " from public.payments p where p.gateway_account_id = %s order by p.paid_at desc limit %s",
        [world.account, count // 10],
    )
    rows = world.owner.execute(
        "select 'charge' as kind, provider_transaction_id as provider_id, amount_cents, currency, 'paid' as status,"
        " paid_at as at, null as charge_id from public.payments where gateway_account_id = %(a)s union all"
        " select 'refund', r.provider_refund_id, r.amount_cents, r.currency, 'succeeded', r.processed_at,"
        " p.provider_transaction_id from public.payment_refunds r join public.payments p on p.id = r.payment_id"
        " where p.gateway_account_id = %(a)s", {"a": world.account},
    ).fetchall()  # fmt: skip
    return [dict(row) | {"at": row["at"].isoformat()} for row in rows]


def spoil(rows: list[dict[str, Any]], faults: int) -> tuple[list[dict[str, Any]], set[tuple[str, str]]]:
    """One in a hundred rows with a fault, kinds in turn; the list, and what must be found of it."""
    chance = random.Random(8)  # noqa: S311 - faults that come again, not secrets
    wanted: set[tuple[str, str]] = set()
    refunds = [row for row in rows if row["kind"] == "refund"]
    charges = [row for row in rows if row["kind"] == "charge"]
    victims = chance.sample(charges, faults) + chance.sample(refunds, faults // 8 + 1)
    for place in range(faults):
        kind = KINDS[place % len(KINDS)]
        row = victims[faults + place // len(KINDS)] if kind == "wrong_charge" else victims[place]
        wanted.add((kind, row["provider_id"]))
        if kind == "missing_here":
            wanted.discard((kind, row["provider_id"]))
            extra = row | {"provider_id": f"extra_{place}"}
            rows.append(extra)
            wanted.add((kind, extra["provider_id"]))
        elif kind == "missing_there":
            rows.remove(row)
        elif kind == "amount":
            row["amount_cents"] += 1
        elif kind == "currency":
            row["currency"] = "USD"
        elif kind == "status":
            row["status"] = "failed"
        elif kind == "duplicate":
            rows.append(dict(row))
        elif kind == "late":
            row["at"] = (datetime.fromisoformat(row["at"]) - timedelta(days=2)).isoformat()
        else:
            row["charge_id"] = "ch_of_somebody_else"
    return rows, wanted


def reconcile(world: World, rows: list[dict[str, Any]], since: datetime = NOW - timedelta(days=5)) -> Any:
    with world.serving() as conn:
        run = one(
            conn, "select public.reconcile_gateway(%s, %s, %s, %s) as v",
            world.account, since, NOW + timedelta(days=1), json.dumps(rows),
        )  # fmt: skip
    return world.row("select findings, balances from public.reconciliations where id = %s", run)


def compare(world: World, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return reconcile(world, rows)["findings"]


def test_of_ten_thousand_rows_every_fault_is_found_and_none_invented(world: World) -> None:
    rows, wanted = spoil(books(world, 10_000), 100)
    found = {(finding["kind"], finding["provider_id"]) for finding in compare(world, rows)}
    assert found == wanted
    assert {kind for kind, _ in found} == set(KINDS)


def test_books_that_agree_have_no_findings_and_close_their_alert(world: World) -> None:
    rows = books(world, 100)
    assert compare(world, rows[1:]) != []
    query = "select count(*) as v from public.gateway_alerts where gateway_account_id = %s and closed_at is null"
    assert one(world.owner, query, world.account) == 1
    assert compare(world, rows) == []
    assert one(world.owner, query, world.account) == 0


def found_later(world: World, rows: list[dict[str, Any]], since: datetime) -> list[tuple[str, str]]:
    """What a later comparison that looks back until `since` finds."""
    listed = [row for row in rows if datetime.fromisoformat(row["at"]) >= since]
    return [(finding["kind"], finding["provider_id"]) for finding in reconcile(world, listed, since)["findings"]]


OPEN_ALERTS = "select count(*) as v from public.gateway_alerts where gateway_account_id = %s and closed_at is null"


@pytest.mark.parametrize("fault", ["missing_here", "missing_there", "amount", "status", "duplicate"])
def test_what_was_found_stays_found_when_the_list_begins_later(world: World, fault: str) -> None:
    rows = books(world, 100)
    agreed = [dict(row) for row in rows]
    charges = [row for row in rows if row["kind"] == "charge"]
    victim = charges[-1]
    later = datetime.fromisoformat(victim["at"]) + timedelta(seconds=10)
    match fault:
        case "missing_here":
            victim = victim | {"provider_id": "ch_unheard"}
            rows.append(victim)
        case "missing_there":
            rows.remove(victim)
        case "amount":
            victim["amount_cents"] += 1
        case "status":
            victim["status"] = "failed"
        case _:
            rows.append(dict(victim))
    wanted = [(fault, victim["provider_id"])]
    assert found_later(world, rows, NOW - timedelta(days=5)) == wanted
    for _ in range(3):
        assert found_later(world, rows, later) == wanted
        assert one(world.owner, OPEN_ALERTS, world.account) == 1
    # A comparison over those days sees it right.
    assert found_later(world, agreed, NOW - timedelta(days=5)) == []
    assert found_later(world, agreed, later) == []
    assert one(world.owner, OPEN_ALERTS, world.account) == 0


def test_what_was_found_is_forgotten_once_it_is_booked_or_said_to_be_settled(world: World) -> None:
    rows = books(world, 100)
    later = NOW - timedelta(minutes=10)
    unheard = [rows[0] | {"provider_id": f"ch_{name}", "at": (NOW - timedelta(days=1)).isoformat()} for name in "ab"]
    found_later(world, [*rows, *unheard], NOW - timedelta(days=5))
    assert found_later(world, rows, later) == [("missing_here", "ch_a"), ("missing_here", "ch_b")]
    world.owner.execute(
        "insert into public.payments (amount_cents, currency, status, provider, provider_transaction_id, practice_id,"
        " gateway_account_id, paid_at) values (%s, 'ILS', 'paid', 'sandbox', 'ch_a', %s, %s, now() - interval '1 day')",
        [unheard[0]["amount_cents"], world.practice, world.account],
    )
    assert found_later(world, rows, later) == [("missing_here", "ch_b")]
    with world.as_user(world.coach) as conn:
        conn.execute("select public.settle_gateway_differences(%s)", [world.account])
    assert found_later(world, rows, later) == []
    assert one(world.owner, OPEN_ALERTS, world.account) == 0


def test_what_was_booked_late_agrees_and_is_not_carried_on(world: World) -> None:
    rows = books(world, 10)
    rows[0]["at"] = (NOW - timedelta(days=2)).isoformat()
    assert [kind for kind, _ in found_later(world, rows, NOW - timedelta(days=5))] == ["late"]
    assert found_later(world, rows, NOW + timedelta(hours=1)) == []


def test_a_failed_attempt_at_the_gateway_is_no_difference(world: World) -> None:
    rows = books(world, 10)
    tried = rows[0] | {"provider_id": "ch_failed", "status": "failed"}
    assert compare(world, [*rows, tried]) == []


def test_a_failed_attempt_that_both_know_makes_up_for_no_missing_movement(world: World) -> None:
    rows = books(world, 10)
    world.owner.execute(
        "insert into public.payments (amount_cents, currency, status, provider, provider_transaction_id, practice_id,"
        " gateway_account_id) values (1000, 'ILS', 'failed', 'sandbox', 'ch_both', %s, %s)",
        [world.practice, world.account],
    )
    both = rows[0] | {"provider_id": "ch_both", "status": "failed"}
    unheard = rows[0] | {"provider_id": "ch_unheard"}
    query = "select rows_there, rows_here, matched from public.reconciliations where gateway_account_id = %s"
    assert [finding["kind"] for finding in compare(world, [*rows, both, unheard])] == ["missing_here"]
    assert world.row(query, world.account) == {"rows_there": 11, "rows_here": 10, "matched": 10}


def net(rows: list[dict[str, Any]]) -> int:
    """What a list adds up to, what was given back taken off."""
    return sum(row["amount_cents"] * (1 if row["kind"] == "charge" else -1) for row in rows)


def test_the_clearing_account_is_what_the_list_makes_it(world: World) -> None:
    rows = books(world, 100)
    assert reconcile(world, rows)["balances"] == {"ILS": {"ours": net(rows), "theirs": net(rows)}}
    unheard = rows[0] | {"provider_id": "ch_unheard", "amount_cents": 77}
    short = reconcile(world, [*rows, unheard])
    assert short["balances"] == {"ILS": {"ours": net(rows), "theirs": net(rows) + 77}}
    assert [finding["kind"] for finding in short["findings"]] == ["missing_here"]


def test_what_moved_before_the_list_begins_counts_as_it_stands_here(world: World) -> None:
    rows = books(world, 100)
    since = NOW - timedelta(minutes=10)
    newer = [row for row in rows if datetime.fromisoformat(row["at"]) >= since]
    assert 0 < len(newer) < len(rows)
    assert reconcile(world, newer, since) == {
        "findings": [], "balances": {"ILS": {"ours": net(rows), "theirs": net(rows)}},
    }  # fmt: skip


def test_a_clearing_account_that_no_movement_explains_is_found(world: World) -> None:
    """The journal missed a payment, so charges here and there agree, and the balance does not."""
    rows = books(world, 10)
    world.owner.execute("alter table public.payments disable trigger payments_book")
    try:
        all_rows = books_of_one_more(world, rows)
    finally:
        world.owner.execute("alter table public.payments enable trigger payments_book")
    found = reconcile(world, all_rows)
    assert found["balances"] == {"ILS": {"ours": net(rows), "theirs": net(all_rows)}}
    assert found["findings"] == [
        {
            "kind": "balance", "subject": "ILS", "id": None, "provider_id": None,
            "ours": str(net(rows)), "theirs": str(net(all_rows)),
        }
    ]  # fmt: skip


def books_of_one_more(world: World, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    world.owner.execute(
        "insert into public.payments (amount_cents, currency, status, provider, provider_transaction_id, practice_id,"
        " gateway_account_id, paid_at) values (500, 'ILS', 'paid', 'sandbox', 'ch_' || %(a)s || '_more', %(p)s, %(a)s,"
        " %(now)s)",
        {"a": world.account, "p": world.practice, "now": NOW},
    )
    more = {"provider_id": f"ch_{world.account}_more", "amount_cents": 500, "at": NOW.isoformat()}
    return [*rows, rows[0] | more]


def reconciled(api_url: str, shop: Shop, *, mend: bool) -> Reconciliation:
    async def run() -> Reconciliation:
        async with await Database.open(api_url) as database:
            since, until_ = days_before(1)
            account = UUID(shop.account["id"])
            return await Reconciler(database, shop.live.settings).run(account, since, until_, mend=mend)

    return asyncio.run(run())


def test_what_nobody_told_of_is_found_at_the_gateway_and_mended(shop: Shop, api_url: str) -> None:
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    invoice, _ = shop.paid()
    silent = shop.invoice()
    name = one(
        shop.world.owner,
        "select provider_intent_id as v from public.payment_intents where id = %s", shop.intent(silent)["id"],
    )  # fmt: skip
    paid = shop.at_gateway("POST", f"/v1/payment_intents/{name}/confirm", {"payment_method": "pm_card_visa"})
    charge = shop.payments(invoice)[0]
    by_hand = {"charge": shop.world.payment(UUID(charge["id"]))["provider_transaction_id"], "amount": 100}
    assert shop.at_gateway("POST", "/v1/refunds", by_hand)["status"] == "succeeded"
    found = reconciled(api_url, shop, mend=False)
    assert sorted(finding["kind"] for finding in found.findings) == ["missing_here", "missing_here"]
    assert paid["latest_charge"] in {finding["provider_id"] for finding in found.findings}
    assert (found.matched, found.rows_there) == (1, 3)
    mended = reconciled(api_url, shop, mend=True)
    assert (mended.findings, mended.matched, mended.rows_there) == ([], 3, 3)
    assert shop.live.call(shop.client, "GET", f"/invoices/{silent}")["status"] == "paid"
    seen = shop.live.call(shop.coach, "GET", "/reconciliations")["items"]
    assert seen[0]["findings"] == []
    assert shop.live.call(shop.client, "GET", "/reconciliations")["items"] == []


def test_what_was_paid_on_an_intent_that_was_given_up_before_its_name_was_heard_is_mended(
    shop: Shop, api_url: str
) -> None:
    fault = {"on": "POST /v1/payment_intents", "do": "lost_after"}
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never", "faults": [fault]})
    invoice = shop.invoice()
    intent = shop.intent(invoice)["id"]
    assert shop.live.call(shop.client, "POST", f"/payment-intents/{intent}/cancel")["status"] == "canceled"
    [made] = shop.at_gateway("GET", "/v1/payment_intents")["data"]
    shop.at_gateway("POST", f"/v1/payment_intents/{made['id']}/confirm", {"payment_method": "pm_card_visa"})
    assert [finding["kind"] for finding in reconciled(api_url, shop, mend=False).findings] == ["missing_here"]
    assert reconciled(api_url, shop, mend=True).findings == []
    assert [payment["status"] for payment in shop.payments(invoice)] == ["paid"]


def test_events_that_were_missed_are_swept_in_once(shop: Shop, api_url: str) -> None:
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    shop.paid()

    async def sweep() -> int:
        async with await Database.open(api_url) as database:
            reconciler = Reconciler(database, shop.live.settings)
            return await reconciler.sweep(UUID(shop.account["id"]), NOW - timedelta(hours=1))

    assert [asyncio.run(sweep()) for _ in range(2)] == [3, 3]
    until(lambda: shop.handled() == ["handled"] * 3, "each missed event is handled")


def test_an_event_that_can_not_be_kept_keeps_no_other_from_being_swept_in(
    shop: Shop, api_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    wish = {"amount": 100, "currency": "ils", "metadata": {"note": "\0"}}
    assert shop.at_gateway("POST", "/v1/payment_intents", wish)["http_status"] == 200
    shop.paid()

    async def sweep() -> int:
        async with await Database.open(api_url) as database:
            reconciler = Reconciler(database, shop.live.settings)
            return await reconciler.sweep(UUID(shop.account["id"]), NOW - timedelta(hours=1))

    assert asyncio.run(sweep()) == 4
    until(lambda: shop.handled() == ["handled"] * 3, "each event that can be kept is handled")
    assert "event not kept" in capsys.readouterr().out


def test_a_second_approved_charge_for_one_payment_is_found_and_not_booked_as_another(
    live: Live, world: World, api_url: str
) -> None:
    """Tranzila knows no keys and takes its page as often as it is sent: two tabs, one payer, two charges."""
    till = TranzilaShop(live, world)
    till.knobs(notify="never")
    invoice = till.invoice()
    page = till.page(invoice)
    for _ in range(2):
        assert httpx.post(page["url"], data={"number": "4242424242424242"}).status_code == 303
    assert till.live.call(till.client, "POST", f"/payment-intents/{page['intent_id']}/check")["status"] == "succeeded"
    assert till.live.call(till.client, "POST", f"/payment-intents/{page['intent_id']}/check")["status"] == "succeeded"
    assert [(payment["status"], payment["amount_cents"]) for payment in till.payments(invoice)] == [("paid", 25000)]
    found = reconciled(api_url, till, mend=True)
    assert [(finding["kind"], finding["theirs"]) for finding in found.findings] == [("missing_here", "25000")]
    assert till.open_alerts() == ["not_reconciled"]
    assert till.live.call(till.client, "GET", f"/invoices/{invoice}")["amount_paid_cents"] == 25000
