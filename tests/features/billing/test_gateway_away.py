"""A gateway that is away for a day: nothing is lost, nothing happens twice, and one alert stands for all of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from loom.core.errors import AppError
from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.features.billing import service
from loom.features.billing.inbox import Inbox
from loom.features.billing.service import Billing
from loom.providers.payments import vault_of
from tests.features.billing.test_crash_matrix import Operation, Plain, Till, settings
from tests.features.billing.world import World
from tests.support.sandbox import Sandbox, running_sandbox

__all__ = ["settings"]

LOOKS_OF_A_DAY = 8


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def alerts(till: Till) -> list[str]:
    rows = till.world.owner.execute(
        "select kind from public.gateway_alerts where gateway_account_id = %s and closed_at is null",
        [till.world.account],
    ).fetchall()
    return [row["kind"] for row in rows]


def state(till: Till, table: str, row_id: UUID) -> str:
    return till.one(f"select status::text as v from public.{table} where id = %s", row_id)


@pytest.mark.parametrize("keys", [True, False])
def test_after_a_day_away_all_that_waited_is_done_once(
    world: World, sandbox: Sandbox, settings: Settings, api_url: str, nobody: str, keys: bool
) -> None:
    till = Till(world, sandbox, settings, api_url, keys=keys)
    paid = Operation(till, "refund")
    payment = till.one("select id as v from public.payments where invoice_id = %s and status = 'paid'", paid.invoice)
    away = settings.model_copy(update={"sandbox_url": nobody, "tranzila_url": nobody})
    till.settings = away
    coach, payer = Actor.user(world.coach), Actor.user(world.client)

    async def wish(database: Any) -> tuple[list[UUID], UUID]:
        """Two refunds, and an invoice that somebody begins to pay."""
        refunds = [
            await database.run(
                coach, lambda tx: tx.fetch_value("select public.request_refund(%(p)s, 1000, 'x')", {"p": payment})
            )
            for _ in range(2)
        ]
        for refund in refunds:
            await Billing(database, away).send_refund(refund)
        begin = "select public.begin_payment_intent(%(i)s)"
        intent = await database.run(payer, lambda tx: tx.fetch_value(begin, {"i": invoice}))
        await Billing(database, away).send_intent(intent)
        return refunds, intent

    invoice = world.issued(7000)
    refunds, intent = till.go(wish)
    till.janitor(LOOKS_OF_A_DAY)
    assert [state(till, "payment_refunds", refund) for refund in refunds] == ["processing", "processing"]
    assert state(till, "payment_intents", intent) == "requires_payment_method"
    assert alerts(till) == ["gateway_unreachable"]
    told = "select count(*) as v from public.notifications where user_id = %s and data ->> 'kind' = 'gateway_alert'"
    assert till.one(told, world.coach) == 1
    waits = "select count(*) as v from public.payment_refunds where id = any (%s) and next_check_at is not null"
    assert till.one(waits, refunds) == 2

    till.settings = settings
    till.janitor()
    assert [state(till, "payment_refunds", refund) for refund in refunds] == ["succeeded", "succeeded"]
    known = "select provider_intent_id is not null as v from public.payment_intents where id = %s"
    assert till.one(known, intent)
    assert till.at_gateway() == till.in_books() == [("charge", 5000), ("refund", 1000), ("refund", 1000)]
    assert alerts(till) == []


@pytest.fixture
def late_report(tmp_path: Path, world: World, settings: Settings, api_url: str) -> Iterator[Till]:
    """A terminal whose report is a minute behind, at a gateway of its own, since its clock is put forward."""
    with running_sandbox(tmp_path) as own:
        told = settings.model_copy(update={"tranzila_url": f"{own.url}/tranzila"})
        yield Till(world, own, told, api_url, keys=False)


def behind(till: Till, seconds: int, *faults: dict[str, Any]) -> None:
    knobs = {"report_lag_seconds": seconds, "faults": list(faults)}
    till.sandbox.call("POST", "/sandbox/knobs", knobs, f"sk_test_tranzila_{till.terminal}")


def refund(till: Till, operation: Operation) -> str:
    """The state of the refund of the operation's payment, once it was sent."""
    till.go(lambda database: operation.act(Plain(database)))
    return refund_state(till)


