"""Mail: SMTP where an address is set, a local outbox otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.providers.email.bounces import Bounce, parse_bounces
from loom.providers.email.outbox import OutboxEntry, OutboxMailer
from loom.providers.email.protocol import Mailer
from loom.providers.email.smtp import SmtpMailer

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Bounce", "Mailer", "OutboxEntry", "OutboxMailer", "SmtpMailer", "open_mailer", "parse_bounces"]


def open_mailer(smtp_url: str | None, outbox: Path, bounce_address: str | None = None) -> Mailer:
    """The mailer that the settings ask for; `outbox` is the folder used without an SMTP address."""
    return SmtpMailer(smtp_url, bounce_address=bounce_address) if smtp_url else OutboxMailer(outbox)
