"""What credits refuse, by code and by the constraint that refuses it."""

from __future__ import annotations

ERROR_CODES: dict[str, str] = {
    "client_unknown": "A package is sold to a client.",
    "credits_append_only": "The ledger of credits is never changed.",
    "credits_expired": "The end of the credits lies in the past.",
    "credits_not_granted": "The credits are not there yet: their invoice is a draft, or not paid.",
    "credits_out_of_range": "Between 1 and 1000 sessions are given or moved at once.",
    "credits_used_up": "Fewer credits are left.",
    "currency_mismatch": "The package and the invoice are in different currencies.",
    "no_credit": "Nothing the client has is good for this seat.",
    "reason_needed": "A reason has to be given.",
}

CONSTRAINT_ERRORS: dict[str, tuple[int, str, str]] = {
    "credits_never_below_zero": (409, "credits_used_up", "Fewer credits are left."),
    "packages_currency_code": (422, "currency_unknown", "There is no such currency."),
}
