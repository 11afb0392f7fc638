"""The baseline: a conventional FastAPI and SQLAlchemy application that gives the same answers.

Written as its makers' own guides do it: async engine with a pool, a session per request, a dependency that checks the
token and loads the user, relationships loaded by `selectinload`, responses through Pydantic models. Started by
`bench.http_read` as `uvicorn bench.orm_app:app`; BENCH_DATABASE_URL and BENCH_SECRET say where and with which key.
"""

import os
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, FastAPI, Header, HTTPException
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload

from bench.orm_models import Conversation, Message, Participant, User

app = FastAPI()
engine = create_async_engine(os.environ["BENCH_DATABASE_URL"], pool_size=10)
sessions = async_sessionmaker(engine, expire_on_commit=False)
key = OctKey.import_key(os.environ["BENCH_SECRET"])


class ReactionOut(BaseModel):
    emoji: str
    count: int
    mine: bool


class MessageOut(BaseModel):
    id: UUID
    conversation_id: UUID
    seq: int
    type: str
    sender_id: UUID
    sender_name: str | None
    content: str | None
    html: str | None = None
    system: dict[str, str] | None = None
    reply_to_id: UUID | None
    client_message_id: UUID | None
    is_edited: bool
    edited_at: datetime | None
    deleted_at: datetime | None
    created_at: datetime
    is_read: bool
    mentions: list[UUID]
    reactions: list[ReactionOut]
    attachments: list[str] = []
    deliveries: dict[str, str] | None


class ReadBy(BaseModel):
    user_id: UUID
    last_read_seq: int


class TimelineOut(BaseModel):
    items: list[MessageOut]
    next_cursor: str | None
    newer_cursor: str | None = None
    last_seq: int
    last_read_seq: int | None
    first_unread_seq: int | None
    read_by: list[ReadBy]


class PersonOut(BaseModel):
    user_id: UUID
    display_name: str | None
    role: str
    is_current: bool
    joined_at: datetime | None
    last_read_seq: int


class PeopleOut(BaseModel):
    items: list[PersonOut]
    next_cursor: str | None


async def session() -> AsyncIterator[AsyncSession]:
    """One for each request."""
    async with sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]


async def current_user(db: Session, authorization: Annotated[str, Header()]) -> User:
    """The user of the bearer token."""
    token = jwt.decode(authorization.removeprefix("Bearer "), key, algorithms=["HS256"])
    user = await db.get(User, UUID(token.claims["sub"]))
    if user is None or user.status != "active":
        raise HTTPException(401)
    return user


CurrentUser = Annotated[User, Depends(current_user)]


async def conversation_of(db: AsyncSession, conversation_id: UUID, user: User) -> Conversation:
    """The conversation with its people, if the user takes part."""
    asked = select(Conversation).where(Conversation.id == conversation_id)
    found = await db.scalar(asked.options(selectinload(Conversation.participants).selectinload(Participant.user)))
    if found is None or not any(p.user_id == user.id and p.left_at is None for p in found.participants):
        raise HTTPException(404)
    return found


def message_out(message: Message, me: Participant) -> MessageOut:
    """One message as its reader sees it."""
    mine = message.sender_id == me.user_id
    counts = Counter(reaction.emoji for reaction in message.reactions)
    own = {reaction.emoji for reaction in message.reactions if reaction.user_id == me.user_id}
    deliveries = {state.channel: state.status for state in message.delivery_states}
    return MessageOut(
        id=message.id,
        conversation_id=message.conversation_id,
        seq=message.seq,
        type=message.type,
        sender_id=message.sender_id,
        sender_name=message.sender.display_name,
        content=message.content,
        reply_to_id=message.reply_to_id,
        client_message_id=message.client_message_id if mine else None,
        is_edited=message.is_edited,
        edited_at=message.edited_at,
        deleted_at=message.deleted_at,
        created_at=message.created_at,
        is_read=mine or message.seq <= me.last_read_seq,
        mentions=[mention.mentioned_user_id for mention in message.mentions],
        reactions=[ReactionOut(emoji=emoji, count=n, mine=emoji in own) for emoji, n in counts.items()],
        deliveries=deliveries if mine and deliveries else None,
    )


@app.get("/v1/conversations/{conversation_id}/messages", response_model=TimelineOut)
async def timeline(conversation_id: UUID, db: Session, user: CurrentUser, limit: int = 50) -> TimelineOut:
    """The newest messages of a conversation."""
    conversation = await conversation_of(db, conversation_id, user)
    me = next(p for p in conversation.participants if p.user_id == user.id)
    asked = (
        select(Message)
        .where(Message.conversation_id == conversation_id)
        .order_by(Message.seq.desc())
        .limit(limit + 1)
        .options(
            selectinload(Message.sender),
            selectinload(Message.reactions),
            selectinload(Message.mentions),
            selectinload(Message.delivery_states),
        )
    )
    found = list((await db.scalars(asked)).all())
    page = found[:limit]
    return TimelineOut(
        items=[message_out(message, me) for message in page],
        next_cursor=str(page[-1].seq) if len(found) > limit else None,
        last_seq=conversation.last_seq,
        last_read_seq=me.last_read_seq,
        first_unread_seq=await db.scalar(
            select(func.min(Message.seq)).where(
                Message.conversation_id == conversation_id,
                Message.seq > me.last_read_seq,
                Message.sender_id != user.id,
                Message.deleted_at.is_(None),
            )
        ),
        read_by=[
            ReadBy(user_id=p.user_id, last_read_seq=p.last_read_seq)
            for p in sorted(conversation.participants, key=lambda p: p.user_id)
            if p.left_at is None and p.user_id != user.id
        ],
    )


@app.get("/v1/conversations/{conversation_id}/people", response_model=PeopleOut)
async def people(conversation_id: UUID, db: Session, user: CurrentUser) -> PeopleOut:
    """Who is or was in a conversation."""
    conversation = await conversation_of(db, conversation_id, user)
    return PeopleOut(
        items=[
            PersonOut(
                user_id=p.user_id,
                display_name=p.user.display_name,
                role=p.role or "member",
                is_current=p.left_at is None,
                joined_at=p.joined_at,
                last_read_seq=p.last_read_seq,
            )
            for p in sorted(conversation.participants, key=lambda p: (p.joined_at, p.user_id))
        ],
        next_cursor=None,
    )
