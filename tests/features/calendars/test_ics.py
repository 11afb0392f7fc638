"""What is written as iCalendar can be read back, whatever people type, and is what the library would write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar, Component, Event, vText

from loom.features.calendars import ics, letters
from loom.features.calendars.schemas import CalendarLetter, Entry, FeedState, LetterContent

START = datetime(2031, 5, 4, 9, tzinfo=UTC)
STATE = FeedState(content_hash="x", changed_at=START, name="Dana", language="en", timezone="Asia/Jerusalem")
EVIL = [
    "Plan\r\nATTENDEE:mailto:thief@example.com",
    "a\rBEGIN:VEVENT\nEND:VEVENT",
    'quotes " ; , \\ : ^ and \x00\x07\x0b\x1b controls',
    "מפגש אישי עם שרה לוי " * 12,
    "x" * 400,
    "👩‍👩‍👧 family \u2028 line \u0085 end",
    "  ",
]


def an_entry(**changes: object) -> Entry:
    values: dict[str, object] = {
        "uid": UUID(int=1),
        "starts_at": START,
        "ends_at": START + timedelta(hours=1),
        "changed_at": START - timedelta(days=1),
        "title": "Session",
        "with_name": "Noa",
        "is_coach": False,
        "seats_taken": None,
        "capacity": None,
        "location": None,
        "meeting_url": None,
        "description": None,
        "state": "confirmed",
    }
    return Entry.model_validate(values | changes)


def a_letter(title: str, name: str = "Dana", email: str = "dana@example.com") -> CalendarLetter:
    content = LetterContent(
        title=title,
        description=title,
        location=title,
        meeting_url=None,
        starts_at=START,
        ends_at=START + timedelta(hours=1),
        timezone="Asia/Jerusalem",
        status="invited",
        over_as=None,
        reason=None,
        language="en",
        name=name,
        coach_name=name,
        coach_email="noa@example.com",
        is_individual=False,
    )
    return CalendarLetter(
        attendee_id=UUID(int=2),
        email=email,
        method="REQUEST",
        sequence=3,
        prepared_at=START,
        previous_status=None,
        content=content,
        links={"confirm": "t"},
    )


def lines(raw: bytes) -> list[str]:
    """The unfolded lines, having looked that every line is legal."""
    assert raw.endswith(b"\r\n")
    folded = raw.split(b"\r\n")[:-1]
    assert all(len(line) <= 75 and b"\r" not in line and b"\n" not in line for line in folded)
    raw.decode()
    return raw.replace(b"\r\n ", b"").decode().split("\r\n")[:-1]


@given(st.one_of(st.sampled_from(EVIL), st.text(max_size=200)))
@settings(max_examples=150, deadline=None)
def test_whatever_people_type_stays_inside_its_own_line(text: str) -> None:
    entry = an_entry(title=text, with_name=text, location=text, description=text)
    written = lines(ics.feed(STATE, [entry]))
    assert [line for line in written if line.startswith(("ATTENDEE", "ORGANIZER"))] == []
    assert written.count("BEGIN:VEVENT") == written.count("END:VEVENT") == 1
    (event,) = Calendar.from_ical(ics.feed(STATE, [entry])).walk("VEVENT")
    assert str(event["SUMMARY"]) == ics.summary(entry, "en")
    assert str(event.get("DESCRIPTION", "")) == ics.clean(text)
    # The same for an invitation by mail, where names stand in parameters too.
    invitation = letters.invitation(a_letter(text, name=text), "Loom <mail@loom.test>")
    assert [line.split(":")[0].split(";")[0] for line in lines(invitation)].count("ATTENDEE") == 1
    mail = letters.compose_letter(a_letter(text, name=text), sender="Loom <mail@loom.test>", base_url="https://x")
    assert b"\nATTENDEE" not in mail.as_bytes().partition(b"\n\n")[0]


def test_without_the_cleaning_control_characters_would_reach_the_calendar() -> None:
    # The negative control: the library escapes line ends, and lets other control characters through.
    assert b"\x0b" in vText(EVIL[2]).to_ical()
    assert not any(c in ics.feed(STATE, [an_entry(title=EVIL[2])]) for c in (0, 7, 11, 27))


@given(st.text(max_size=300))
@settings(max_examples=100, deadline=None)
def test_the_fast_writer_and_the_library_write_the_same(text: str) -> None:
    entry = an_entry(description=text, with_name=None)
    calendar = Component.from_ical(ics.feed(STATE, [entry]))
    (event,) = calendar.walk("VEVENT")
    slow = Event()
    for name in ("UID", "DTSTAMP", "LAST-MODIFIED", "DTSTART", "DTEND", "SUMMARY", "STATUS"):
        slow[name] = event[name]
    if ics.clean(text):
        slow["DESCRIPTION"] = vText(ics.clean(text))
    fast = ics.feed(STATE, [entry])
    assert slow.to_ical(sorted=False) in fast


def test_a_feed_says_what_a_calendar_needs() -> None:
    entries = [
        an_entry(),
        an_entry(uid=UUID(int=3), state="tentative", seats_taken=2, capacity=6, is_coach=True),
        an_entry(uid=UUID(int=4), state="cancelled"),
    ]
    calendar = Calendar.from_ical(ics.feed(STATE, entries))
    assert (str(calendar["METHOD"]), str(calendar["X-WR-CALNAME"])) == ("PUBLISH", "Sessions of Dana")
    first, second, third = calendar.walk("VEVENT")
    assert (first["DTSTART"].dt, first["DTEND"].dt) == (START, START + timedelta(hours=1))
    assert [str(event["STATUS"]) for event in (first, second, third)] == ["CONFIRMED", "TENTATIVE", "CANCELLED"]
    assert [str(event["SUMMARY"]) for event in (first, second, third)] == [
        "Session · Noa",
        "Session · 2 of 6",
        "Cancelled: Session · Noa",
    ]
    hebrew = ics.feed(STATE.model_copy(update={"language": "he"}), entries)
    assert "בוטל: Session" in hebrew.decode()


def test_an_odd_address_stays_an_address() -> None:
    raw = letters.invitation(a_letter("x", email='a?cc=thief@evil.test"%0d@example.com'), "Loom <mail@loom.test>")
    (event,) = Calendar.from_ical(raw).walk("VEVENT")
    assert str(event["ATTENDEE"]).startswith("mailto:a%3Fcc=thief@evil.test%22%250d@example.com")


def test_links_stand_in_the_letter_and_not_in_the_calendar() -> None:
    letter = a_letter("x").model_copy(update={"links": {"confirm": "secret-token"}})
    mail = letters.compose_letter(letter, sender="Loom <mail@loom.test>", base_url="https://x")
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert "secret-token" in plain.get_content()
    assert b"secret-token" not in letters.invitation(letter, "Loom <mail@loom.test>")
    assert str(mail["Reply-To"]).endswith("<noa@example.com>")
