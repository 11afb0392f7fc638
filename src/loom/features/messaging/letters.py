"""What mail and devices say about messages, in the recipient's language."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel

from loom.delivery import Language, Parcel, Wording
from loom.delivery.letters import cut
from loom.providers.email.letter import Paragraph, Part, Quote, one_line

_TEXT_LENGTH = 2000
_MOST_TEXTS = 20


class Item(BaseModel):
    """One message of a parcel. `refusal` is why not to tell of it; `content` what its recipient may read."""

    delivery_id: UUID
    message_id: UUID
    seq: int
    sender_name: str | None
    refusal: str | None
    content: str | None = None


class MessageParcel(Parcel):
    """The messages of one conversation that one mail tells of, or the one message of a notice."""

    conversation_id: UUID
    title: str | None
    items: list[Item]


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences of one language; `{…}` are filled in."""

    subject: str
    subject_in: str
    subject_many: str
    subject_many_in: str
    wrote: str
    more: str
    open: str
    somebody: str
    hidden: str
    hidden_many: str


WORDS: dict[Language, Words] = {
    "en": Words(
        subject="New message from {sender}",
        subject_in="New message from {sender} in {title}",
        subject_many="{count} new messages from {sender}",
        subject_many_in="{count} new messages in {title}",
        wrote="{sender} wrote to you:",
        more="And {count} more.",
        open="Open the conversation",
        somebody="Somebody",
        hidden="You have a new message.",
        hidden_many="You have new messages.",
    ),
    "he": Words(
        subject="הודעה חדשה מאת {sender}",
        subject_in="הודעה חדשה מאת {sender} בשיחה {title}",
        subject_many="{count} הודעות חדשות מאת {sender}",
        subject_many_in="{count} הודעות חדשות בשיחה {title}",
        wrote="התקבלה הודעה מאת {sender}:",
        more="ועוד {count}.",
        open="לפתיחת השיחה",
        somebody="מישהו",
        hidden="מחכה לך הודעה חדשה.",
        hidden_many="מחכות לך הודעות חדשות.",
    ),
}


def wording(parcel: MessageParcel) -> Wording:
    """What a parcel says; of a message that is not to be told of, nothing."""
    words = WORDS[parcel.language]
    told = [item for item in parcel.items if item.refusal is None]
    senders = list(dict.fromkeys(one_line(item.sender_name or words.somebody) for item in told))
    title = one_line(parcel.title or "")
    hidden = words.hidden if len(told) == 1 else words.hidden_many
    fill = {"sender": ", ".join(senders), "title": title, "count": str(len(told))}
    if len(told) == 1:
        subject = words.subject_in if title else words.subject
    else:
        subject = words.subject_many_in if title else words.subject_many
    if parcel.hide_content:
        fill |= {"sender": words.somebody, "title": "", "content": hidden}
    else:
        fill["content"] = _in_text(told, words)
    latest = told[-1]
    return Wording(
        template="message",
        fill=fill,
        subject=subject.format(**fill),
        parts=_in_parts(told, words),
        notice_title=" · ".join(filter(None, [fill["sender"], title])),
        notice_body=latest.content or "",
        hidden=hidden,
        open=words.open,
        path=f"/conversations/{parcel.conversation_id}",
        thread=f"conversation-{parcel.conversation_id}",
        ids={
            "conversation_id": str(parcel.conversation_id),
            "message_id": str(latest.message_id),
            "seq": latest.seq,
        },
    )


def _in_parts(told: list[Item], words: Words) -> list[Part]:
    parts: list[Part] = []
    speaker: str | None = None
    for item in told[:_MOST_TEXTS]:
        sender = one_line(item.sender_name or words.somebody)
        if sender != speaker:
            parts.append(Paragraph(words.wrote.format(sender=sender)))
            speaker = sender
        parts.append(Quote(cut(item.content or "", _TEXT_LENGTH)))
    if len(told) > _MOST_TEXTS:
        parts.append(Paragraph(words.more.format(count=len(told) - _MOST_TEXTS)))
    return parts


def _in_text(told: list[Item], words: Words) -> str:
    """The same for an operator's template: the text alone where there is one, with names where there are several."""
    if len(told) == 1:
        return cut(told[0].content or "", _TEXT_LENGTH)
    return "\n\n".join(part.plain for part in _in_parts(told, words))
