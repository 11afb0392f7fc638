"""What takes more than one query, or a look at what PostgreSQL cannot know."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from uuid import UUID

from loom.core.errors import AppError
from loom.db.executor import Executor
from loom.features.messaging import queries
from loom.features.messaging.markdown import render
from loom.features.messaging.schemas import (
    AddPeople,
    AddPushSubscription,
    ChangeConversation,
    ChangeMessagingPreferences,
    Channel,
    ChannelRate,
    Conversation,
    ConversationList,
    CreateGroupConversation,
    Deliveries,
    DeliveryStatistics,
    EditMessage,
    Message,
    MessagingPreferences,
    Person,
    PushSubscription,
)
from loom.http import Page
from loom.providers.push.guard import EndpointRefusedError, check_endpoint


async def start_direct(q: Executor, user_id: UUID) -> Conversation:
    """The one conversation with a person."""
    return await queries.get_conversation(q, await queries.start_direct(q, user_id))


async def create_group(q: Executor, body: CreateGroupConversation) -> Conversation:
    """A new group."""
    return await queries.get_conversation(q, await queries.create_group(q, body))


async def open_session(q: Executor, session_id: UUID) -> ConversationList:
    """The conversations of a session."""
    ids = await queries.open_session(q, session_id)
    return ConversationList(items=await queries.list_conversations(q, ids), next_cursor=None)


async def list_session(q: Executor, session_id: UUID) -> ConversationList:
    """The conversations of a session, as far as the caller takes part in them."""
    ids = await queries.list_session_conversations(q, session_id)
    return ConversationList(items=await queries.list_conversations(q, ids), next_cursor=None)


async def change_preferences(q: Executor, body: ChangeMessagingPreferences) -> MessagingPreferences:
    """The caller's choices as they are now."""
    if body.share_receipts is not None:
        await queries.change_messaging_preferences(q, body.share_receipts)
    return await queries.get_messaging_preferences(q)


async def change_conversation(q: Executor, conversation_id: UUID, body: ChangeConversation) -> Conversation:
    """Title for all, muting and archiving for oneself."""
    if body.title is not None:
        await queries.change_title(q, conversation_id, body.title)
    if body.is_muted is not None or body.is_archived is not None:
        await queries.change_own_state(q, conversation_id, body.is_muted, body.is_archived)
    return await queries.get_conversation(q, conversation_id)


async def add_people(q: Executor, conversation_id: UUID, body: AddPeople) -> Page[Person]:
    """Brings people into a group and gives everybody who is there."""
    await queries.add_people(q, conversation_id, body)
    return await list_people(q, conversation_id)


async def list_people(q: Executor, conversation_id: UUID) -> Page[Person]:
    """Everybody on one page: a conversation has few people."""
    return Page(items=await queries.list_people(q, conversation_id), next_cursor=None)


def with_html(timeline: bytes | None) -> bytes | None:
    """A page of messages, each with its text as HTML."""
    if timeline is None:
        return None
    page = json.loads(timeline)
    for message in page["items"]:
        message["html"] = render(message["content"]) if message["content"] is not None else None
    return json.dumps(page, ensure_ascii=False).encode()


async def edit(q: Executor, message_id: UUID, body: EditMessage) -> Message:
    """The message as it is now."""
    await queries.edit_message(q, message_id, body)
    return await queries.get_message(q, message_id)


async def delete(q: Executor, message_id: UUID, reason: str | None) -> Message:
    """The tombstone."""
    await queries.delete_message(q, message_id, reason)
    return await queries.get_message(q, message_id)


async def react(q: Executor, message_id: UUID, emoji: str) -> Message:
    """The message with the reaction on it."""
    await queries.react(q, message_id, emoji)
    return await queries.get_message(q, message_id)


async def deliveries(q: Executor, message_id: UUID) -> Deliveries:
    """How a message fared, as far as the caller may see it."""
    channels = await queries.list_channel_states(q, message_id)
    people = await queries.list_reach(q, message_id)
    return Deliveries(
        people=people, channels=channels, items=await queries.list_deliveries(q, message_id), next_cursor=None
    )


async def delivery_statistics(q: Executor, since: datetime, until: datetime) -> DeliveryStatistics:
    """Counts and rates of a span of time."""
    counts = await queries.list_delivery_counts(q, since, until)
    rates: list[ChannelRate] = []
    channels: list[Channel] = list(dict.fromkeys(count.channel for count in counts))
    for channel in channels:
        by_state: Counter[str] = Counter()
        for count in counts:
            if count.channel == channel:
                by_state[count.state] += count.count
        tried = by_state["sent"] + by_state["failed"]
        rates.append(
            ChannelRate(
                channel=channel,
                sent=by_state["sent"],
                failed=by_state["failed"],
                suppressed=by_state["suppressed"],
                open=by_state["pending"] + by_state["leased"],
                success_rate=by_state["sent"] / tried if tried else None,
            )
        )
    return DeliveryStatistics(since=since, until=until, channels=rates, items=counts)


async def add_push_subscription(q: Executor, body: AddPushSubscription, *, allow_local: bool) -> PushSubscription:
    """Keeps a device whose address is one that notices may go to. Raises 422 `endpoint_refused`."""
    try:
        check_endpoint(body.endpoint, allow_local=allow_local)
    except EndpointRefusedError as refused:
        raise AppError("endpoint_refused", 422, f"Notices are not sent to this address: {refused}.") from refused
    return await queries.get_push_subscription(q, await queries.add_push_subscription(q, body))
