"""Secrets at rest: what opens a gateway is stored sealed, and the key to it lies outside the database.

Whoever reads the database, a copy of it or its backups gets nothing that moves money. Keys come from LOOM_SECRETS_KEY
(several may be named: the first seals, all open, so that a key can be changed), else from a file in the keys folder.
"""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from loom.core.errors import AppError
from loom.core.settings import Settings

PREFIX = "sealed:"
_FILE = "gateway_secrets.key"


class Vault:
    """Seals and opens. The database takes nothing that is not sealed."""

    def __init__(self, keys: list[bytes]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def seal(self, secret: str) -> str:
        """What may be stored."""
        return PREFIX + self._fernet.encrypt(secret.encode()).decode()

    def open(self, stored: str) -> str:
        """The secret. Raises 500 `secret_unreadable` where it was sealed with a key that is not here."""
        try:
            return self._fernet.decrypt(stored.removeprefix(PREFIX)).decode()
        except InvalidToken as exc:
            raise AppError(
                "secret_unreadable", 500, "A gateway's secret was sealed with a key that this server does not have.",
                "Give it the key in LOOM_SECRETS_KEY, or the file gateway_secrets.key of the server that stored it.",
            ) from exc  # fmt: skip


def vault_of(settings: Settings) -> Vault:
    """The vault of this server; its key is made at the first use."""
    named = settings.secrets_key
    if named is not None:
        return _vault(tuple(key.strip().encode() for key in named.get_secret_value().split(",") if key.strip()))
    return _vault((_key_file(settings.keys_dir),))


@lru_cache(maxsize=8)
def _vault(keys: tuple[bytes, ...]) -> Vault:
    return Vault(list(keys))


def _key_file(folder: Path) -> bytes:
    path = folder / _FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, draft = tempfile.mkstemp(dir=folder, prefix=".gateway_secrets")
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(Fernet.generate_key())
            # Of two processes that start at once, both end with the key of the first.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            Path(draft).unlink()
    return path.read_bytes()