def refund_state(till: Till) -> str:
    return till.one(
        "select r.status::text as v from public.payment_refunds r join public.payments p on p.id = r.payment_id"
        " where p.gateway_account_id = %s", till.world.account,
    )  # fmt: skip


def refund_lost_behind_a_late_report(till: Till) -> None:
    """The answer is lost, the report is behind for two looks, and at the third it is not any more."""
    operation = Operation(till, "refund")
    till.sandbox.call("POST", "/sandbox/clock", {"seconds": 120})
    behind(till, 60, {"on": "POST /tranzila/v1/transaction/credit_card/create", "do": "lost_after"})
    assert refund(till, operation) == "processing"
    till.janitor(2)
    behind(till, 0)
    till.janitor(1)
    assert refund_state(till) == "succeeded"


def test_a_refund_that_a_late_report_does_not_show_is_not_sent_twice(late_report: Till) -> None:
    refund_lost_behind_a_late_report(late_report)
    assert late_report.at_gateway() == late_report.in_books() == [("charge", 5000), ("refund", 2000)]


def test_without_the_wait_it_is_sent_twice(late_report: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr(service, "LOOKS_BEFORE_A_REPETITION", -1)
    refund_lost_behind_a_late_report(late_report)
    assert late_report.at_gateway() == [("charge", 5000), ("refund", 2000), ("refund", 2000)]


def test_a_refund_whose_original_a_late_report_does_not_show_waits_for_it(late_report: Till) -> None:
    till = late_report
    operation = Operation(till, "refund")
    behind(till, 60)
    assert refund(till, operation) == "processing"
    behind(till, 0)
    till.janitor()
    assert refund_state(till) == "succeeded"
    assert till.at_gateway() == till.in_books() == [("charge", 5000), ("refund", 2000)]


@pytest.mark.parametrize("keys", [True, False])
def test_keys_that_are_not_taken_make_one_alert_and_end_nothing(
    world: World, sandbox: Sandbox, settings: Settings, api_url: str, keys: bool
) -> None:
    till = Till(world, sandbox, settings, api_url, keys=keys)
    operation = Operation(till, "refund")
    opens = till.one("select api_key as v from private.gateway_secrets where account_id = %s", world.account)

    def key(sealed: str) -> None:
        world.owner.execute(
            "update private.gateway_secrets set api_key = %s where account_id = %s", [sealed, world.account]
        )

    key(vault_of(settings).seal("revoked"))
    assert refund(till, operation) == "processing"
    begin = "select public.begin_payment_intent(%(i)s, null, 'hosted')"
    waiting, payer = world.issued(7000), Actor.user(world.client)

    async def page(database: Any) -> None:
        intent = await database.run(payer, lambda tx: tx.fetch_value(begin, {"i": waiting}))
        await Billing(database, settings).open_page(intent, success_url="x", cancel_url="x", locale="en")

    with pytest.raises(AppError) as refused:
        till.go(page)
    assert (refused.value.status, refused.value.code) == (409, "gateway_refused")
    till.janitor(LOOKS_OF_A_DAY)
    assert "odd_answer" in alerts(till)
    assert alerts(till).count("odd_answer") == 1
    key(opens)
    till.janitor()
    assert refund_state(till) == "succeeded"
    assert till.at_gateway() == till.in_books() == [("charge", 5000), ("refund", 2000)]


def broken(till: Till) -> None:
    """Whatever is asked with these keys fails in a way that nobody foresaw: they fit in no header."""
    till.world.owner.execute(
        "update private.gateway_secrets set api_key = %s where account_id = %s",
        [vault_of(till.settings).seal("sk_test_é"), till.world.account],
    )


def event_of(till: Till, kind: str, told: dict[str, Any], account: object = None) -> UUID:
    """An event that came ten minutes ago, and that nobody handled."""
    event = {"id": f"evt_{uuid4()}", "type": kind, "created": 1, "data": {"object": told}}
    return till.one(
        "insert into public.webhook_events (gateway_account_id, provider, event_id, event_type, payload, received_at)"
        " values (%s, 'sandbox', %s, %s, %s::jsonb, now() - interval '10 minutes') returning id as v",
        account or till.world.account, event["id"], kind, json.dumps(event),
    )  # fmt: skip


def handled(till: Till, event: UUID) -> tuple[str, int, str | None]:
    row = till.world.row("select status, attempts, error_message from public.webhook_events where id = %s", event)
    return row["status"], row["attempts"], row["error_message"]


def test_a_row_that_fails_unforeseen_keeps_no_other_waiting(
    world: World, sandbox: Sandbox, settings: Settings, api_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    till = Till(world, sandbox, settings, api_url, keys=True)
    paid = Operation(till, "refund")
    till.go(lambda database: paid.act(Plain(database)))
    payer = Actor.user(world.client)
    begin = "select public.begin_payment_intent(%(i)s)"
    invoice = world.issued(7000)
    intent = till.go(lambda database: database.run(payer, lambda tx: tx.fetch_value(begin, {"i": invoice})))
    setup = till.go(
        lambda database: database.run(
            payer,
            lambda tx: tx.fetch_value(
                "select public.begin_method_setup(%(p)s, 'Keep it.', true)", {"p": world.practice}
            ),
        )
    )
    world.owner.execute("update public.payment_method_setups set customer_id = 'cus_x' where id = %s", [setup])
    stuck = event_of(till, "refund.updated", {"id": "re_x", "object": "refund", "charge": "ch_x"})
    other = event_of(till, "nothing.followed", {"id": "x", "object": "nothing"})
    broken(till)
    till.janitor(1)
    assert handled(till, other) == ("ignored", 1, None)
    assert handled(till, stuck) == ("received", 1, "unexpected: UnicodeEncodeError")
    for table, row in (("payment_intents", intent), ("payment_method_setups", setup)):
        seen = world.row(f"select check_attempts, last_error_message from public.{table} where id = %s", row)
        assert seen == {"check_attempts": 1, "last_error_message": "unexpected: UnicodeEncodeError"}, table
    logged = capsys.readouterr().out
    assert "service.py:" in logged
    assert "sk_test_" not in logged


def test_an_event_that_can_not_be_handled_is_left_to_people_in_the_end(
    world: World, sandbox: Sandbox, settings: Settings, api_url: str
) -> None:
    till = Till(world, sandbox, settings, api_url, keys=True)
    event = event_of(till, "refund.updated", {"id": "re_x", "object": "refund", "charge": "ch_x"})
    broken(till)
    world.owner.execute("update public.webhook_events set attempts = 18 where id = %s", [event])
    for ended in ("received", "failed"):
        with pytest.raises(UnicodeEncodeError):
            till.go(lambda database: Inbox(database, settings).handle_event(event))
        assert handled(till, event)[0] == ended


def test_refunds_that_can_not_be_looked_up_keep_no_other_waiting(
    world: World, sandbox: Sandbox, settings: Settings, api_url: str, nobody: str
) -> None:
    till = Till(world, sandbox, settings, api_url, keys=True)
    operation = Operation(till, "refund")
    till.sandbox.call("POST", "/sandbox/knobs", {"refunds": "pending"}, till.key)
    for _ in range(2):
        till.go(lambda database: operation.act(Plain(database)))
    # Both are known there and wait; one a little longer than the other.
    world.owner.execute(
        "update public.payment_refunds r set check_attempts = 0, next_check_at = now() - x.n * interval '1 minute'"
        " from (select id, row_number() over () as n from public.payment_refunds where status = 'processing') x"
        " where x.id = r.id"
    )
    away = settings.model_copy(update={"sandbox_url": nobody})
    for _ in range(2):
        till.go(lambda database: Inbox(database, away).repair(limit=1))
    looks = "select array_agg(check_attempts) as v from public.payment_refunds where status = 'processing'"
    assert till.one(looks) == [1, 1]
    till.settings = away
    till.janitor(2)
    assert alerts(till) == ["gateway_unreachable"]
