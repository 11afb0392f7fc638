"""One shape for every mail that Loom writes: the same parts as plain text and as HTML, in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import Policy
from email.utils import formataddr, parseaddr
from html import escape
from typing import Literal

from loom.providers.errors import PermanentError

Language = Literal["en", "he"]


# Control characters but for white space, filler without width, and what overrides or isolates direction. Joiners and
# the plain marks of direction stay: emoji, Persian and Hebrew need them.
_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f\u00ad\u180e\u200b\u202a-\u202e\u2060-\u2069\ufeff]"
)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A sentence or two."""

    text: str

    @property
    def plain(self) -> str:
        return self.text

    @property
    def html(self) -> str:
        return f"<p>{escape(self.text)}</p>".replace("\n", "<br>")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something to look up: when, where."""

    label: str
    value: str

    @property
    def plain(self) -> str:
        return f"{self.label}: {self.value}"

    @property
    def html(self) -> str:
        return f"<p><strong>{escape(self.label)}:</strong> {escape(self.value)}</p>"


@dataclass(frozen=True, slots=True)
class Quote:
    """Somebody else's words; their language need not be the reader's."""

    text: str

    @property
    def plain(self) -> str:
        return self.text

    @property
    def html(self) -> str:
        return f'<blockquote dir="auto" style="white-space: pre-wrap">{escape(self.text)}</blockquote>'


@dataclass(frozen=True, slots=True)
class Link:
    """What to do next."""

    label: str
    address: str

    @property
    def plain(self) -> str:
        return f"{self.label}: {self.address}"

    @property
    def html(self) -> str:
        return f'<p><a href="{escape(self.address)}">{escape(self.label)}</a></p>'


Part = Paragraph | Fact | Quote | Link


class _Whole(str):
    """A header's value that goes out as it is. The standard library breaks long words up and encodes the pieces, as no
    reader of an address or an id expects.
    """

    __slots__ = ("name",)
    name: str

    def __new__(cls, name: str, value: str) -> _Whole:
        made = super().__new__(cls, value)
        made.name = name
        return made

    def fold(self, *, policy: Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that the mail carries."""

    name: str
    media_type: str
    content: bytes


def compose(
    *,
    sender: str,
    email: str,
    name: str | None,
    subject: str,
    key: str,
    language: Language,
    parts: Sequence[Part],
    thread: str | None = None,
    attachments: Sequence[Attachment] = (),
    unsubscribe: str | None = None,
) -> EmailMessage:
    """A mail of its parts.

    `key` names the mail: a repeated try carries the same Message-ID, so that a repetition can be told. Mails of one
    `thread` are shown together. `unsubscribe` is the address that switches mail of this kind off with one press.
    Raises PermanentError for an address that no mail can be written to.
    """
    if not email.isascii():
        raise PermanentError("the address holds letters that mail cannot be sent to", reason="address_refused")
    mail = EmailMessage()
    mail["Subject"] = one_line(subject)
    mail["From"] = sender
    mail["To"] = formataddr((one_line(name or ""), email))
    mail["Message-ID"] = _id(key, sender)
    mail["Auto-Submitted"] = "auto-generated"
    if thread is not None:
        mail["References"] = _Whole("References", _id(thread, sender))
    if unsubscribe is not None:
        # RFC 8058: the mail program posts to the address when its own button is pressed.
        mail["List-Unsubscribe"] = _Whole("List-Unsubscribe", f"<{unsubscribe}>")
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content("\n\n".join(part.plain for part in parts) + "\n")
    body = "".join(part.html for part in parts)
    direction = "rtl" if language == "he" else "ltr"
    mail.add_alternative(
        f'<!doctype html><html lang="{language}" dir="{direction}"><head><meta charset="utf-8"></head>'
        f'<body style="font-family: sans-serif; line-height: 1.5">{body}</body></html>\n',
        subtype="html",
    )
    for file in attachments:
        maintype, _, subtype = file.media_type.partition("/")
        mail.add_attachment(file.content, maintype=maintype, subtype=subtype, filename=file.name)
    # Last, since becoming multipart moves whatever begins with Content- into the first part.
    mail["Content-Language"] = language
    return mail


def one_line(text: str) -> str:
    """Names and titles are typed by people; in a header or a sentence they are one line that turns nothing around."""
    return " ".join(_INVISIBLE.sub("", text).split())


def _id(key: str, sender: str) -> str:
    return f"<{key}@{parseaddr(sender)[1].rpartition('@')[2] or 'localhost'}>"
