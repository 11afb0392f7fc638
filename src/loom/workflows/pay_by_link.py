"""Paying by link: whoever holds a document's link pays at the gateway's own page, without an account.

The token is what allows it, and the database redeems it in the statement that acts; nothing here decides who may.
"""

from __future__ import annotations

from loom.core.errors import Conflict
from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.db.database import Database
from loom.features.billing.service import Billing
from loom.features.documents import queries
from loom.features.documents.schemas import Language

PAYING = Actor.service("pay a document by its link")


def pay_address(settings: Settings, token: str) -> str:
    """The page behind a link."""
    return f"{settings.base_url}/pay/{token}"


async def open_card_page(database: Database, settings: Settings, token: str, language: Language) -> str:
    """The address of the gateway's page, where what is open is paid. Two tabs get the same one.

    Raises 409 `invoice_not_open` where nothing is open, 409 `payment_in_progress` while money may be moving.
    """
    try:
        return await _card_page(database, settings, token, language)
    except Conflict as over:
        if over.code != "intent_closed":
            raise
        # The page from before is over. Where it was paid nothing is open, else there is a new one.
        return await _card_page(database, settings, token, language)


async def _card_page(database: Database, settings: Settings, token: str, language: Language) -> str:
    intent_id = await database.run(PAYING, lambda tx: queries.begin_payment_by_link(tx, token))
    # Both ways back take any form, and ask the gateway.
    back = f"{pay_address(settings, token)}/back"
    page = await Billing(database, settings).open_page(intent_id, success_url=back, cancel_url=back, locale=language)
    return page.url


async def ask_gateway(database: Database, settings: Settings, token: str) -> None:
    """What somebody who comes back says of a payment counts for nothing: the gateway is asked."""
    billing = Billing(database, settings)
    for payment in await queries.open_payments_by_link(database.reader(PAYING), token):
        await billing.check_intent(payment.id)
