"""The search for secrets finds each kind of them in each place; else its silence about the suite would say nothing."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.cluster import Cluster
from tests.support.secret_search import TRAIL, Trail

PLANTED = {
    "card number": '{"error": "4242424242424242 was declined"}',
    "client secret": "pi_1aB_secret_0123456789abcdef",
    "gateway key": "Authorization: Bearer sk_test_0123456789abcdef0123456789abcdef",
    "webhook secret": "whsec_0123456789-abcdefghijkl",
    "sealed secret": "first line\nwhat-was-sealed in /v1/webhooks/tranzila",
}


@pytest.fixture(params=PLANTED)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def trail() -> Trail:
    made = Trail()
    made.sealed = {"what-was-sealed"}
    return made


@pytest.mark.parametrize("column", ["text", "bytea", "jsonb"])
def test_in_a_row_whatever_the_type_of_its_column(trail: Trail, database_url: str, kind: str, column: str) -> None:
    planted: Any = json.dumps({"a": PLANTED[kind]}) if column == "jsonb" else PLANTED[kind]
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(f"create table public.planted (id integer, it {column})")
        try:
            conn.execute(f"insert into public.planted values (1, null), (2, %s::text::{column})", [planted])
            trail.search_database(database_url, "here")
        finally:
            conn.execute("drop table public.planted")
    assert trail.taken() == [f"here, public.planted: {kind}"]


def test_what_pays_an_intent_is_allowed_in_its_place_until_it_is_over(
    trail: Trail, cluster: Cluster, database_name: str
) -> None:
    superuser = cluster.url(database_name, "postgres")
    with psycopg.connect(superuser, autocommit=True) as conn:
        # Past what an intent hangs on, and past what empties it.
        conn.execute("set session_replication_role = replica")
        conn.execute(
            "insert into public.payment_intents (user_id, amount_cents, currency, status, provider, client_secret)"
            " values (gen_random_uuid(), 1, 'ILS', 'processing', 'sandbox', %s)", [PLANTED["client secret"]],
        )  # fmt: skip
        trail.search_database(superuser, "here")
        assert trail.taken() == []
        conn.execute(
            "update public.payment_intents set status = 'canceled', client_secret = null, page_url = client_secret"
        )
        trail.search_database(superuser, "here")
        assert trail.taken() == ["here, public.payment_intents: client secret"]
        conn.execute("delete from public.payment_intents")


def test_in_what_a_test_printed_or_logged(trail: Trail, kind: str) -> None:
    report = pytest.TestReport(
        "a test", ("", 0, ""), {}, "passed", None, "call", sections=[("Captured stdout call", PLANTED[kind])]
    )
    trail.search_report(report)
    assert report.failed
    assert PLANTED[kind] not in str(report.longrepr), "the report is the next leak"


def test_in_an_answer_over_http(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the clients that the whole suite uses, so this says that their answers are searched."""
    monkeypatch.setattr(TRAIL, "sealed", {"what-was-sealed"})
    said = httpx.Response(400, headers={"x-request-id": "1"}, text=PLANTED[kind])
    with httpx.Client(transport=httpx.MockTransport(lambda _: said)) as client:
        client.get("http://loom.test/v1/there")
    assert TRAIL.taken() == [f"the answer to GET /v1/there: {kind}"]


def test_only_an_answer_that_is_no_refusal_may_tell_a_client_secret(trail: Trail) -> None:
    asked = httpx.Request("POST", "http://loom.test/v1/payment-intents")
    for status, found in ((201, []), (409, ["the answer to POST /v1/payment-intents: client secret"])):
        said = httpx.Response(status, headers={"x-request-id": "1"}, text=PLANTED["client secret"], request=asked)
        trail.search_answer(said)
        assert trail.taken() == found


def test_in_what_a_gateway_was_told(trail: Trail, kind: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "sandbox.sqlite3") as db:
        db.execute("create table objects (body text)")
        db.execute("insert into objects values (?)", [json.dumps({"metadata": {"note": PLANTED[kind]}})])
    trail.search_gateway(tmp_path / "sandbox.sqlite3")
    assert trail.taken() == [f"what the gateway was told: {kind}"]


def test_a_database_is_searched_before_it_is_dropped(cluster: Cluster) -> None:
    name = cluster.create()
    with psycopg.connect(cluster.url(name), autocommit=True) as conn:
        conn.execute("create table planted as select 'whsec_0123456789-abcdefghijkl' as it")
    with pytest.raises(AssertionError, match="webhook secret"):
        cluster.drop(name)
