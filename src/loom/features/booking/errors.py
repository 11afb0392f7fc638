"""What booking refuses, by code."""

from __future__ import annotations

ERROR_CODES: dict[str, str] = {
    "approval_needed": "The coach wants to be asked before there is a session.",
    "approval_not_needed": "Sessions of this template are booked or held, not asked for.",
    "hold_expired": "The time was held, and no longer is.",
    "move_too_late": "The terms of the booking let nobody but the coach move the session any more.",
    "moves_used_up": "The session was moved as often as the terms of the booking allow.",
    "payment_needed": "The session comes about by paying for the time that is held.",
    "policy_contradictory": "A policy has hours twice, gets cheaper towards the start, or mixes fees with percentages.",
    "policy_invalid": "A cancellation policy is not a list of at most 10 tiers, each with its hours and one price.",
    "rule_endless": "A rule of recurrence has neither COUNT nor UNTIL.",
    "rule_invalid": "A rule of recurrence is not one (RFC 5545), or not one that Loom takes.",
    "series_conflict": "Some times of a series cannot be had: the hint names them. Nothing was written.",
    "series_empty": "A rule of recurrence gives no time at all.",
    "series_invalid": "The times of a series, or what to do with missing ones, make no sense.",
    "series_too_long": "A series has at most 104 times.",
    "request_closed": "The request was answered, withdrawn or booked already.",
    "too_many_requests_open": "Three times with this coach wait for the client or for an answer already.",
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
    "booking_requests_text_lengths": _REASON,
    "session_series_rule_length": (422, "rule_invalid", "A rule has 1 to 500 characters."),
    "seat_outcomes_reason_length": _REASON,
}
