"""The words of scheduling's mail, in the language of whoever gets it."""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time, get_timezone_name

from loom.features.scheduling.schemas import InvitationLetter
from loom.providers.email.letter import Fact, Link, Paragraph, compose, one_line

_WORDS = {
    "en": {
        "subject": "{coach} invites you: {title}",
        "hello": "Hello {name},",
        "intro": "{coach} invites you to “{title}”.",
        "when": "When",
        "where": "Where",
        "ask": "Please say whether you are coming:",
        "button": "See the invitation and answer",
        "until": "The link is yours alone; you can change your answer until the session starts.",
    },
    "he": {
        "subject": "הזמנה מאת {coach}: {title}",
        "hello": "שלום {name},",
        "intro": "{coach} מזמין/ה אותך אל „{title}”.",
        "when": "מתי",
        "where": "איפה",
        "ask": "נשמח לדעת אם תגיע/י:",
        "button": "לצפייה בהזמנה ולמענה",
        "until": "הקישור אישי; אפשר לשנות את התשובה עד תחילת המפגש.",
    },
}


def invitation(letter: InvitationLetter, *, sender: str, base_url: str, message_key: str) -> EmailMessage:
    """An invitation as plain text and HTML. `message_key` makes a repeat recognisable as one."""
    words = _WORDS[letter.language]
    names = {
        "coach": one_line(letter.coach_name),
        "title": one_line(letter.title),
        "name": one_line(letter.recipient_name),
    }
    facts = [Fact(words["when"], when(letter.starts_at, letter.ends_at, letter.timezone, letter.language))]
    if letter.location:
        facts.append(Fact(words["where"], one_line(letter.location)))
    return compose(
        sender=sender,
        email=letter.email,
        name=letter.recipient_name,
        subject=words["subject"].format(**names),
        key=message_key,
        language=letter.language,
        parts=[
            Paragraph(words["hello"].format(**names)),
            Paragraph(words["intro"].format(**names)),
            *facts,
            Paragraph(words["ask"]),
            Link(words["button"], f"{base_url}/v1/invitations/{letter.token}"),
            Paragraph(words["until"]),
        ],
    )


def when(starts_at: datetime, ends_at: datetime, time_zone: str, language: str) -> str:
    """Day, from and to, on the clock of a zone and with its name: nobody has to guess whose time it is."""
    zone = ZoneInfo(time_zone)
    start, end = starts_at.astimezone(zone), ends_at.astimezone(zone)
    day = format_date(start, format="full", locale=language)
    hours = "–".join(format_time(at, format="short", tzinfo=zone, locale=language) for at in (start, end))
    return f"{day}, {hours} ({get_timezone_name(start, locale=language)})"
