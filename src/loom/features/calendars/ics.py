"""iCalendar (RFC 5545) as text: a whole feed, written line by line, since it may hold thousands of events.

Every time is in UTC. Each session is an event of its own, also in a series, so no rule is there for a zone to unroll:
the instant is what the database holds, and a calendar shows it on its owner's clock. A VTIMEZONE would repeat the
zone's history, and many calendars read those wrong.

Escaping is the icalendar library's. Its components write one value at a time and fold one character at a time, which
takes several times as long; a test holds both to the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from icalendar import vText

from loom.features.calendars.schemas import Entry, FeedState, Language

PRODUCT = "-//Loom//Loom practice system//EN"

# Bumped when the same sessions are written differently: calendars then fetch anew.
FORMAT = 1

_LINE = 74

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]")

_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "calendar": "Sessions of {name}",
        "nameless": "Loom sessions",
        "cancelled": "Cancelled: {title}",
        "with": "{title} · {name}",
        "seats": "{title} · {taken} of {capacity}",
        "seats_open": "{title} · {taken}",
    },
    "he": {
        "calendar": "המפגשים של {name}",
        "nameless": "מפגשים ב־Loom",
        "cancelled": "בוטל: {title}",
        "with": "{title} · {name}",
        "seats": "{title} · {taken} מתוך {capacity}",
        "seats_open": "{title} · {taken}",
    },
}


def clean(text: str) -> str:
    """Text that a calendar can bear: every end of a line is a line feed, and no other control characters."""
    return _CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str) -> str:
    """The same as a single line, for titles and names."""
    return " ".join(clean(text).split())


def instant(at: datetime) -> str:
    """A moment in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def uid(event: UUID) -> str:
    """The name of an event for all calendars and all time: it names no server, since that may move."""
    return str(event)


def summary(entry: Entry, language: Language) -> str:
    """What stands in the calendar's grid."""
    words = _WORDS[language]
    title = one_line(entry.title) or "Loom"
    if entry.seats_taken is not None:
        title = words["seats_open" if entry.capacity is None else "seats"].format(
            title=title, taken=entry.seats_taken, capacity=entry.capacity
        )
    elif entry.with_name:
        title = words["with"].format(title=title, name=one_line(entry.with_name))
    return words["cancelled"].format(title=title) if entry.state == "cancelled" else title


def feed(state: FeedState, entries: Iterable[Entry]) -> bytes:
    """A person's sessions as one calendar."""
    return b"".join(fold(line) + b"\r\n" for line in _lines(state, entries))


def fold(line: str) -> bytes:
    """A line in pieces of less than 75 octets, none of which ends inside a character."""
    raw = line.encode()
    if len(raw) <= _LINE:
        return raw
    pieces: list[bytes] = []
    start = 0
    while len(raw) - start > _LINE:
        end = start + _LINE
        while raw[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(raw[start:end])
        start = end
    pieces.append(raw[start:])
    return b"\r\n ".join(pieces)


def calendar_name(state: FeedState) -> str:
    """What an application calls the subscription until its owner says otherwise."""
    words = _WORDS[state.language]
    return words["calendar"].format(name=one_line(state.name)) if state.name else words["nameless"]


def _lines(state: FeedState, entries: Iterable[Entry]) -> Iterator[str]:
    yield "BEGIN:VCALENDAR"
    yield "VERSION:2.0"
    yield f"PRODID:{PRODUCT}"
    yield "CALSCALE:GREGORIAN"
    yield "METHOD:PUBLISH"
    name = calendar_name(state)
    yield _text("NAME", name)
    yield _text("X-WR-CALNAME", name)
    if state.timezone:
        yield _text("X-WR-TIMEZONE", state.timezone)
    yield "REFRESH-INTERVAL;VALUE=DURATION:PT1H"
    yield "X-PUBLISHED-TTL:PT1H"
    for entry in entries:
        yield from _event(entry, state.language)
    yield "END:VCALENDAR"


def _event(entry: Entry, language: Language) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{uid(entry.uid)}"
    changed = instant(entry.changed_at)
    yield f"DTSTAMP:{changed}"
    yield f"LAST-MODIFIED:{changed}"
    yield f"DTSTART:{instant(entry.starts_at)}"
    yield f"DTEND:{instant(entry.ends_at)}"
    yield _text("SUMMARY", summary(entry, language))
    yield f"STATUS:{entry.state.upper()}"
    if entry.state == "cancelled":
        yield "TRANSP:TRANSPARENT"
    place = entry.location or entry.meeting_url
    if place:
        yield _text("LOCATION", one_line(place))
    about = "\n\n".join(part for part in (entry.description, entry.meeting_url) if part)
    if about:
        yield _text("DESCRIPTION", clean(about))
    yield "END:VEVENT"


# Titles and places repeat.
@lru_cache(maxsize=4096)
def _text(name: str, value: str) -> str:
    return f"{name}:{vText(value).to_ical().decode()}"
