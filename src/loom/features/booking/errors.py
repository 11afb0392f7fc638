"""What booking refuses, by code."""

from __future__ import annotations

ERROR_CODES: dict[str, str] = {
    "move_too_late": "The terms of the booking let nobody but the coach move the session any more.",
    "moves_used_up": "The session was moved as often as the terms of the booking allow.",
    "policy_contradictory": "A policy has hours twice, gets cheaper towards the start, or mixes fees with percentages.",
    "policy_invalid": "A cancellation policy is not a list of at most 10 tiers, each with its hours and one price.",
}

_REASON = (422, "text_too_long", "A reason is too long.")

CONSTRAINT_ERRORS: dict[str, tuple[int, str, str]] = {
    "cancellation_policies_currency_code": (
        422,
        "currency_unknown",
        "There is no such currency. Use an ISO 4217 code such as ILS.",
    ),
    "cancellation_policies_free_moves_range": (422, "policy_invalid", "Free moves are 0 to 100."),
    "cancellation_policies_late_moves": (422, "policy_invalid", "Late moves are refused or charged."),
    "seat_outcomes_reason_length": _REASON,
}
