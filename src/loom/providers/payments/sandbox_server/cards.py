"""The sandbox's test cards: Stripe's own names and numbers where Stripe has one, and a few for worse days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Behaviour = Literal["approve", "decline", "ask", "ask_once", "processing", "partial", "answer_lost", "never_arrived"]
RefundBehaviour = Literal["succeed", "fail_later", "pending", "refuse"]


@dataclass(frozen=True, slots=True)
class Card:
    """What a card does. `tranzila_code` is what the other dialect answers for it."""

    token: str
    number: str
    behaviour: Behaviour = "approve"
    brand: str = "visa"
    code: str | None = None
    decline_code: str | None = None
    message: str = "Your card was declined."
    tranzila_code: str = "000"
    refunds: RefundBehaviour = "succeed"

    @property
    def last4(self) -> str:
        """What people recognise it by."""
        return self.number[-4:]


def _declined(token: str, number: str, decline_code: str, tranzila_code: str, code: str = "card_declined") -> Card:
    return Card(token, number, "decline", code=code, decline_code=decline_code, tranzila_code=tranzila_code)


_CARDS = (
    Card("pm_card_visa", "4242424242424242"),
    Card("pm_card_mastercard", "5555555555554444", brand="mastercard"),
    Card("pm_card_amex", "378282246310005", brand="amex"),
    _declined("pm_card_chargeDeclined", "4000000000000002", "generic_decline", "004"),
    _declined("pm_card_chargeDeclinedInsufficientFunds", "4000000000009995", "insufficient_funds", "004"),
    _declined("pm_card_chargeDeclinedLostCard", "4000000000009987", "lost_card", "001"),
    _declined("pm_card_chargeDeclinedStolenCard", "4000000000009979", "stolen_card", "002"),
    _declined("pm_card_chargeDeclinedExpiredCard", "4000000000000069", "expired_card", "015", "expired_card"),
    _declined("pm_card_chargeDeclinedIncorrectCvc", "4000000000000127", "incorrect_cvc", "006", "incorrect_cvc"),
    _declined(
        "pm_card_chargeDeclinedProcessingError", "4000000000000119", "processing_error", "051", "processing_error"
    ),
    Card("pm_card_authenticationRequired", "4000002760003184", "ask"),
    Card("pm_card_authenticationRequiredOnSetup", "4000002500003155", "ask_once"),
    Card("pm_card_refundFail", "4000000000005126", refunds="fail_later"),
    Card("pm_card_pendingRefund", "4000000000007726", refunds="pending"),
    # What no real gateway offers: days on which it behaves badly.
    Card("pm_sandbox_answerLost", "4000000000000504", "answer_lost"),
    Card("pm_sandbox_neverArrived", "4000000000000505", "never_arrived"),
    Card("pm_sandbox_processing", "4000000000000506", "processing", tranzila_code="shva"),
    Card("pm_sandbox_partial", "4000000000000010", "partial", tranzila_code="010"),
    Card("pm_sandbox_refundRefused", "4000000000000507", refunds="refuse"),
)

BY_TOKEN = {card.token: card for card in _CARDS} | {
    # Stripe knows these under a second name.
    card.token.replace("pm_card_", "pm_card_visa_"): card
    for card in _CARDS
    if card.token.startswith("pm_card_charge")
}
BY_NUMBER = {card.number: card for card in _CARDS}


def known_tokens() -> str:
    """For people who named a card that is not there."""
    return ", ".join(sorted(card.token for card in _CARDS))
