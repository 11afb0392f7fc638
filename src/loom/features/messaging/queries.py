"""What messaging asks of the database, as typed functions. Policies decide what is found."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from loom.core.errors import NotFound
from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.messaging.schemas import (
    AddPeople,
    AddPushSubscription,
    ChannelState,
    Conversation,
    CreateGroupConversation,
    Deletion,
    Delivery,
    DeliveryCount,
    EditMessage,
    MembershipChange,
    Message,
    MessagingPreferences,
    Person,
    PushSubscription,
    Reach,
    Reaction,
    ReadPosition,
    Receipt,
    Revision,
    Suppression,
)
from loom.http.cursors import After

SQL = load_queries("loom.features.messaging")


async def start_direct(q: Executor, user_id: UUID) -> UUID:
    """The id of the one conversation with a person."""
    return await q.fetch_value(SQL["start_direct"], {"user_id": user_id})


async def create_group(q: Executor, body: CreateGroupConversation) -> UUID:
    """The id of a new group."""
    return await q.fetch_value(
        SQL["create_group"], {"title": body.title, "user_ids": body.user_ids, "program": body.program}
    )


async def open_session(q: Executor, session_id: UUID) -> list[UUID]:
    """Ids of the conversations of a session of the caller's, made or brought up to date."""
    return await q.fetch_value(SQL["open_session"], {"session_id": session_id}) or []


async def list_conversations(q: Executor, ids: list[UUID]) -> list[Conversation]:
    """Those of the conversations that the caller may read."""
    return await q.fetch_all(SQL["list_conversations"], {"ids": ids}, Conversation)


async def get_conversation(q: Executor, conversation_id: UUID) -> Conversation:
    """One conversation."""
    return await q.fetch_one(SQL["list_conversations"], {"ids": [conversation_id]}, Conversation)


async def change_title(q: Executor, conversation_id: UUID, title: str) -> None:
    """Only the coach of the conversation finds it here."""
    if not await q.execute(SQL["change_title"], {"id": conversation_id, "title": title}):
        raise NotFound


async def change_own_state(q: Executor, conversation_id: UUID, is_muted: bool | None, is_archived: bool | None) -> None:
    """Mutes and archives for the caller; None leaves as it is."""
    values = {"id": conversation_id, "is_muted": is_muted, "is_archived": is_archived}
    if not await q.execute(SQL["change_own_state"], values):
        raise NotFound


async def list_session_conversations(q: Executor, session_id: UUID) -> list[UUID]:
    """Ids of the conversations about a session that the caller may read."""
    return await q.fetch_value(SQL["list_session_conversations"], {"session_id": session_id}) or []


async def list_membership_changes(
    q: Executor, conversation_id: UUID, after: After, limit: int
) -> list[MembershipChange]:
    """Who came and went, newest first, one more than `limit` where there are more."""
    values = {"id": conversation_id, "after_at": after.at, "after_id": after.id, "limit": limit + 1}
    return await q.fetch_all(SQL["list_membership_changes"], values, MembershipChange)


async def get_messaging_preferences(q: Executor) -> MessagingPreferences:
    """The caller's choices."""
    return await q.fetch_one(SQL["get_messaging_preferences"], {}, MessagingPreferences)


async def change_messaging_preferences(q: Executor, share_receipts: bool) -> None:
    """Whether the caller shows how far they have read, and sees it of others."""
    await q.execute(SQL["change_messaging_preferences"], {"share_receipts": share_receipts})


async def list_people(q: Executor, conversation_id: UUID) -> list[Person]:
    """Everybody who is or was there."""
    return await q.fetch_all(SQL["list_people"], {"id": conversation_id}, Person)


async def add_people(q: Executor, conversation_id: UUID, body: AddPeople) -> None:
    """Brings people into a group."""
    values = {"id": conversation_id, "user_ids": body.user_ids, "share_history": body.share_history}
    await q.execute(SQL["add_people"], values)


async def remove_person(q: Executor, conversation_id: UUID, user_id: UUID) -> None:
    """Takes somebody out of a group."""
    await q.execute(SQL["remove_person"], {"id": conversation_id, "user_id": user_id})


async def leave(q: Executor, conversation_id: UUID) -> None:
    """Ends the caller's part in a group."""
    await q.execute(SQL["leave"], {"id": conversation_id})


async def edit_message(q: Executor, message_id: UUID, body: EditMessage) -> None:
    """Changes text, and mentions where given."""
    await q.execute(SQL["edit_message"], {"id": message_id, **body.model_dump()})


async def delete_message(q: Executor, message_id: UUID, reason: str | None) -> None:
    """Leaves a tombstone."""
    await q.execute(SQL["delete_message"], {"id": message_id, "reason": reason})


