"""How anything leaves Loom: the mail and the payload for a device, around what a queue has to say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage

from loom.core.settings import Settings
from loom.delivery.parcels import Language, Parcel
from loom.providers.email.letter import Link, Paragraph, Part, compose, one_line
from loom.providers.email.templates import Templates

_NOTICE_LENGTH = 140


@dataclass(frozen=True, slots=True)
class _Words:
    direction: str
    greeting: str
    greeting_nameless: str
    why: str


_WORDS: dict[Language, _Words] = {
    "en": _Words(
        direction="ltr",
        greeting="Hello {name},",
        greeting_nameless="Hello,",
        why="You get this because mail of this kind is switched on. This switches it off: {unsubscribe}",
    ),
    "he": _Words(
        direction="rtl",
        greeting="שלום {name},",
        greeting_nameless="שלום,",
        why="ההודעה נשלחה אליך כי דואר מסוג זה מופעל בהגדרות שלך. לכיבוי: {unsubscribe}",
    ),
}


@dataclass(frozen=True, slots=True)
class Wording:
    """What a queue has to say. Whoever wants no content gets `hidden` in place of all of it.

    `template` is the mail that an operator may word anew, `fill` what that may name beside `name` and `unsubscribe`.
    Both must already be without content where none is wanted. `path` is where it is read in the front end.
    """

    template: str
    fill: dict[str, str]
    subject: str
    parts: Sequence[Part]
    notice_title: str
    notice_body: str
    hidden: str
    open: str
    path: str | None
    thread: str | None = None
    ids: dict[str, str | int] = field(default_factory=dict[str, "str | int"])

    def link(self, app_url: str | None) -> str | None:
        """Where it leads, if there is a front end."""
        return f"{app_url.rstrip('/')}{self.path}" if app_url and self.path else None


def as_mail(parcel: Parcel, wording: Wording, settings: Settings, templates: Templates) -> EmailMessage:
    """The mail, in plain text and HTML, in Loom's words or the operator's, with a way out."""
    words = _WORDS[parcel.language]
    name = one_line(parcel.name or "")
    unsubscribe = f"{settings.base_url}/v1/unsubscribe/{parcel.unsubscribe_token}"
    own = templates.render(
        wording.template, parcel.language, {**wording.fill, "name": name, "unsubscribe": unsubscribe}
    )
    link = wording.link(settings.app_url)
    way_in = [Link(wording.open, link)] if link else []
    if own:
        subject, parts = own.subject, [*(Paragraph(text) for text in own.paragraphs), *way_in]
    else:
        subject = wording.hidden if parcel.hide_content else wording.subject
        parts = [
            Paragraph((words.greeting if name else words.greeting_nameless).format(name=name)),
            *([Paragraph(wording.hidden)] if parcel.hide_content else wording.parts),
            *way_in,
            Paragraph(words.why.format(unsubscribe=unsubscribe)),
        ]
    return compose(
        sender=settings.mail_from,
        email=parcel.email,
        name=parcel.name,
        subject=subject,
        key=parcel.mail_key,
        thread=wording.thread,
        language=parcel.language,
        parts=parts,
        unsubscribe=unsubscribe,
    )


def as_notice(parcel: Parcel, wording: Wording, kind: str, settings: Settings) -> bytes:
    """The payload of a push notice: JSON for the page's service worker, well under what push services take."""
    title, body = (wording.hidden, "") if parcel.hide_content else (wording.notice_title, wording.notice_body)
    payload: dict[str, str | int] = {
        "kind": kind,
        "title": cut(one_line(title), _NOTICE_LENGTH),
        "body": cut(body, _NOTICE_LENGTH),
        "lang": parcel.language,
        "dir": _WORDS[parcel.language].direction,
        **wording.ids,
    }
    link = wording.link(settings.app_url)
    if link:
        payload["url"] = link
    return json.dumps(payload, ensure_ascii=False).encode()


def cut(text: str, length: int) -> str:
    """At most so many characters, with a mark where some are missing."""
    return text if len(text) <= length else text[: length - 1] + "…"
