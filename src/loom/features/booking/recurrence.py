"""The wall times of an RRULE (RFC 5545), by python-dateutil.

They are times of a clock, not instants: whether a zone has such a time on such a day is for the database to say, which
knows the zones that slots are made of.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.rrule import rrulestr

from loom.core.errors import AppError

MOST = 104
"""Two years of weeks."""
LAST_YEAR = 2200
FURTHEST = timedelta(days=5 * 366)
_PART = re.compile(r"[A-Z]+=[A-Z0-9,+-]+")
_KNOWN = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST"}
_UNTIL = re.compile(r"[0-9]{8}(T[0-9]{6}Z?)?")


def occurrences(rule: str, start: datetime, time_zone: str) -> list[datetime]:
    """The wall times of a rule from `start` on, which is a naive one, with seconds cut off.

    Raises 422 `rule_invalid`, `rule_endless`, `series_too_long`, `series_empty`.
    """
    start = start.replace(second=0, microsecond=0)
    parts = _parts(rule)
    count = _number(parts.pop("COUNT", None), "COUNT")
    until = _until(parts.pop("UNTIL", None), time_zone)
    if (count is None) == (until is None):
        if count is None:
            raise AppError("rule_endless", 422, "The rule has no end.", hint="Add COUNT or UNTIL.")
        raise AppError("rule_invalid", 422, "A rule ends by COUNT or by UNTIL, not by both.")
    if count is not None and count > MOST:
        raise _too_long()
    if start.year > LAST_YEAR:
        raise AppError("series_too_long", 422, "A series begins and ends within five years.")
    # A rule that never comes true would be looked for until the year 9999.
    furthest = start + FURTHEST
    last = until if until is not None and until < furthest else furthest
    text = ";".join(f"{name}={value}" for name, value in parts.items()) + f";UNTIL={last:%Y%m%dT%H%M%S}"
    try:
        found = list(islice(rrulestr(text, dtstart=start), min(count or MOST + 1, MOST + 1)))
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as bad:
        raise AppError("rule_invalid", 422, "That is not a rule (RFC 5545).") from bad
    if len(found) > MOST:
        raise _too_long()
    if not found:
        raise AppError("series_empty", 422, "The rule gives no time at all.")
    if len(found) < (count or 0) or (until is not None and until > furthest):
        raise AppError("series_too_long", 422, "A series ends within five years.")
    return found


def _parts(rule: str) -> dict[str, str]:
    pieces = rule.strip().upper().removeprefix("RRULE:").rstrip(";").split(";")
    if not all(_PART.fullmatch(piece) for piece in pieces):
        raise AppError("rule_invalid", 422, "That is not a rule (RFC 5545).")
    parts = dict(piece.split("=", 1) for piece in pieces)
    if len(parts) != len(pieces) or not parts.keys() <= _KNOWN:
        unknown = ", ".join(sorted(parts.keys() - _KNOWN)) or "a part twice"
        raise AppError("rule_invalid", 422, f"The rule has {unknown}, which Loom does not take.")
    if parts.get("FREQ") not in {"DAILY", "WEEKLY", "MONTHLY", "YEARLY"}:
        raise AppError("rule_invalid", 422, "A rule is daily, weekly, monthly or yearly.")
    _number(parts.get("INTERVAL"), "INTERVAL")
    return parts


def _number(value: str | None, name: str) -> int | None:
    if value is None:
        return None
    if re.fullmatch(r"[1-9][0-9]{0,2}", value) is None:
        raise AppError("rule_invalid", 422, f"{name} is a whole number from 1 to 999.")
    return int(value)


def _until(value: str | None, time_zone: str) -> datetime | None:
    """The last moment as wall time: a date is all of its day, an instant is read on the clock of the series."""
    if value is None:
        return None
    if _UNTIL.fullmatch(value) is None:
        raise AppError("rule_invalid", 422, "UNTIL is a date, or a date and time.")
    try:
        if len(value) == len("20310504"):
            return datetime.strptime(value, "%Y%m%d").replace(hour=23, minute=59, second=59)  # noqa: DTZ007
        until = datetime.strptime(value.removesuffix("Z"), "%Y%m%dT%H%M%S")  # noqa: DTZ007
        if value.endswith("Z"):
            return until.replace(tzinfo=UTC).astimezone(ZoneInfo(time_zone)).replace(tzinfo=None)
    except (ZoneInfoNotFoundError, ValueError, OverflowError) as bad:
        raise AppError("rule_invalid", 422, "UNTIL is not a time of that zone.") from bad
    return until


def _too_long() -> AppError:
    return AppError("series_too_long", 422, f"A series has at most {MOST} times.")
