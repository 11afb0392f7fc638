"""What a coach's days and rules are refused for, by code."""

from __future__ import annotations

_OVERLAP = (409, "availability_overlap", "Two ranges of one day overlap, or the day is closed already.")
_HOURS = (422, "hours_invalid", "A range must end after it starts.")
_RULES = (422, "rules_invalid", "A rule of booking is out of range.")

CONSTRAINT_ERRORS: dict[str, tuple[int, str, str]] = {
    "availability_overrides_one_each": _OVERLAP,
    "availability_overrides_valid_time": _HOURS,
    "availability_overrides_continues": _HOURS,
    "availability_overrides_day_range": (422, "day_out_of_range", "The day lies too far away."),
    "booking_rules_notice_range": _RULES,
    "booking_rules_horizon_range": _RULES,
    "booking_rules_per_day_range": _RULES,
    "booking_rules_per_week_range": _RULES,
    "booking_rules_week_start": _RULES,
    "booking_rules_grace_range": _RULES,
    "holiday_calendars_country_check": (422, "holidays_unknown", "Holidays of that country are not known."),
    "holiday_calendars_subdivision_check": (422, "holidays_unknown", "That part of the country is not known."),
    "coach_holidays_name_length": (422, "holidays_invalid", "The name of a holiday is empty or too long."),
    "coach_blocks_note_length": (422, "text_too_long", "A note is too long."),
}

ERROR_CODES: dict[str, str] = {
    "day_out_of_range": "The day lies too far away.",
    "holidays_invalid": "Holidays are at most 2000 days, each with a name.",
    "holidays_unknown": "The public holidays of that country, or of that part of it, are not known.",
    "rules_invalid": "A rule of booking is out of range.",
    "time_off_conflict": "Something is planned in that time: the hint says what.",
}
