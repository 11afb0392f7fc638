"""Numbers of cards in what gateways say: masked, and nothing else is."""

from __future__ import annotations

import pytest

from loom.providers.payments import GatewayRefusedError
from loom.providers.payments.card_numbers import MASK, looks_like_card_number, masked
from loom.providers.payments.stripe_mapping import intent_snapshot, setup_snapshot

NUMBERS = ["4242424242424242", "4242 4242 4242 4242", "4242-4242-4242-4242", "630400000000", "6304000000000000000"]
OTHERS = [
    "pm_1Qx4242424242424242", "ch_3NirD82eZvKYlo2C1234567890123456", "63040000000", "63040000000000000000",
    "12.50 of 100.00 ILS", "t123456789012", "",
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_seen_and_masked(number: str) -> None:
    assert looks_like_card_number(number)
    assert masked(f"No such PaymentMethod: '{number}'; try again") == f"No such PaymentMethod: '{MASK}'; try again"
    refused = GatewayRefusedError(f"No such token: {number}.", reason="resource_missing")
    assert str(refused) == f"No such token: {MASK}."


@pytest.mark.parametrize("text", OTHERS)
def test_names_and_sums_are_left_as_they_are(text: str) -> None:
    assert not looks_like_card_number(text)
    assert masked(f"The gateway said: {text}!") == f"The gateway said: {text}!"


def test_a_decline_that_repeats_the_number_is_masked() -> None:
    fault = {"message": "4242424242424242 was declined.", "code": "card_declined"}
    intent = {"id": "pi_1", "status": "requires_payment_method", "currency": "ils", "last_payment_error": fault}
    assert intent_snapshot(intent).error_message == f"{MASK} was declined."
    setup = {"id": "seti_1", "status": "requires_payment_method", "last_setup_error": fault}
    assert setup_snapshot(setup, None).error_message == f"{MASK} was declined."
