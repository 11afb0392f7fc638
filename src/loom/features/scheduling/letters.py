"""The words of scheduling's mail, in the language of whoever gets it."""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage
from email.utils import formataddr, parseaddr
from html import escape
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time, get_timezone_name

from loom.features.scheduling.schemas import InvitationLetter

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
        "coach": _line(letter.coach_name),
        "title": _line(letter.title),
        "name": _line(letter.recipient_name),
    }
    link = f"{base_url}/v1/invitations/{letter.token}"
    facts = [(words["when"], when(letter.starts_at, letter.ends_at, letter.timezone, letter.language))]
    if letter.location:
        facts.append((words["where"], _line(letter.location)))

    message = EmailMessage()
    message["Subject"] = words["subject"].format(**names)
    message["From"] = sender
    message["To"] = formataddr((names["name"], letter.email))
    message["Message-ID"] = f"<{message_key}@{parseaddr(sender)[1].rpartition('@')[2] or 'localhost'}>"
    message["Auto-Submitted"] = "auto-generated"
    hello, intro = words["hello"].format(**names), words["intro"].format(**names)
    message.set_content(
        "\n".join(
            [
                hello,
                "",
                intro,
                "",
                *(f"{label}: {value}" for label, value in facts),
                "",
                words["ask"],
                link,
                "",
                words["until"],
            ]
        )
    )
    direction = "rtl" if letter.language == "he" else "ltr"
    rows = "".join(f"<p><strong>{escape(label)}:</strong> {escape(value)}</p>" for label, value in facts)
    message.add_alternative(
        f'<!doctype html><html lang="{letter.language}" dir="{direction}"><head><meta charset="utf-8"></head>'
        f'<body style="font-family:sans-serif;line-height:1.5"><p>{escape(hello)}</p><p>{escape(intro)}</p>{rows}'
        f'<p>{escape(words["ask"])}</p><p><a href="{escape(link)}">{escape(words["button"])}</a></p>'
        f"<p>{escape(words['until'])}</p></body></html>",
        subtype="html",
    )
    return message


def when(starts_at: datetime, ends_at: datetime, time_zone: str, language: str) -> str:
    """Day, from and to, on the clock of a zone and with its name: nobody has to guess whose time it is."""
    zone = ZoneInfo(time_zone)
    start, end = starts_at.astimezone(zone), ends_at.astimezone(zone)
    day = format_date(start, format="full", locale=language)
    hours = "–".join(format_time(at, format="short", tzinfo=zone, locale=language) for at in (start, end))
    return f"{day}, {hours} ({get_timezone_name(start, locale=language)})"


def _line(text: str) -> str:
    """Text that people typed, fit for a header: one line."""
    return " ".join(text.split())
