"""Reports of mail that came back (RFC 3464), as mail servers write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import Message
from typing import cast

_STATUS = re.compile(r"\b([245])\.\d{1,3}\.\d{1,3}\b")
_MAX_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Bounce:
    """What one report says of one recipient. `message_id` is that of the mail which came back, with its brackets."""

    address: str
    message_id: str | None
    permanent: bool
    detail: str


def parse_bounces(raw: bytes) -> list[Bounce]:
    """What a mail reports; nothing where it is no report. Never raises: anybody may have written it."""
    if len(raw) > _MAX_BYTES:
        raw = raw[:_MAX_BYTES]
    try:
        mail = message_from_bytes(raw, policy=policy.compat32)
        if mail.get_content_type() != "multipart/report":
            return []
        return _bounces(mail)
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
        # The parser of the standard library trips over some malformed headers, and over mails in mails in mails.
        return []


def _bounces(mail: Message) -> list[Bounce]:
    original: str | None = None
    blocks: list[Message] = []
    for part in mail.walk():
        kind = part.get_content_type()
        if kind == "message/delivery-status" and part.is_multipart():
            blocks += cast("list[Message]", part.get_payload())
        elif kind in {"message/rfc822", "message/rfc822-headers", "text/rfc822-headers"}:
            original = original or _message_id(part)
    return [bounce for block in blocks if (bounce := _bounce(block, original)) is not None]


def _message_id(part: Message) -> str | None:
    """Of the mail that came back, whole or only its headers."""
    if part.is_multipart():
        inner = cast("list[Message]", part.get_payload())[0]
        return _header(inner, "Message-ID")
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return None
    return _header(message_from_bytes(payload, policy=policy.compat32), "Message-ID")


def _bounce(block: Message, message_id: str | None) -> Bounce | None:
    action = (_header(block, "Action") or "").lower()
    status = _STATUS.search(_header(block, "Status") or "")
    recipient = _header(block, "Original-Recipient") or _header(block, "Final-Recipient")
    if recipient is None or status is None or action not in {"failed", "delayed"}:
        return None
    address = recipient.partition(";")[2].strip() or recipient.strip()
    detail = _header(block, "Diagnostic-Code") or status[0]
    if status[0] not in detail:
        detail = f"{status[0]} {detail}"
    return Bounce(address.strip("<>").lower(), message_id, action == "failed" and status[1] == "5", detail[:500])


def _header(message: Message, name: str) -> str | None:
    value = message.get(name)
    return " ".join(str(value).split()) if value is not None else None
