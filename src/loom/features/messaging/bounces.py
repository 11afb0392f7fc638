"""Takes in reports of mail that came back."""

from __future__ import annotations

import re
from uuid import UUID

from loom.db.actor import Actor
from loom.db.database import Database, Tx
from loom.features.messaging.delivery_queries import record_bounce
from loom.providers.email import Bounce, parse_bounces

_SERVICE = Actor.service("record mail that came back")
# Mails about messages, and notices, carry the id of their (first) delivery before the at sign.
_DELIVERY = re.compile(r"<([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})@[^>]+>")


async def record_report(database: Database, raw: bytes) -> list[str]:
    """Records what a report says, a transaction for each recipient; returns a line for each that concerns us."""
    lines: list[str] = []
    for bounce in parse_bounces(raw):
        delivery = _DELIVERY.fullmatch(bounce.message_id or "")
        if delivery is None:
            continue
        outcome = await _record(database, UUID(delivery[1]), bounce)
        if outcome != "unknown":
            lines.append(f"{bounce.address}: {outcome} ({bounce.detail})")
    return lines


async def _record(database: Database, mail_id: UUID, bounce: Bounce) -> str:
    async def record(tx: Tx) -> str:
        return await record_bounce(tx, mail_id, bounce.address, permanent=bounce.permanent, detail=bounce.detail)

    return await database.run(_SERVICE, record)
