"""Addresses that do one thing for a short time, signed with a key of this installation."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING

from loom.providers.files import make_private_folder, write_new_file

if TYPE_CHECKING:
    from pathlib import Path

KEY_FILE = "links.key"


class LinkSigner:
    """Signs what a link is for together with when it ends."""

    def __init__(self, folder: Path) -> None:
        """`folder` keeps the key, made on first use; losing it only ends the links that are under way."""
        path = make_private_folder(folder) / KEY_FILE
        if not path.exists():
            # Of two processes that start at once, one writes; both then read what was written.
            write_new_file(path, secrets.token_bytes(32))
        self._key = path.read_bytes()

    def sign(self, purpose: str, *, seconds: int) -> tuple[int, str]:
        """The second in which it ends, and the signature."""
        expires = int(time.time()) + seconds
        return expires, self._signature(purpose, expires)

    def verify(self, purpose: str, expires: int, signature: str) -> bool:
        """Whether this was signed here for this purpose and has not ended."""
        return hmac.compare_digest(self._signature(purpose, expires), signature) and time.time() < expires

    def _signature(self, purpose: str, expires: int) -> str:
        digest = hmac.digest(self._key, f"{purpose}\n{expires}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
