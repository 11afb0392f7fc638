"""What mail and devices say of a notice."""

from __future__ import annotations

from uuid import UUID

from loom.delivery import Language, Parcel, Wording
from loom.providers.email.letter import Paragraph

_OPEN: dict[Language, str] = {"en": "Open", "he": "לפתיחה"}
_HIDDEN: dict[Language, str] = {"en": "There is something new for you.", "he": "מחכה לך משהו חדש."}


class NoticeParcel(Parcel):
    """A notice to be sent on a channel."""

    notification_id: UUID
    title: str
    message: str
    action_url: str | None


def wording(parcel: NoticeParcel) -> Wording:
    """The notice's own words; where no content is wanted, only that there is something."""
    hidden = _HIDDEN[parcel.language]
    return Wording(
        template="notice",
        fill={
            "title": hidden if parcel.hide_content else parcel.title,
            "message": hidden if parcel.hide_content else parcel.message,
        },
        subject=parcel.title,
        parts=[Paragraph(parcel.message)],
        notice_title=parcel.title,
        notice_body=parcel.message,
        hidden=hidden,
        open=_OPEN[parcel.language],
        path=parcel.action_url,
        ids={"notification_id": str(parcel.notification_id)},
    )
