"""What Loom asks of a push provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from loom.providers.errors import PermanentError

MAX_PAYLOAD_BYTES = 3000
"""Every push service takes this much; above it the answer depends on the service."""


@dataclass(frozen=True, slots=True)
class PushTarget:
    """One device, as its browser described it: an address and two public values, both base64url."""

    endpoint: str
    p256dh: str
    auth: str


class PushGoneError(PermanentError):
    """The device's subscription no longer exists and must be retired."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, reason="subscription_gone")


class PushSender(Protocol):
    """Sends one notice to one device. May be used by many tasks of one event loop at once."""

    @property
    def public_key(self) -> str:
        """The application server key that browsers subscribe with: base64url, uncompressed P-256 point."""
        ...

    async def send(self, target: PushTarget, payload: bytes, *, ttl: int = 86_400, topic: str | None = None) -> str:
        """Encrypts and hands over; returns the push service's id of the notice. `ttl` is in seconds.

        Of two waiting notices with the same `topic` a device gets only the later one.
        Raises PushGoneError, PermanentError (also for a refused key: reason `push_key_refused`) or RetryableError.
        """
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...
