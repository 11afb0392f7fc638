"""What Tranzila's answers mean. A code that is not known is never money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["approved", "partial", "declined", "unknown", "waiting", "canceled", "tampered"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """`reason` is the short word that is kept with a failure, and by which the database knows what needs a look."""

    kind: Kind
    reason: str


APPROVED = "000"
CHECKED = "777"
"""The card was looked at and nothing charged; money in no mode at all."""

_EXACT: dict[str, Meaning] = {
    "000": Meaning("approved", "approved"),
    "shva": Meaning("waiting", "waiting_for_network"),
    "010": Meaning("partial", "partial_approval"),
    "001": Meaning("declined", "blocked_card"),
    "002": Meaning("declined", "stolen_card"),
    "005": Meaning("declined", "forged_card"),
    "003": Meaning("declined", "call_issuer"),
    "004": Meaning("declined", "generic_decline"),
    "006": Meaning("declined", "incorrect_cvc_or_id"),
    "007": Meaning("declined", "authentication_failed"),
    "008": Meaning("declined", "incorrect_address"),
    "026": Meaning("declined", "incorrect_id"),
    "015": Meaning("declined", "expired_card"),
    "416": Meaning("declined", "expired_card"),
    "429": Meaning("declined", "expired_card"),
    "447": Meaning("declined", "incorrect_number"),
    "731": Meaning("declined", "incorrect_number"),
    "009": Meaning("unknown", "no_answer"),
    "553": Meaning("unknown", "no_answer"),
    "706": Meaning("unknown", "no_answer"),
    "997": Meaning("unknown", "no_answer"),
    # Said of a payment that is there already: most likely paid, and once.
    "425": Meaning("unknown", "duplicate"),
    "426": Meaning("declined", "amount_too_large"),
    "507": Meaning("declined", "amount_too_large"),
    "952": Meaning("unknown", "page_closed"),
    "951": Meaning("declined", "wallet_refused"),
    "954": Meaning("declined", "wallet_refused"),
    "912791": Meaning("tampered", "sum_was_changed"),
}
# The rest by ranges, looked up after the exact ones; the narrower come first.
_RANGES: tuple[tuple[range, Meaning], ...] = (
    (range(16, 17), Meaning("declined", "currency_not_allowed")),
    (range(301, 302), Meaning("declined", "currency_not_allowed")),
    (range(318, 319), Meaning("declined", "currency_not_allowed")),
    (range(342, 343), Meaning("declined", "currency_not_allowed")),
    (range(354, 355), Meaning("declined", "currency_not_allowed")),
    (range(12, 15), Meaning("declined", "not_permitted")),
    (range(17, 18), Meaning("declined", "not_permitted")),
    (range(300, 355), Meaning("declined", "not_permitted")),
    (range(439, 442), Meaning("declined", "not_permitted")),
    (range(445, 446), Meaning("declined", "not_permitted")),
    (range(51, 194), Meaning("declined", "terminal_broken")),
    (range(401, 407), Meaning("declined", "invalid_request")),
    (range(410, 425), Meaning("declined", "invalid_request")),
    (range(450, 500), Meaning("declined", "invalid_request")),
    (range(500, 501), Meaning("canceled", "canceled")),
    (range(700, 701), Meaning("canceled", "canceled")),
    (range(704, 706), Meaning("canceled", "canceled")),
    (range(800, 801), Meaning("canceled", "canceled")),
)
_NOT_KNOWN = Meaning("declined", "code_not_known")

# What the API refuses before a card is asked at all.
API_ERRORS: dict[int, Meaning] = {
    20004: Meaning("declined", "invalid_request"),
    20014: Meaning("declined", "amount_zero"),
    20112: Meaning("declined", "original_not_found"),
    # More would go back than came in: our own counting is wrong.
    23002: Meaning("declined", "refund_exceeds_charge"),
}


def meaning_of(code: str | None) -> Meaning:
    """What a processor's code says, in the words of card networks since EMV."""
    text = (code or "").strip()
    found = _EXACT.get(text)
    if found is not None:
        return found
    if text.isascii() and text.isdigit():
        for numbers, meaning in _RANGES:
            if int(text) in numbers:
                return meaning
    return _NOT_KNOWN
