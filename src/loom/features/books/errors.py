"""What the books refuse, by code and by the constraint that refuses it."""

from __future__ import annotations

ERROR_CODES: dict[str, str] = {
    "export_too_large": "The period has more rows than one file takes; ask for a shorter one.",
    "period_invalid": "A period ends after it begins.",
    "seat_not_written_off": "The seat was never written off.",
    "seat_without_client": "The seat belongs to nobody who could get an invoice.",
}

CONSTRAINT_ERRORS: dict[str, tuple[int, str, str]] = {}
