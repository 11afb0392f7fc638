"""Takes in reports of mail that came back."""

from __future__ import annotations

import re

from loom.db.actor import Actor
from loom.db.database import Database, Tx
from loom.features.messaging.delivery_queries import record_bounce
from loom.providers.email import Bounce, parse_bounces

_SERVICE = Actor.service("record mail that came back")
# Before the at sign is what the database sealed when the mail was written; it says whether that is so.
_MESSAGE_ID = re.compile(r"<([0-9a-f.-]{36,100})@[^>]+>")


async def record_report(database: Database, raw: bytes) -> list[str]:
    """Records what a report says, a transaction for each recipient; returns a line for each that concerns us."""
    lines: list[str] = []
    for bounce in parse_bounces(raw):
        named = _MESSAGE_ID.fullmatch(bounce.message_id or "")
        if named is None:
            continue
        outcome = await _record(database, named[1], bounce)
        if outcome != "unknown":
            lines.append(f"{bounce.address}: {outcome} ({bounce.detail})")
    return lines


async def _record(database: Database, mail_key: str, bounce: Bounce) -> str:
    async def record(tx: Tx) -> str:
        return await record_bounce(tx, mail_key, bounce.address, permanent=bounce.permanent, detail=bounce.detail)

    return await database.run(_SERVICE, record)
