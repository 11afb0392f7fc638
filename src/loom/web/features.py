"""Which features the application is made of: their routes, and what their constraints mean to a caller."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter

from loom.core import errors as core_errors
from loom.features.billing import api as billing_api
from loom.features.billing import errors as billing_errors
from loom.features.booking import api as booking_api
from loom.features.booking import errors as booking_errors
from loom.features.books import api as books_api
from loom.features.books import errors as books_errors
from loom.features.calendars import api as calendars_api
from loom.features.calendars import errors as calendars_errors
from loom.features.credits import api as credits_api
from loom.features.credits import errors as credits_errors
from loom.features.documents import api as documents_api
from loom.features.documents import errors as documents_errors
from loom.features.hours import api as hours_api
from loom.features.hours import errors as hours_errors
from loom.features.identity import api as identity_api
from loom.features.identity import errors as identity_errors
from loom.features.live import api as live_api
from loom.features.live import errors as live_errors
from loom.features.messaging import api as messaging_api
from loom.features.messaging import errors as messaging_errors
from loom.features.notifications import api as notifications_api
from loom.features.notifications import errors as notifications_errors
from loom.features.practice import api as practice_api
from loom.features.practice import errors as practice_errors
from loom.features.scheduling import api as scheduling_api
from loom.features.scheduling import errors as scheduling_errors
from loom.http import problem as http_errors

ROUTERS: list[APIRouter] = [
    identity_api.router,
    practice_api.router,
    notifications_api.router,
    hours_api.router,
    scheduling_api.router,
    calendars_api.router,
    booking_api.router,
    messaging_api.router,
    live_api.router,
    billing_api.router,
    books_api.router,
    documents_api.router,
    credits_api.router,
]

CONSTRAINT_ERRORS: list[Mapping[str, tuple[int, str, str]]] = [
    identity_errors.CONSTRAINT_ERRORS,
    practice_errors.CONSTRAINT_ERRORS,
    notifications_errors.CONSTRAINT_ERRORS,
    hours_errors.CONSTRAINT_ERRORS,
    scheduling_errors.CONSTRAINT_ERRORS,
    calendars_errors.CONSTRAINT_ERRORS,
    booking_errors.CONSTRAINT_ERRORS,
    messaging_errors.CONSTRAINT_ERRORS,
    live_errors.CONSTRAINT_ERRORS,
    billing_errors.CONSTRAINT_ERRORS,
    books_errors.CONSTRAINT_ERRORS,
    documents_errors.CONSTRAINT_ERRORS,
    credits_errors.CONSTRAINT_ERRORS,
]

ERROR_CODES: list[Mapping[str, str]] = [
    core_errors.ERROR_CODES,
    http_errors.ERROR_CODES,
    identity_errors.ERROR_CODES,
    practice_errors.ERROR_CODES,
    notifications_errors.ERROR_CODES,
    hours_errors.ERROR_CODES,
    scheduling_errors.ERROR_CODES,
    calendars_errors.ERROR_CODES,
    booking_errors.ERROR_CODES,
    messaging_errors.ERROR_CODES,
    live_errors.ERROR_CODES,
    billing_errors.ERROR_CODES,
    books_errors.ERROR_CODES,
    documents_errors.ERROR_CODES,
    credits_errors.ERROR_CODES,
]


def codes_table() -> str:
    """Every code that a problem can carry, as the Markdown table of docs/reference/http-api.md."""
    meanings: dict[str, str] = {}
    for codes in ERROR_CODES:
        for code, meaning in codes.items():
            meanings.setdefault(code, meaning)
    rows = [f"| `{code}` | {meaning.replace('|', '/')} |" for code, meaning in sorted(meanings.items())]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])
