"""Seals short texts with the installation's key: tickets of streams, and what processes tell one another by NOTIFY.

NOTIFY is heard by every user of the database. Sealed, it tells them nothing, and what they say is not believed.
"""

from __future__ import annotations

import base64
import secrets
import struct
import time
from collections.abc import Sequence
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_TICKET, _TYPING = b"loom live ticket", b"loom live typing"
_TYPED = struct.Struct("!16s16s?")
_TIME = struct.Struct("!d")
_HOLDER = struct.Struct("!16s16sd")
_NO_SIGN_IN = UUID(int=0)
_FRESH_SECONDS = 15.0
MOST_IN_A_NOTICE = 150
"""NOTIFY takes 8,000 bytes."""

Typed = tuple[UUID, UUID, bool]
"""Conversation, person, whether they write (or have stopped)."""


class Seal:
    """One key. What does not open is None, whatever is wrong with it."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def ticket(self, user_id: UUID, expires: float, sign_in: UUID | None) -> str:
        """Opens the streams of one person until a moment, or until a sign-in ends."""
        return self._close(_HOLDER.pack(user_id.bytes, (sign_in or _NO_SIGN_IN).bytes, expires), _TICKET)

    def read_ticket(self, text: str) -> tuple[UUID, float, UUID | None] | None:
        """Whose ticket it is, when it ends, and for which sign-in; None for a forged one and for one that has ended."""
        content = self._open(text, _TICKET)
        if content is None or len(content) != _HOLDER.size:
            return None
        user_id, sign_in, expires = _HOLDER.unpack(content)
        if expires <= time.time():
            return None
        return UUID(bytes=user_id), float(expires), UUID(bytes=sign_in) if sign_in != _NO_SIGN_IN.bytes else None

    def typing(self, typed: Sequence[Typed]) -> str:
        """What one process tells the others."""
        parts = [_TYPED.pack(conversation.bytes, person.bytes, writes) for conversation, person, writes in typed]
        return self._close(_TIME.pack(time.time()) + b"".join(parts), _TYPING)

    def read_typing(self, text: str) -> list[Typed]:
        """What another process told; nothing where it is forged or old."""
        content = self._open(text, _TYPING)
        if content is None or time.time() - _TIME.unpack_from(content)[0] > _FRESH_SECONDS:
            return []
        return [(UUID(bytes=c), UUID(bytes=p), w) for c, p, w in _TYPED.iter_unpack(content[_TIME.size :])]

    def _close(self, content: bytes, purpose: bytes) -> str:
        nonce = secrets.token_bytes(12)
        return base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, content, purpose)).rstrip(b"=").decode()

    def _open(self, text: str, purpose: bytes) -> bytes | None:
        try:
            sealed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return self._cipher.decrypt(sealed[:12], sealed[12:], purpose)
        except (ValueError, InvalidTag):
            return None
