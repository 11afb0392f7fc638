"""Notices on their way by mail and to devices."""

from __future__ import annotations

from collections.abc import Sequence
from email.message import EmailMessage

from loom.db.database import Tx
from loom.db.executor import Executor
from loom.delivery import Courier, Lease, Outcome, as_mail, as_notice
from loom.features.notifications import queries
from loom.features.notifications.letters import NoticeParcel, wording


class NoticeCourier(Courier[NoticeParcel]):
    """Carries notices out."""

    async def take(self, tx: Tx) -> Sequence[Lease]:
        """Each by itself."""
        return await queries.lease_notices(tx, self.pace.batch, self.pace.lease)

    async def open(self, q: Executor, lease: Lease, margin: float) -> NoticeParcel | None:
        """The notice as it was written, in the person's language."""
        return await queries.load_notice(q, lease, margin)

    async def finish(self, tx: Tx, parcel: NoticeParcel, outcome: Outcome) -> bool:
        """One row."""
        return await queries.finish_notice(tx, parcel, outcome)

    def mail(self, parcel: NoticeParcel) -> EmailMessage:
        """One mail for one notice."""
        return as_mail(parcel, wording(parcel), self.settings, self.templates)

    def notice(self, parcel: NoticeParcel) -> bytes:
        """The same on a device."""
        return as_notice(parcel, wording(parcel), "notification", self.settings)
