"""A notice as it leaves Loom: by mail, and to a device."""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.message import EmailMessage

from loom.features.notifications.schemas import Language, OpenNotice
from loom.providers.email.letter import Link, Paragraph, Part, compose, one_line
from loom.providers.email.templates import Templates

_NOTICE_LENGTH = 140


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences of one language around a notice."""

    direction: str
    greeting: str
    greeting_nameless: str
    open: str
    hidden: str
    why: str


WORDS: dict[Language, Words] = {
    "en": Words(
        direction="ltr",
        greeting="Hello {name},",
        greeting_nameless="Hello,",
        open="Open",
        hidden="There is something new for you.",
        why="You get this because mail of this kind is switched on. This switches it off: {unsubscribe}",
    ),
    "he": Words(
        direction="rtl",
        greeting="שלום {name},",
        greeting_nameless="שלום,",
        open="לפתיחה",
        hidden="מחכה לך משהו חדש.",
        why="ההודעה נשלחה אליך כי דואר מסוג זה מופעל בהגדרות שלך. לכיבוי: {unsubscribe}",
    ),
}


def notice_mail(
    notice: OpenNotice, templates: Templates, *, sender: str, base_url: str, app_url: str | None
) -> EmailMessage:
    """The mail, in the reader's language; without a word of content where the reader wants none."""
    words = WORDS[notice.language]
    unsubscribe = f"{base_url}/v1/unsubscribe/{notice.unsubscribe_token}"
    name = one_line(notice.name or "")
    fill = {
        "name": name,
        "title": words.hidden if notice.hide_content else notice.title,
        "message": words.hidden if notice.hide_content else notice.message,
        "unsubscribe": unsubscribe,
    }
    own = templates.render("notice", notice.language, fill)
    link = f"{app_url.rstrip('/')}{notice.action_url}" if app_url and notice.action_url else None
    parts: list[Part] = (
        [Paragraph(text) for text in own.paragraphs]
        if own
        else [
            Paragraph((words.greeting if name else words.greeting_nameless).format(name=name)),
            Paragraph(fill["message"]),
        ]
    )
    if link:
        parts.append(Link(words.open, link))
    if own is None:
        parts.append(Paragraph(words.why.format(unsubscribe=unsubscribe)))
    return compose(
        sender=sender,
        email=notice.email,
        name=notice.name,
        subject=own.subject if own else fill["title"],
        key=str(notice.id),
        language=notice.language,
        parts=parts,
        unsubscribe=unsubscribe,
    )


def notice_push(notice: OpenNotice, *, app_url: str | None) -> bytes:
    """The payload for a device's service worker."""
    words = WORDS[notice.language]
    shown = (words.hidden, "") if notice.hide_content else (notice.title, notice.message)
    payload = {
        "kind": "notification",
        "title": one_line(shown[0])[:_NOTICE_LENGTH],
        "body": shown[1][:_NOTICE_LENGTH],
        "lang": notice.language,
        "dir": words.direction,
        "notification_id": str(notice.notification_id),
    }
    if app_url and notice.action_url and not notice.hide_content:
        payload["url"] = f"{app_url.rstrip('/')}{notice.action_url}"
    return json.dumps(payload, ensure_ascii=False).encode()
