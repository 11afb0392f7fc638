"""What scheduling refuses, by code."""

from __future__ import annotations

ERROR_CODES: dict[str, str] = {
    "already_invited": "That person has a seat in the session already.",
    "answer_unknown": "The answer to an invitation is confirmed or declined.",
    "attendance_append_only": "Attendance is recorded, never changed; an undo takes a record back.",
    "attendance_conflict": "The seat's attendance or answer does not allow this record.",
    "attendance_in_future": "Only what has happened is recorded.",
    "attendance_unknown": "Attendance is in, out, no_show or undo.",
    "attendee_unclear": "Either a client or an e-mail address is named, not both and not neither.",
    "billing_status_derived": "A group's billing status follows from its seats and is not set.",
    "buffer_out_of_range": "A buffer is 0 to 240 minutes.",
    "capacity_below_seats": "More seats are taken than the new capacity has.",
    "capacity_out_of_range": "A group has 1 to 1000 seats; an individual template has no capacity.",
    "client_required": "A coach who books says for which client.",
    "currency_mismatch": "Two prices that belong together are in different currencies.",
    "day_full": "The coach takes no more sessions on that day.",
    "duration_out_of_range": "A session lasts 5 minutes to 24 hours.",
    "email_invalid": "That is not an e-mail address.",
    "grace_out_of_range": "The grace before a no-show is 0 to 10080 minutes.",
    "nonce_invalid": "A nonce has 1 to 200 characters.",
    "nonce_reused": "That nonce stands for another record of the seat.",
    "price_out_of_range": "A price is 0 or more minor units.",
    "range_invalid": "The end of the range does not lie after its start, or it lies too far ahead.",
    "range_too_long": "Free slots are given for at most 62 days at a time.",
    "seat_billed": "The seat is on an invoice; its price stands and it is not deleted.",
    "seat_fixed": "A seat stays in its session and role.",
    "seat_has_no_answer": "The session is booked, not proposed: cancel it instead.",
    "seat_has_no_price": "The coach's own seat has no price.",
    "seat_is_the_session": "An individual session is cancelled as a whole.",
    "seat_state_conflict": "The seat is in a state that does not allow this.",
    "session_billed": "The session is on an invoice; its price and client stand.",
    "session_full": "Every seat is taken.",
    "session_in_past": "A session cannot start in the past.",
    "session_not_open": "The session has begun, is over or was cancelled.",
    "session_not_started": "The session has not started yet.",
    "session_state_conflict": "The session is in a state that does not allow this.",
    "session_too_far_ahead": "A session starts within five years from now.",
    "slot_not_offered": "The coach does not offer a session at that time.",
    "slot_step_out_of_range": "Starts are offered 5 minutes to 24 hours apart.",
    "slot_taken": "The coach is taken at that time; somebody may have been faster.",
    "template_is_group": "The template is for groups, which are joined by invitation.",
    "template_is_individual": "The template is for individual sessions.",
    "text_too_long": "A title, description, name or note is empty or too long.",
    "too_far_ahead": "The coach does not take bookings that far ahead yet.",
    "too_soon": "It is too late to book that time.",
    "week_full": "The coach takes no more sessions in that week.",
    "template_rules_invalid": "Notice, horizon, limits, hold or booking mode of a template are out of range.",
    "timezone_unknown": "There is no such time zone.",
    "currency_unknown": "There is no such currency.",
}

_BUFFER = (422, "buffer_out_of_range", "A buffer is 0 to 240 minutes.")
_CAPACITY = (422, "capacity_out_of_range", "A group has 1 to 1000 seats.")
_CURRENCY = (422, "currency_unknown", "There is no such currency. Use an ISO 4217 code such as ILS.")
_DURATION = (422, "duration_out_of_range", "A session lasts 5 minutes to 24 hours.")
_GRACE = (422, "grace_out_of_range", "The grace before a no-show is 0 to 10080 minutes.")
_INVITED = (409, "already_invited", "That person has a seat in the session already.")
_PRICE = (422, "price_out_of_range", "A price is 0 or more minor units.")
_RULES = (422, "template_rules_invalid", "Notice, horizon, limits, hold or booking mode are out of range.")
_TEXT = (422, "text_too_long", "A title, description, name or note is empty or too long.")

CONSTRAINT_ERRORS: dict[str, tuple[int, str, str]] = {
    "coach_blocks_no_overlap": (409, "slot_taken", "The coach is taken at that time."),
    "coach_blocks_bounds": (422, "range_invalid", "The end of the range must lie after its start."),
    "session_attendees_one_seat_per_user": _INVITED,
    "session_attendees_one_seat_per_guest": _INVITED,
    "session_attendees_session_id_user_id_role_key": _INVITED,
    "session_attendees_email_form": (422, "email_invalid", "That is not an e-mail address."),
    "session_attendees_name_length": _TEXT,
    "session_attendees_notes_length": _TEXT,
    "session_attendees_price_range": _PRICE,
    "session_attendees_currency_code": _CURRENCY,
    "session_templates_title_length": _TEXT,
    "session_templates_description_length": _TEXT,
    "session_templates_default_duration_minutes_check": _DURATION,
    "session_templates_duration_range": _DURATION,
    "session_templates_default_price_cents_check": _PRICE,
    "session_templates_currency_code": _CURRENCY,
    "session_templates_capacity_range": _CAPACITY,
    "session_templates_capacity_of_group": (
        422,
        "capacity_out_of_range",
        "Only a template for groups has a capacity.",
    ),
    "session_templates_buffer_range": _BUFFER,
    "session_templates_step_range": (422, "slot_step_out_of_range", "Starts are 5 minutes to 24 hours apart."),
    "session_templates_notice_range": _RULES,
    "session_templates_horizon_range": _RULES,
    "session_templates_limits_range": _RULES,
    "session_templates_booking_mode": _RULES,
    "session_templates_hold_range": _RULES,
    "sessions_price_cents_check": _PRICE,
    "sessions_currency_code": _CURRENCY,
    "sessions_capacity_range": _CAPACITY,
    "sessions_buffer_range": _BUFFER,
    "sessions_positive_duration": _DURATION,
    "session_templates_grace_range": _GRACE,
    "sessions_grace_range": _GRACE,
    "sessions_ends_after_start": _DURATION,
    "sessions_different_users": (422, "client_required", "A coach does not book themselves."),
}