async def get_message(q: Executor, message_id: UUID) -> Message:
    """One message as a timeline shows it."""
    found = await q.fetch_value(SQL["get_message"], {"id": message_id})
    if found is None:
        raise NotFound
    return Message.model_validate(found)


async def mark_read(q: Executor, conversation_id: UUID, seq: int) -> ReadPosition:
    """Moves the caller's position forward."""
    return await q.fetch_one(SQL["mark_read"], {"conversation_id": conversation_id, "seq": seq}, ReadPosition)


async def react(q: Executor, message_id: UUID, emoji: str) -> None:
    """Adds a reaction; once more changes nothing."""
    await q.execute(SQL["react"], {"message_id": message_id, "emoji": emoji})


async def take_back_reaction(q: Executor, message_id: UUID, emoji: str) -> None:
    """Removes the caller's own reaction."""
    if not await q.execute(SQL["take_back_reaction"], {"message_id": message_id, "emoji": emoji}):
        raise NotFound


async def list_reactions(q: Executor, message_id: UUID) -> list[Reaction]:
    """Who reacted how, first come first."""
    await _see_message(q, message_id)
    return await q.fetch_all(SQL["list_reactions"], {"message_id": message_id}, Reaction)


async def list_revisions(q: Executor, message_id: UUID) -> list[Revision]:
    """What a message said before its edits, oldest first."""
    await _see_message(q, message_id)
    return await q.fetch_all(SQL["list_revisions"], {"message_id": message_id}, Revision)


async def list_deletions(q: Executor, conversation_id: UUID | None, after: After, limit: int) -> list[Deletion]:
    """The audit, newest first, one more than `limit` where there are more. Empty for whoever is no admin."""
    values = {"conversation_id": conversation_id, "after_at": after.at, "after_id": after.id, "limit": limit + 1}
    return await q.fetch_all(SQL["list_deletions"], values, Deletion)


async def list_receipts(q: Executor, message_id: UUID) -> list[Receipt]:
    """Who has read a message, first come first."""
    await _see_message(q, message_id)
    return await q.fetch_all(SQL["list_receipts"], {"message_id": message_id}, Receipt)


async def list_channel_states(q: Executor, message_id: UUID) -> list[ChannelState]:
    """The roll-up of a message, as far as the caller may see it."""
    await _see_message(q, message_id)
    return await q.fetch_all(SQL["list_channel_states"], {"message_id": message_id}, ChannelState)


async def list_deliveries(q: Executor, message_id: UUID) -> list[Delivery]:
    """Each person's and channel's delivery, as far as the caller may see it."""
    return await q.fetch_all(SQL["list_deliveries"], {"message_id": message_id}, Delivery)


async def _see_message(q: Executor, message_id: UUID) -> None:
    if not await q.fetch_value(SQL["message_is_there"], {"message_id": message_id}):
        raise NotFound


async def list_push_subscriptions(q: Executor, after: After, limit: int) -> list[PushSubscription]:
    """The caller's devices, newest first, one more than `limit` where there are more."""
    values = {"after_at": after.at, "after_id": after.id, "limit": limit + 1}
    return await q.fetch_all(SQL["list_push_subscriptions"], values, PushSubscription)


async def add_push_subscription(q: Executor, body: AddPushSubscription) -> UUID:
    """The id of the device."""
    values = {"endpoint": body.endpoint, "p256dh": body.keys.p256dh, "auth": body.keys.auth, "label": body.label}
    return await q.fetch_value(SQL["add_push_subscription"], values)


async def get_push_subscription(q: Executor, subscription_id: UUID) -> PushSubscription:
    """One device of the caller's."""
    return await q.fetch_one(SQL["get_push_subscription"], {"id": subscription_id}, PushSubscription)


async def remove_push_subscription(q: Executor, subscription_id: UUID) -> None:
    """Retires a device of the caller's."""
    await q.execute(SQL["remove_push_subscription"], {"id": subscription_id})


async def list_reach(q: Executor, message_id: UUID) -> list[Reach]:
    """Whether it reached each person, in a word."""
    return await q.fetch_all(SQL["list_reach"], {"message_id": message_id}, Reach)


async def list_delivery_counts(q: Executor, since: datetime, until: datetime) -> list[DeliveryCount]:
    """How deliveries of a span of time ended, as far as the caller may see them."""
    return await q.fetch_all(SQL["delivery_statistics"], {"since": since, "until": until}, DeliveryCount)


async def list_suppressions(q: Executor, after: After, limit: int) -> list[Suppression]:
    """Addresses that mail does not reach, newest first, one more than `limit` where there are more."""
    values = {"after_at": after.at, "after_id": after.id, "limit": limit + 1}
    return await q.fetch_all(SQL["list_suppressions"], values, Suppression)


async def lift_suppression(q: Executor, suppression_id: UUID) -> None:
    """Mail is tried again."""
    await q.execute(SQL["lift_suppression"], {"id": suppression_id})
