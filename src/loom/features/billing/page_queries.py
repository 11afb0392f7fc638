"""What billing asks of the database around the gateway's page: what is wished for is committed before it is sent."""

from __future__ import annotations

import json
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from loom.db.executor import Executor
from loom.features.billing.gateway_queries import SQL
from loom.providers.payments import HostedPage


class KeptWish(BaseModel):
    """What a page is asked for with, committed before the call: under its key nothing else is ever sent."""

    key: str
    success_url: str
    cancel_url: str
    locale: str
    description: str
    expires_at: datetime


async def keep_page_wish(q: Executor, intent_id: UUID, asked: dict[str, str]) -> KeptWish | None:
    """What the page is asked for with, which may be what somebody else has asked; None where it needs no asking."""
    kept = await q.fetch_value(SQL["service_keep_page_wish"], {"id": intent_id, "wish": json.dumps(asked)})
    return None if kept is None else KeptWish.model_validate(kept)


async def drop_page_wish(q: Executor, intent_id: UUID, key: str) -> None:
    """The gateway said no to it."""
    await q.fetch_value(SQL["service_drop_page_wish"], {"id": intent_id, "key": key})


async def record_page(q: Executor, intent_id: UUID, key: str, page: HostedPage) -> None:
    """The gateway has opened its page."""
    opened = {"key": key, "checkout_id": page.provider_checkout_id, "url": page.url, "expires_at": page.expires_at}
    await q.fetch_value(SQL["service_record_intent_page"], {"id": intent_id} | opened)
