"""How refusals of the live streams are told to callers."""

from __future__ import annotations

CONSTRAINT_ERRORS: dict[str, tuple[int, str, str]] = {}

ERROR_CODES: dict[str, str] = {
    "too_many_streams": "This person has as many streams open as one may have, or the server as many as it can hold.",
    "ticket_invalid": "The ticket is not one that this installation gave, or it has expired. Ask for a new one.",
}
