"""Which days are public holidays, as the `holidays` library knows them."""

from __future__ import annotations

import datetime as dt
import json

import holidays

from loom.core.errors import AppError

YEARS_AHEAD = 5
"""Slots are offered no further ahead."""


def until(today: dt.date) -> dt.date:
    """The last day that is written down now."""
    return dt.date(today.year + YEARS_AHEAD, 12, 31)


def days_of(country: str, subdivision: str | None, language: str, today: dt.date) -> str:
    """The holidays of this year and the coming ones as JSON for the database, named in the coach's language if known.

    Raises 422 `holidays_unknown`.
    """
    parts = holidays.list_supported_countries().get(country)
    if parts is None:
        raise AppError("holidays_unknown", 422, "Public holidays of that country are not known.")
    if subdivision is not None and subdivision not in parts:
        known = ", ".join(parts) or "none"
        raise AppError("holidays_unknown", 422, "That part of the country is not known.", hint=f"Known are: {known}.")
    spoken = holidays.list_localized_countries().get(country, [])
    named = next((one for one in spoken if one.split("_")[0] == language), None)
    found = holidays.country_holidays(
        country, subdiv=subdivision, years=range(today.year, until(today).year + 1), language=named
    )
    return json.dumps([{"day": day.isoformat(), "name": name[:500]} for day, name in sorted(found.items())])
