"""The local outbox: mail as files that can be listed and read, for demos, tests and a first day without SMTP."""

from __future__ import annotations

import asyncio
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import TYPE_CHECKING

from loom.providers.errors import PermanentError, RetryableError
from loom.providers.files import make_private_folder, write_new_file

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{16}\.eml")


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """One message in the outbox: its name there, when it was written (UTC), and its main headers."""

    name: str
    written_at: datetime
    sender: str
    recipient: str
    subject: str
    message_id: str


class OutboxMailer:
    """Writes each message as an .eml file; a file that is seen is whole. Names sort by time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def send(self, message: EmailMessage) -> str:
        """Writes the message and returns the file's name."""
        if not message["To"] or not message["From"]:
            raise PermanentError("the message names no sender or no recipient", reason="no_address")
        content = message.as_bytes(policy=policy.SMTP)
        return await asyncio.to_thread(self._write, content)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _write(self, content: bytes) -> str:
        now = datetime.now(UTC)
        name = f"{now:%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(8)}.eml"
        try:
            make_private_folder(self.folder)
            write_new_file(self.folder / name, content)
        except OSError as error:
            raise RetryableError(f"the outbox cannot be written: {error.strerror}", reason="outbox") from error
        return name

    def entries(self) -> list[OutboxEntry]:
        """What the outbox holds, oldest first."""
        try:
            names = sorted(path.name for path in self.folder.iterdir() if _NAME.fullmatch(path.name))
        except FileNotFoundError:
            return []
        return [self._entry(name) for name in names]

    def read(self, name: str) -> EmailMessage:
        """One message by its name in the outbox. KeyError where there is none."""
        if not _NAME.fullmatch(name):
            raise KeyError(name)
        try:
            content = (self.folder / name).read_bytes()
        except FileNotFoundError:
            raise KeyError(name) from None
        return message_from_bytes(content, policy=policy.default)

    def _entry(self, name: str) -> OutboxEntry:
        message = self.read(name)
        written = datetime.strptime(name.split("-", 1)[0], "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)
        headers = [str(message.get(header, "")) for header in ("From", "To", "Subject", "Message-ID")]
        return OutboxEntry(name, written, *headers)
