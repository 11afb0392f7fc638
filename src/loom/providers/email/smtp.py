"""Mail by SMTP, over one kept connection."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from loom.providers.errors import PermanentError, RetryableError

if TYPE_CHECKING:
    from email.message import EmailMessage


# RFC 3463: the mailbox does not exist, has moved away, or is disabled. Full (5.2.2) or unwanted (5.7) is not that.
_NO_MAILBOX = re.compile(r"\b5\.(1\.[1236]|1\.10|2\.1)\b")


@dataclass(frozen=True, slots=True)
class SmtpTarget:
    """Where and how to hand over mail, as an address says it."""

    host: str
    port: int
    username: str | None
    password: str | None
    tls: bool
    starttls: bool | None


def parse_smtp_url(url: str) -> SmtpTarget:
    """Reads `smtp://user:password@host:587` or `smtps://host:465`; ValueError where it says neither.

    With `smtp`, STARTTLS is used where the server offers it; `?starttls=required` insists, `?starttls=never` declines.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("an SMTP address looks like smtp://user:password@host:587 or smtps://host:465")
    tls = parts.scheme == "smtps"
    wish = parse_qs(parts.query).get("starttls", ["auto"])[-1]
    if wish not in {"auto", "required", "never"}:
        raise ValueError("starttls must be auto, required or never")
    starttls = False if tls else {"auto": None, "required": True, "never": False}[wish]
    return SmtpTarget(
        host=parts.hostname,
        port=parts.port or (465 if tls else 587),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
        starttls=starttls,
    )


class SmtpMailer:
    """Hands mail to one server. One message is under way at a time; a broken connection is made anew for the next."""

    def __init__(self, url: str, *, bounce_address: str | None = None, timeout: float = 20.0) -> None:
        """`bounce_address` is the sender on the envelope, to whom servers report what they could not deliver."""
        self._target = parse_smtp_url(url)
        self._bounce_address = bounce_address
        self._timeout = timeout
        self._client: aiosmtplib.SMTP | None = None
        self._busy = asyncio.Lock()

    async def send(self, message: EmailMessage) -> str:
        """Returns the server's own words on accepting, which usually hold its queue id."""
        async with self._busy:
            try:
                client = await self._connected()
                refused, answer = await client.send_message(message, sender=self._bounce_address)
            except aiosmtplib.SMTPException as error:
                await self._drop()
                raise _translate(error) from error
            except (OSError, TimeoutError) as error:
                await self._drop()
                raise RetryableError(
                    f"the mail server cannot be reached: {error}", reason="smtp_unreachable"
                ) from error
            except asyncio.CancelledError:
                # The connection is somewhere inside a dialogue; nobody may go on with it.
                await self._drop()
                raise
        if refused:
            raise _by_code(*next(iter(refused.values())))
        return answer[:200]

    async def close(self) -> None:
        """Says goodbye to the server, if there is a connection."""
        async with self._busy:
            client, self._client = self._client, None
            if client is not None and client.is_connected:
                with suppress(aiosmtplib.SMTPException, OSError):
                    await client.quit()

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._client is not None and self._client.is_connected:
            return self._client
        target = self._target
        self._client = aiosmtplib.SMTP(
            hostname=target.host,
            port=target.port,
            username=target.username,
            password=target.password,
            use_tls=target.tls,
            start_tls=target.starttls,
            timeout=self._timeout,
        )
        await self._client.connect()
        return self._client

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()


def _translate(error: aiosmtplib.SMTPException) -> RetryableError | PermanentError:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused) and error.recipients:
        first = error.recipients[0]
        return _by_code(first.code, first.message)
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        # The operator's mistake, not the message's: mail waits for the password, as long as its attempts last.
        return RetryableError(f"the mail server refused the sign-in: {error}", reason="smtp_sign_in")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _by_code(error.code, error.message)
    return RetryableError(str(error), reason="smtp_unreachable")


def _by_code(code: int, text: str) -> RetryableError | PermanentError:
    """RFC 5321: 5xx says that the same command will be refused again, anything else may pass later."""
    detail = f"{code} {text}"[:300]
    if 500 <= code <= 599:
        if _NO_MAILBOX.search(text):
            return PermanentError(detail, reason="address_refused")
        return PermanentError(detail, reason="smtp_refused")
    return RetryableError(detail, reason="smtp_deferred")
