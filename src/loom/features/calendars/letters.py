"""The letters that keep somebody's calendar right, in their language, with the invitation inside as iCalendar.

One letter, one attendee: nobody's calendar learns who else comes. The organizer is the address that sends the
mail, since calendars believe a change or a cancellation only from there. A plain reply goes to the coach.
"""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage
from email.utils import formataddr, parseaddr
from urllib.parse import quote
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time, get_timezone_name
from icalendar import Calendar, Event, vCalAddress, vInt, vText

from loom.features.calendars.ics import PRODUCT, clean, instant, one_line, uid
from loom.features.calendars.schemas import CalendarLetter, Language, LetterContent, LinkAction
from loom.providers.email.letter import Fact, Link, Paragraph, Part, compose

_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "invited": "{coach} invites you: {title}",
        "booked": "You are booked: {title}",
        "confirmed": "You are coming: {title}",
        "changed": "Changed: {title}",
        "session": "Cancelled: {title}",
        "taken": "Cancelled for you: {title}",
        "given_up": "Not coming: {title}",
        "moved_away": "No longer in this calendar: {title}",
        "hello": "Hello {name},",
        "invited_intro": "{coach} invites you to “{title}”.",
        "booked_intro": "your session with {coach} is booked: “{title}”.",
        "confirmed_intro": "you are coming to “{title}” with {coach}.",
        "changed_intro": "something about “{title}” with {coach} has changed. This is how it stands now:",
        "session_intro": "“{title}” with {coach} is cancelled.",
        "taken_intro": "{coach} has taken you off the list of “{title}”.",
        "given_up_intro": "you are not coming to “{title}” with {coach}; your place is free for others.",
        "moved_away_intro": "news of “{title}” with {coach} goes to another address from now on.",
        "when": "When",
        "where": "Where",
        "link": "Link",
        "reason": "Reason",
        "ask": "Please say whether you are coming:",
        "confirm": "I am coming",
        "decline": "I cannot come",
        "confirm_again": "I can come after all",
        "move": "Move it to another time",
        "cancel": "Cancel it",
        "leave": "Give up my place",
        "until": "The links are yours alone, and each works once, until the session starts.",
    },
    "he": {
        "invited": "הזמנה מאת {coach}: {title}",
        "booked": "נקבע לך מפגש: {title}",
        "confirmed": "אישרת הגעה: {title}",
        "changed": "שינוי: {title}",
        "session": "בוטל: {title}",
        "taken": "בוטל עבורך: {title}",
        "given_up": "לא אגיע: {title}",
        "moved_away": "כבר לא ביומן הזה: {title}",
        "hello": "שלום {name},",
        "invited_intro": "{coach} מזמין/ה אותך אל „{title}”.",
        "booked_intro": "נקבע לך מפגש עם {coach}: „{title}”.",
        "confirmed_intro": "אישרת הגעה אל „{title}” עם {coach}.",
        "changed_intro": "משהו השתנה במפגש „{title}” עם {coach}. כך הוא עומד עכשיו:",
        "session_intro": "המפגש „{title}” עם {coach} בוטל.",
        "taken_intro": "{coach} הסיר/ה אותך מרשימת המשתתפים של „{title}”.",
        "given_up_intro": "לא תגיע/י אל „{title}” עם {coach}; המקום שלך פנוי לאחרים.",
        "moved_away_intro": "מעתה הודעות על „{title}” עם {coach} יישלחו לכתובת אחרת.",
        "when": "מתי",
        "where": "איפה",
        "link": "קישור",
        "reason": "סיבה",
        "ask": "נשמח לדעת אם תגיע/י:",
        "confirm": "אגיע",
        "decline": "לא אוכל להגיע",
        "confirm_again": "בכל זאת אוכל להגיע",
        "move": "העברה למועד אחר",
        "cancel": "ביטול המפגש",
        "leave": "ויתור על המקום שלי",
        "until": "הקישורים אישיים; כל אחד מהם פועל פעם אחת, עד תחילת המפגש.",
    },
}


def compose_letter(letter: CalendarLetter, *, sender: str, base_url: str) -> EmailMessage:
    """The letter as plain text, HTML and iCalendar. Sent again it is the same letter, for mail and calendar alike."""
    content, words = letter.content, _WORDS[letter.content.language]
    kind = _kind(letter)
    names = {
        "coach": one_line(content.coach_name),
        "title": one_line(content.title),
        "name": one_line(content.name),
    }
    mail = compose(
        sender=sender,
        email=letter.email,
        name=content.name,
        subject=words[kind].format(**names),
        key=f"calendar.{letter.attendee_id}.{letter.sequence}",
        thread=f"calendar.{letter.attendee_id}",
        language=content.language,
        parts=[
            Paragraph(words["hello"].format(**names)),
            Paragraph(words[f"{kind}_intro"].format(**names)),
            *_facts(content, words),
            *_links(letter, words, base_url),
        ],
    )
    if content.coach_email:
        mail["Reply-To"] = formataddr((names["coach"], content.coach_email))
    # As bytes, since the lines of iCalendar end in CRLF and text would lose that.
    mail.add_alternative(
        invitation(letter, sender),
        maintype="text",
        subtype="calendar",
        params={"method": letter.method, "charset": "utf-8"},
    )
    return mail


