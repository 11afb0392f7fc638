"""Messages on their way: what waits for a person in one conversation as one mail, each by itself to their devices."""

from __future__ import annotations

from collections.abc import Sequence
from email.message import EmailMessage

from loom.db.actor import Actor
from loom.db.database import Tx
from loom.db.executor import Executor
from loom.delivery import Courier, Lease, Outcome, as_mail, as_notice
from loom.features.messaging import delivery_queries as queries
from loom.features.messaging.letters import MessageParcel, wording


class MessageCourier(Courier[MessageParcel]):
    """Carries message deliveries out."""

    async def take(self, tx: Tx) -> Sequence[Lease]:
        """Mail waits a little, so that what follows goes into the same one."""
        return await queries.lease_deliveries(
            tx, self.pace.batch, self.pace.lease, self.settings.missed_message_seconds
        )

    async def open(self, q: Executor, lease: Lease, margin: float) -> MessageParcel | None:
        """The messages, read as the recipient: what the policies hide from them by now goes to nobody."""
        parcel = await queries.load_parcel(q, lease, margin)
        if parcel is None:
            return None
        reader = self.database.reader(Actor.user(parcel.recipient_id))
        texts = await queries.get_contents(reader, [item.message_id for item in parcel.items if item.refusal is None])
        for item in parcel.items:
            item.content = texts.get(item.message_id)
            if item.refusal is None and item.content is None:
                item.refusal = "left"
        if all(item.refusal for item in parcel.items):
            parcel.refusal = parcel.items[0].refusal
        return parcel

    async def finish(self, tx: Tx, parcel: MessageParcel, outcome: Outcome) -> bool:
        """What was left out of a mail has its own reason; the rest has the mail's outcome."""
        return await queries.finish_parcel(tx, parcel, outcome)

    def mail(self, parcel: MessageParcel) -> EmailMessage:
        """One mail about all of them."""
        return as_mail(parcel, wording(parcel), self.settings, self.templates)

    def notice(self, parcel: MessageParcel) -> bytes:
        """One message on a device."""
        return as_notice(parcel, wording(parcel), "message", self.settings)
