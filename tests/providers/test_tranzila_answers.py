"""Tranzila's direct answers: what a yes has to name, and that it is believed in what it says, not in what was asked."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from tests.providers import tranzila_recorded as recorded
from tests.providers.test_tranzila import TERMINAL, answered, charge

from loom.providers.payments import OutcomeUnknownError, RefundOrder, RefundSnapshot
from loom.providers.payments.tranzila_calls import Addresses
from loom.providers.payments.tranzila_gateway import TranzilaGateway


def refund(said: dict[str, Any]) -> RefundSnapshot:
    """What is made of an answer to a refund of 1 ILS."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, json={"transactions": [recorded.REPORT_LINE]} if "report" in request.url.host else said
        )

    gateway = TranzilaGateway(Addresses(), TERMINAL, httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    return asyncio.run(gateway.refund(RefundOrder("rf1", 100, "ILS", "myterminal:123457"), "k"))


def changed(recording: dict[str, Any], **result: Any) -> dict[str, Any]:
    """A recorded answer in which something else stands, or something is missing."""
    told = recording["transaction_result"] | result
    return recording | {"transaction_result": {name: value for name, value in told.items() if value != "missing"}}


@pytest.mark.parametrize(
    "odd",
    [
        {"amount": "NaN"},
        {"amount": "Infinity"},
        {"amount": "-5"},
        {"amount": "1e30"},
        {"amount": None},
        {"amount": "missing"},
        {"transaction_id": None},
        {"transaction_id": "missing"},
        {"transaction_id": ""},
        {"currency_code": "missing", "currency": "missing"},
        {"currency_code": "7"},
        {"currency_code": ["1"]},
    ],
    ids=str,
)
def test_a_yes_that_names_no_transaction_sum_or_currency_needs_a_look(odd: dict[str, Any]) -> None:
    with pytest.raises(OutcomeUnknownError):
        charge(answered(changed(recorded.DEBIT_APPROVED, **odd)))
    with pytest.raises(OutcomeUnknownError):
        refund(changed(recorded.CREDIT_APPROVED, **odd))


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ({"currency_code": "1"}, (100, "ILS")),
        ({"currency_code": "ILS"}, (100, "ILS")),
        ({"currency_code": "2"}, (100, "USD")),
        ({"currency_code": "missing", "currency": "EUR", "amount": "7.5"}, (750, "EUR")),
    ],
    ids=str,
)
def test_sum_and_currency_are_the_answers_own_and_not_what_was_asked_for(
    told: dict[str, Any], seen: tuple[int, str]
) -> None:
    paid = charge(answered(changed(recorded.DEBIT_APPROVED, **told)))
    assert (paid.amount_received_cents, paid.currency) == seen
    back = refund(changed(recorded.CREDIT_APPROVED, **({"currency": "missing", "amount": 1} | told)))
    assert (back.amount_cents, back.currency) == seen


@pytest.mark.parametrize("code", ["000", "777"])
def test_a_hold_is_held_by_either_code_and_is_never_money(code: str) -> None:
    held = charge(answered(changed(recorded.HELD, processor_response_code=code)), 1000, "manual")
    assert (held.status, held.amount_capturable_cents, held.amount_received_cents) == ("processing", 1000, None)
    unsaid = charge(answered(changed(recorded.HELD, processor_response_code=code, txn_type="missing")), 1000, "manual")
    assert unsaid == held
    assert charge(answered(changed(recorded.DEBIT_APPROVED, processor_response_code="777"))).status == (
        "requires_payment_method"
    )


@pytest.mark.parametrize(("said", "capture"), [(recorded.HELD, "automatic"), (recorded.DEBIT_APPROVED, "manual")])
def test_a_yes_to_something_else_needs_a_look(said: dict[str, Any], capture: Any) -> None:
    with pytest.raises(OutcomeUnknownError):
        charge(answered(said), 1000, capture)
