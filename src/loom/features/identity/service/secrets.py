"""Passwords and random tokens: how they are made, and the only form in which they are kept."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP's second choice of argon2id parameters: 19 MiB and two passes, so that a burst of sign-ins fits in memory.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_AT_ONCE = 4
_SLOTS: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}
_NOBODY = _HASHER.hash(secrets.token_urlsafe(32))


async def hash_password(password: str) -> str:
    """argon2id, off the event loop."""
    async with _slot():
        return await asyncio.to_thread(_HASHER.hash, password)


async def password_fits(password_hash: str | None, password: str) -> bool:
    """Whether the password is the one. Without a hash it takes as long and says no."""
    async with _slot():
        fits = await asyncio.to_thread(_verify, password_hash or _NOBODY, password)
    return fits and password_hash is not None


def needs_new_hash(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)


def new_token() -> str:
    """256 random bits, safe in addresses."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """What is kept of a random token. Long random tokens need no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_recovery_codes() -> list[str]:
    """Ten codes of 80 bits each, in four groups that can be read aloud."""
    codes: list[str] = []
    for _ in range(10):
        text = base64.b32encode(secrets.token_bytes(10)).decode().lower()
        codes.append("-".join(text[i : i + 4] for i in range(0, 16, 4)))
    return codes


def hash_recovery_code(code: str) -> str:
    """As written or without its dashes and spaces, in either case."""
    return hash_token("".join(character for character in code.lower() if character.isalnum()))


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def _slot() -> asyncio.Semaphore:
    loop = asyncio.get_running_loop()
    for closed in [other for other in _SLOTS if other.is_closed()]:
        del _SLOTS[closed]
    return _SLOTS.setdefault(loop, asyncio.Semaphore(_AT_ONCE))
