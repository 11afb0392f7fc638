"""What goes out of Loom about a message: the mail and the notice on a device, in the recipient's language."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.message import EmailMessage
from uuid import UUID

from loom.features.messaging.schemas import Language
from loom.providers.email.letter import Link, Paragraph, Quote, compose, one_line

_MAIL_LENGTH = 2000
_NOTICE_LENGTH = 140


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences of one language; `{…}` are filled in."""

    direction: str
    subject: str
    subject_in: str
    greeting: str
    greeting_nameless: str
    wrote: str
    button: str
    why: str
    somebody: str
    hidden: str


WORDS: dict[Language, Words] = {
    "en": Words(
        direction="ltr",
        subject="New message from {sender}",
        subject_in="New message from {sender} in {title}",
        greeting="Hello {name},",
        greeting_nameless="Hello,",
        wrote="{sender} wrote to you:",
        button="Open the conversation",
        why="You get this because mail about messages is switched on in your notification settings.",
        somebody="Somebody",
        hidden="You have a new message.",
    ),
    "he": Words(
        direction="rtl",
        subject="הודעה חדשה מאת {sender}",
        subject_in="הודעה חדשה מאת {sender} בשיחה {title}",
        greeting="שלום {name},",
        greeting_nameless="שלום,",
        wrote="התקבלה הודעה מאת {sender}:",
        button="לפתיחת השיחה",
        why="ההודעה נשלחה אליך כי דואר על הודעות מופעל בהגדרות ההתראות שלך.",
        somebody="מישהו",
        hidden="מחכה לך הודעה חדשה.",
    ),
}


@dataclass(frozen=True, slots=True)
class Letter:
    """All that a mail or a notice about one message is made of."""

    delivery_id: UUID
    conversation_id: UUID
    message_id: UUID
    seq: int
    content: str
    language: Language
    sender_name: str | None
    title: str | None
    recipient_name: str | None
    email: str
    app_url: str | None
    mail_from: str
    hide_content: bool = False
    unsubscribe: str | None = None

    @property
    def link(self) -> str | None:
        """Where the conversation is read, if there is a front end."""
        return f"{self.app_url.rstrip('/')}/conversations/{self.conversation_id}" if self.app_url else None


def message_mail(letter: Letter) -> EmailMessage:
    """The mail, in plain text and HTML."""
    words = WORDS[letter.language]
    fill = {
        "sender": one_line(letter.sender_name or words.somebody),
        "title": one_line(letter.title or ""),
        "name": one_line(letter.recipient_name or ""),
    }
    if letter.hide_content:
        subject, said = words.hidden, [Paragraph(words.hidden)]
    else:
        subject = (words.subject_in if fill["title"] else words.subject).format(**fill)
        said = [Paragraph(words.wrote.format(**fill)), Quote(_cut(letter.content, _MAIL_LENGTH))]
    return compose(
        sender=letter.mail_from,
        email=letter.email,
        name=letter.recipient_name,
        subject=subject,
        key=str(letter.delivery_id),
        thread=f"conversation-{letter.conversation_id}",
        language=letter.language,
        parts=[
            Paragraph((words.greeting if fill["name"] else words.greeting_nameless).format(**fill)),
            *said,
            *([Link(words.button, letter.link)] if letter.link else []),
            Paragraph(words.why),
        ],
        unsubscribe=letter.unsubscribe,
    )


def message_notice(letter: Letter) -> bytes:
    """The payload of a push notice: JSON for the service worker of the page, well under what push services take."""
    words = WORDS[letter.language]
    sender = one_line(letter.sender_name or words.somebody)
    title, body = f"{sender} · {one_line(letter.title)}" if letter.title else sender, letter.content
    if letter.hide_content:
        title, body = words.hidden, ""
    notice = {
        "kind": "message",
        "title": _cut(title, _NOTICE_LENGTH),
        "body": _cut(body, _NOTICE_LENGTH),
        "lang": letter.language,
        "dir": words.direction,
        "conversation_id": str(letter.conversation_id),
        "message_id": str(letter.message_id),
        "seq": letter.seq,
    }
    if letter.link:
        notice["url"] = letter.link
    return json.dumps(notice, ensure_ascii=False).encode()


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
