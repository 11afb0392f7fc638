"""The books over HTTP: a month is billed, paid on account, corrected, exported and checked."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.features.billing.shop import Shop


def period() -> str:
    start = (datetime.now(UTC) - timedelta(days=40)).strftime("%Y-%m-%dT%H:%M:%SZ")
    end = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"from={start}&to={end}"


def test_from_unbilled_to_checked_books(shop: Shop) -> None:
    live, coach, client = shop.live, shop.coach, shop.client
    relation = str(shop.world.relation)
    shop.world.seat(35000)
    items = live.call(coach, "GET", f"/unbilled?{period()}")["items"]
    assert [(item["kind"], item["amount_cents"]) for item in items] == [("seat", 35000)]
    # A month is one of the practice's zone, which is in it some hours before UTC is.
    month = datetime.fromisoformat(items[0]["arose_at"]).astimezone(ZoneInfo("Asia/Jerusalem")).date().isoformat()
    billed = live.call(coach, "POST", "/unbilled/bill-month", {"month": month, "finalize": True})["clients"]
    invoice = billed[0]["invoice_id"]
    assert live.call(client, "GET", f"/invoices/{invoice}")["balance_cents"] == 35000

    body = {"coach_client_id": relation, "amount_cents": 40000, "currency": "ILS", "method": "bank_transfer"}
    missing = live.call(coach, "POST", "/payments/on-account", body)
    assert (missing["http_status"], missing["code"]) == (422, "reference_needed")
    paid = live.call(
        coach, "POST", "/payments/on-account", body | {"reference": "=T(1)", "allocations": [{"invoice_id": invoice}]}
    )
    assert (paid["allocated_cents"], paid["coach_client_id"]) == (35000, relation)
    assert live.call(coach, "GET", f"/payments/{paid['id']}/allocations")["items"][0]["invoice_id"] == invoice
    balance = live.call(client, "GET", "/client-balances")["items"]
    assert [(row["open_cents"], row["credit_cents"]) for row in balance] == [(0, 5000)]

    note = live.call(coach, "POST", f"/invoices/{invoice}/credit-notes", {"amount_cents": 1000, "reason": "short"})
    assert (note["document_kind"], note["total_amount_cents"], note["credit_of_invoice_id"]) == (
        "credit_note", 1000, invoice,
    )  # fmt: skip
    receipt = live.call(coach, "POST", f"/payments/{paid['id']}/receipt")
    assert (receipt["document_kind"], receipt["total_amount_cents"]) == ("receipt", 40000)
    released = live.call(coach, "POST", f"/payments/{paid['id']}/allocations/release", {"invoice_id": invoice})
    assert released["allocated_cents"] == 0
    undone = live.call(coach, "POST", f"/payments/{paid['id']}/undo", {"reason": "wrong client"})
    assert undone["status"] == "refunded"
    assert live.call(coach, "GET", "/journal/check") == {
        "agrees": True, "differences": [], "http_status": 200, "replayed": None,
    }  # fmt: skip
    moves = live.call(coach, "GET", f"/journal?subject_id={paid['id']}")["items"]
    assert [sum(move["entries"].values()) for move in moves] == [0] * len(moves)
    assert live.call(client, "GET", "/journal")["items"] == []


@pytest.mark.parametrize("table", ["journal", "invoices", "payments"])
def test_a_file_for_the_accountant(shop: Shop, table: str) -> None:
    invoice = shop.invoice(123456)
    body = {"invoice_id": invoice, "amount_cents": 123456, "method": "other", "reference": "=1+1"}
    assert shop.live.call(shop.coach, "POST", "/payments", body)["http_status"] == 201
    token = shop.live.issuer.access_token(shop.coach, shop.world.practice, second_factor=False)
    answer = httpx.get(f"{shop.live.url}/v1/exports/{table}?{period()}", headers={"Authorization": f"Bearer {token}"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert rows
    assert {row["client"] for row in rows} == {"Dana"}
    assert "1234.56" in {value for row in rows for value in row.values()}
    assert not [value for row in rows for value in row.values() if value.startswith("=")]
    if table == "journal":
        assert sum(round(float(row["debit"] or 0) * 100) - round(float(row["credit"] or 0) * 100) for row in rows) == 0


def test_a_series_a_document_from_elsewhere_and_the_rules(shop: Shop) -> None:
    live, coach = shop.live, shop.coach
    series = live.call(coach, "POST", "/document-series", {"document_kind": "receipt", "last_number": 99})
    assert series["next_number"] == 100
    assert {row["document_kind"] for row in live.call(coach, "GET", "/document-series")["items"]} >= {"receipt"}
    assert any(rule["rule"] == "vat_rate_bp" for rule in live.call(shop.client, "GET", "/tax-rules")["items"])
    assert live.call(coach, "PATCH", "/practice", {"documents_elsewhere": True})["documents_elsewhere"] is True
    said = {"client_id": str(shop.client), "lines": [{"description": "Add-on", "amount_cents": 5}]}
    draft, other = (live.call(coach, "POST", "/invoices", said) for _ in range(2))
    final = live.call(coach, "POST", f"/invoices/{draft['id']}/finalize", {"document_number": "EZ-7"})
    assert (final["document_number"], final["issued_elsewhere"]) == ("EZ-7", True)
    again = live.call(coach, "POST", f"/invoices/{other['id']}/finalize", {"document_number": "EZ-7"})
    assert (again["http_status"], again["code"]) == (409, "document_number_taken")
    assert live.call(coach, "POST", f"/invoices/{other['id']}/finalize", {})["document_number"] is None
    later = live.call(coach, "POST", f"/invoices/{other['id']}/numbers", {"document_number": "EZ-7"})
    assert (later["http_status"], later["code"]) == (409, "document_number_taken")
