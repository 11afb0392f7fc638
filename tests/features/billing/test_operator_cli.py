"""Reconciling and replaying by hand, as an operator does it: a command, its report, and its exit code."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from subprocess import CompletedProcess
from uuid import UUID

import httpx
import pytest

from loom.providers.payments.signatures import SIGNATURE_HEADER, sign
from tests.cli.running import loom
from tests.features.billing.shop import Shop
from tests.features.billing.test_webhooks_http import forged, known_path
from tests.features.billing.world import World, one
from tests.support.waiting import until

Command = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def billing(shop: Shop, api_url: str) -> Command:
    """`loom billing …` on the shop's database, with its keys and its gateway."""

    def run(*arguments: str) -> CompletedProcess[str]:
        return loom(
            "billing", *arguments, "--account", shop.account["id"],
            LOOM_DATABASE_URL=api_url, LOOM_DATA_DIR=str(shop.live.settings.data_dir),
            LOOM_SANDBOX_URL=str(shop.live.settings.sandbox_url), COLUMNS="250",
        )  # fmt: skip

    return run


def test_reconcile_reports_in_three_forms_and_mends_by_looking(shop: Shop, billing: Command) -> None:
    shop.paid()
    shop.at_gateway("POST", "/sandbox/knobs", {"delivery": "never"})
    silent = shop.invoice()
    name = one(
        shop.world.owner,
        "select provider_intent_id as v from public.payment_intents where id = %s", shop.intent(silent)["id"],
    )  # fmt: skip
    charge = shop.at_gateway("POST", f"/v1/payment_intents/{name}/confirm", {"payment_method": "pm_card_visa"})
    table = billing("reconcile")
    assert table.returncode == 1, table.stderr
    assert "missing_here" in table.stdout
    assert "1 of 2 agree (50.00 %)" in table.stdout
    rows = list(csv.DictReader(io.StringIO(billing("reconcile", "--format", "csv").stdout)))
    assert [(row["kind"], row["provider_id"], row["theirs"]) for row in rows] == [
        ("missing_here", charge["latest_charge"], "25000")
    ]
    mended = billing("reconcile", "--mend", "--format", "json")
    assert mended.returncode == 0, mended.stderr
    [run] = json.loads(mended.stdout)
    assert (run["findings"], run["matched"], run["rows_there"]) == ([], 2, 2)
    assert shop.live.call(shop.client, "GET", f"/invoices/{silent}")["status"] == "paid"


def test_events_are_handled_again_by_hand_and_book_nothing_twice(shop: Shop, billing: Command) -> None:
    invoice, _ = shop.paid()
    until(lambda: shop.handled() and set(shop.handled()) == {"handled"}, "the events are handled")
    many = len(shop.handled())
    # One that failed before its cause was mended, and one of an object that nobody knows.
    shop.world.owner.execute(
        "update public.webhook_events set status = 'failed', handled_at = null where id ="
        " (select id from public.webhook_events where gateway_account_id = %s order by received_at limit 1)",
        [shop.account["id"]],
    )
    body = forged("pi_nobody")
    headers = {"content-type": "application/json", SIGNATURE_HEADER: sign(shop.secret, body, int(time.time()))}
    assert httpx.post(f"{shop.live.url}{known_path(shop)}", content=body, headers=headers).status_code == 200
    until(lambda: "received" not in shop.handled(), "the stranger's event is handled")
    failed = billing("replay")
    assert failed.returncode == 0, failed.stderr
    assert "1 events handled once more." in failed.stdout
    every = json.loads(billing("replay", "--status", "any", "--format", "json").stdout)
    assert len(every) == many + 1
    assert {row["status"] for row in every} == {"handled"}
    assert "unknown_intent" in {row["outcome"] for row in every}
    assert [payment["status"] for payment in shop.payments(invoice)] == ["paid"]
    named = billing("replay", every[0]["id"], "--format", "csv")
    assert [row["id"] for row in csv.DictReader(io.StringIO(named.stdout))] == [every[0]["id"]]
    assert UUID(every[0]["id"])


def test_a_gateway_that_is_away_keeps_no_other_account_from_being_compared(shop: Shop, api_url: str) -> None:
    shop.paid()
    away = Shop(shop.live, World.make(shop.world.owner, shop.world.as_user, shop.world.as_role))
    away.paid()
    fault = {"on": "GET /v1/charges", "do": "error_before", "times": 1}
    away.at_gateway("POST", "/sandbox/knobs", {"faults": [fault]})
    said = loom(
        "billing", "reconcile",
        LOOM_DATABASE_URL=api_url, LOOM_DATA_DIR=str(shop.live.settings.data_dir),
        LOOM_SANDBOX_URL=str(shop.live.settings.sandbox_url), COLUMNS="250",
    )  # fmt: skip
    assert said.returncode == 2, said.stderr
    assert f"{away.account['id']}: not compared. The gateway answered 500." in said.stderr
    assert "Traceback" not in said.stderr
    assert f"{shop.account['id']}: 1 of 1 agree" in said.stdout
    assert away.account["id"] not in said.stdout
