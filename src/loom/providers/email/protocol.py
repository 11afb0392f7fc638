"""What Loom asks of a mail provider."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Protocol


class Mailer(Protocol):
    """Sends one message at a time. Implementations may be used by many tasks of one event loop at once."""

    async def send(self, message: EmailMessage) -> str:
        """Hands the message over and returns the provider's id for it.

        The message must name `From`, `To` and `Message-ID`; sending it again with the same `Message-ID` is how a
        receiver can tell a repetition.

        Raises RetryableError or PermanentError.
        """
        ...

    async def close(self) -> None:
        """Lets go of connections. The mailer can be used again afterwards."""
        ...
