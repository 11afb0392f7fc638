"""What a conventional application would declare: SQLAlchemy models of the tables that a timeline needs."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.dialects.postgresql import ENUM
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """Tables of the schema public."""


class User(Base):
    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    status: Mapped[str] = mapped_column(ENUM("active", "inactive", "suspended", name="user_status", create_type=False))

    @property
    def display_name(self) -> str:
        return f"{self.first_name or ''} {self.last_name or ''}".strip()


class Conversation(Base):
    __tablename__ = "conversations"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    last_seq: Mapped[int]
    participants: Mapped[list["Participant"]] = relationship()


class Participant(Base):
    __tablename__ = "conversation_participants"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    role: Mapped[str | None]
    joined_at: Mapped[datetime | None]
    left_at: Mapped[datetime | None]
    last_read_seq: Mapped[int]
    user: Mapped[User] = relationship()


class Message(Base):
    __tablename__ = "messages"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id"))
    sender_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    seq: Mapped[int]
    type: Mapped[str] = mapped_column(ENUM("text", "file", "system", name="message_type", create_type=False))
    content: Mapped[str | None]
    reply_to_id: Mapped[UUID | None]
    client_message_id: Mapped[UUID | None]
    is_edited: Mapped[bool]
    edited_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    sender: Mapped[User] = relationship()
    reactions: Mapped[list["Reaction"]] = relationship()
    mentions: Mapped[list["Mention"]] = relationship()
    delivery_states: Mapped[list["DeliveryState"]] = relationship()


class Reaction(Base):
    __tablename__ = "message_reactions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id"))
    user_id: Mapped[UUID]
    emoji: Mapped[str] = mapped_column(String)


class Mention(Base):
    __tablename__ = "message_mentions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id"))
    mentioned_user_id: Mapped[UUID]


class DeliveryState(Base):
    __tablename__ = "message_delivery_states"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id"))
    channel: Mapped[str] = mapped_column(
        ENUM("in_app", "email", "push", name="message_delivery_channel", create_type=False)
    )
    status: Mapped[str] = mapped_column(
        ENUM("pending", "sent", "failed", name="message_delivery_status", create_type=False)
    )
