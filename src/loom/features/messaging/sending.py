"""How messages are sent: those that wait at the same moment go together."""

from __future__ import annotations

from loom.db.database import Database
from loom.db.together import Together
from loom.features.messaging.queries import SQL


def send_together(database: Database) -> None:
    """From now on, over HTTP."""
    database.gather(
        Together(
            database,
            "public.send_message_json",
            ("conversation_id", "content", "client_message_id", "mentions", "reply_to_id", "attachments"),
            SQL["send_messages_together"],
            "send messages of several people at once",
        )
    )