def invitation(letter: CalendarLetter, sender: str) -> bytes:
    """The seat as iTIP (RFC 5546): a request, or the cancellation of one, with the seat's person as the one attendee.

    No link stands in it: people forward and share what is in their calendar.
    """
    content = letter.content
    cancelled = letter.method == "CANCEL"
    event = Event()
    event["UID"] = vText(uid(letter.attendee_id))
    event["SEQUENCE"] = vInt(letter.sequence)
    event["DTSTAMP"] = vText(instant(letter.prepared_at))
    event["DTSTART"] = vText(instant(content.starts_at))
    event["DTEND"] = vText(instant(content.ends_at))
    event["SUMMARY"] = vText(one_line(content.title) or "Loom")
    event["STATUS"] = vText("CANCELLED" if cancelled else "CONFIRMED")
    event["TRANSP"] = vText("TRANSPARENT" if cancelled else "OPAQUE")
    place = content.location or content.meeting_url
    if place:
        event["LOCATION"] = vText(one_line(place))
    about = "\n\n".join(part for part in (content.description, content.meeting_url) if part)
    if about:
        event["DESCRIPTION"] = vText(clean(about))
    event["ORGANIZER"] = _person(parseaddr(sender)[1], content.coach_name)
    attendee = _person(letter.email, content.name)
    attendee.params["ROLE"] = "REQ-PARTICIPANT"
    attendee.params["CUTYPE"] = "INDIVIDUAL"
    attendee.params["PARTSTAT"] = _answer(letter)
    # The links are how one answers; nobody reads what a calendar would send back.
    attendee.params["RSVP"] = "FALSE"
    event["ATTENDEE"] = attendee
    calendar = Calendar()
    calendar["PRODID"] = vText(PRODUCT)
    calendar["VERSION"] = vText("2.0")
    calendar["METHOD"] = vText(letter.method)
    calendar.add_component(event)
    return calendar.to_ical()


def when(starts_at: datetime, ends_at: datetime, time_zone: str, language: str) -> str:
    """Day, from and to, on the clock of a zone and with its name: nobody has to guess whose time it is."""
    zone = ZoneInfo(time_zone)
    start, end = starts_at.astimezone(zone), ends_at.astimezone(zone)
    day = format_date(start, format="full", locale=language)
    hours = "–".join(format_time(at, format="short", tzinfo=zone, locale=language) for at in (start, end))
    return f"{day}, {hours} ({get_timezone_name(start, locale=language)})"


def _person(email: str, name: str) -> vCalAddress:
    # An address is typed by people too: what means something in an address of the web is escaped.
    person = vCalAddress("mailto:" + quote(email, safe="@!$&'*+-/=^_`{|}~."))
    called = one_line(name).replace('"', "'")
    if called:
        person.params["CN"] = called
    return person


def _answer(letter: CalendarLetter) -> str:
    return {"invited": "NEEDS-ACTION", "declined": "DECLINED"}.get(letter.content.status, "ACCEPTED")


def _kind(letter: CalendarLetter) -> str:
    content, before = letter.content, letter.previous_status
    if letter.method == "CANCEL":
        return content.over_as or "session"
    if content.status == "invited":
        return "changed" if before == "invited" else "invited"
    if before is None and content.is_individual:
        return "booked"
    return "changed" if before == content.status else "confirmed"


def _facts(content: LetterContent, words: dict[str, str]) -> list[Part]:
    facts: list[Part] = [
        Fact(words["when"], when(content.starts_at, content.ends_at, content.timezone, content.language))
    ]
    if content.location:
        facts.append(Fact(words["where"], one_line(content.location)))
    if content.meeting_url:
        facts.append(Fact(words["link"], one_line(content.meeting_url)))
    if content.reason:
        facts.append(Fact(words["reason"], one_line(content.reason)))
    return facts


def _links(letter: CalendarLetter, words: dict[str, str], base_url: str) -> list[Part]:
    if not letter.links:
        return []
    parts: list[Part] = [Paragraph(words["ask"])] if "decline" in letter.links else []
    for action, token in letter.links.items():
        parts.append(Link(words[_label(action, letter)], f"{base_url}/v1/links/{token}"))
    return [*parts, Paragraph(words["until"])]


def _label(action: LinkAction, letter: CalendarLetter) -> str:
    if action == "confirm" and letter.content.status == "declined":
        return "confirm_again"
    if action == "cancel" and not letter.content.is_individual:
        return "leave"
    return action
