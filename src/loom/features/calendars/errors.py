"""What calendars refuse, by code."""

from __future__ import annotations

ERROR_CODES: dict[str, str] = {
    "feed_revoked": "The feed was revoked by its owner.",
    "link_expired": "The link was good and no longer is.",
    "link_used": "The link has done what it is for.",
    "text_too_long": "A name is empty or too long.",
    "too_many_feeds": "Somebody has twenty feeds at most that are not revoked.",
}

CONSTRAINT_ERRORS: dict[str, tuple[int, str, str]] = {
    "calendar_feeds_name_length": (422, "text_too_long", "The name of a feed has 1 to 100 characters."),
}
