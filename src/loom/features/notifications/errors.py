"""How refusals of the notifications' tables are told to callers."""

from __future__ import annotations

CONSTRAINT_ERRORS: dict[str, tuple[int, str, str]] = {
    "notification_preferences_timezone_check": (
        422,
        "timezone_unknown",
        "There is no such time zone. Use an IANA name such as Asia/Jerusalem.",
    ),
    "notification_preferences_quiet_hours_check": (
        422,
        "quiet_hours_invalid",
        "Quiet hours need a start and an end that differ.",
    ),
}

ERROR_CODES: dict[str, str] = {
    "quiet_hours_invalid": "Quiet hours that are on need a start and an end that differ.",
    "timezone_unknown": "There is no such time zone (IANA).",
}
