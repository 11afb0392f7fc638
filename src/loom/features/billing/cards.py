"""Kept cards: the wish and its consent are committed before the gateway is asked, then looked up until it answers."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from loom.core.errors import AppError
from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.billing import gateway_queries as gateways
from loom.features.billing.gateway_queries import SetupCall
from loom.features.billing.service import HEARING, SENDING, notify_url, unanswered
from loom.providers.errors import RetryableError
from loom.providers.payments import (
    GatewayRefusedError,
    HostedPage,
    PageWish,
    SetupOrder,
    SetupSnapshot,
    open_gateway,
)

_PAGE_LIFE = timedelta(hours=23)
GIVE_UP_AFTER = 2
"""Looks after which a setup that the gateway never heard of is given up."""


class Cards:
    """What billing does at gateways about cards that are kept."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._db = database
        self._settings = settings

    async def send_setup(self, setup_id: UUID, card_token: str) -> None:
        """Has the gateway keep a card. Raises 422 `card_refused`, or 503 while the answer is looked up."""
        call = await gateways.setup_call(self._db.reader(SENDING), setup_id)
        try:
            order = await self._with_customer(call)
            async with open_gateway(call.credentials, self._settings) as gateway:
                said = await gateway.save_method(order, card_token, f"setup:{setup_id}")
        except GatewayRefusedError as exc:
            said = SetupSnapshot(None, "canceled", "refused", error_code=exc.reason, error_message=str(exc))
        except RetryableError as exc:
            # The janitor looks it up: the row says when.
            raise unanswered(exc) from exc
        await self._db.run(HEARING, lambda tx: gateways.record_setup(tx, setup_id, said))
        if said.status != "succeeded":
            raise AppError(
                "card_refused", 422, said.error_message or "The card's issuer wants to ask its owner first.",
                "Use the gateway's own page.", extra={"reason": said.error_code or "action_needed"},
            )  # fmt: skip

    async def open_page(self, setup_id: UUID, *, success_url: str, cancel_url: str, locale: str) -> HostedPage:
        """The gateway's page on which a person has a card kept."""
        call = await gateways.setup_call(self._db.reader(SENDING), setup_id)
        try:
            order = await self._with_customer(call)
            notify = notify_url(self._settings, call, str(setup_id))
            # Asked again, the same is sent: its key stands for one wish.
            until = call.created_at + _PAGE_LIFE
            wish = PageWish(success_url, cancel_url, notify, locale, "Loom", until, customer_id=order.customer_id)
            async with open_gateway(call.credentials, self._settings) as gateway:
                page = await gateway.open_setup_page(order, wish, f"setup-page:{setup_id}")
        except (GatewayRefusedError, RetryableError) as exc:
            raise unanswered(exc) from exc
        await self._db.run(
            HEARING, lambda tx: gateways.record_setup_sent(tx, setup_id, order.customer_id, page.provider_checkout_id)
        )
        return page

    async def check_setup(self, setup_id: UUID) -> str:
        """Asks the gateway how the keeping of a card stands, and believes it."""
        call = await gateways.setup_call(self._db.reader(SENDING), setup_id)
        if call.payment_method_id is not None:
            return "unchanged"
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                said = (
                    await gateway.look_up_setup(call.order) if call.customer_id or call.provider_checkout_id else None
                )
        except (GatewayRefusedError, RetryableError) as exc:
            said = SetupSnapshot(None, call.status, "unknown", error_message=str(exc))
        if said is None:
            # Nobody knows of it there: a token is not kept here, so its owner has to give the card again.
            status = "canceled" if call.check_attempts >= GIVE_UP_AFTER else call.status
            said = SetupSnapshot(None, status, "unknown_there", error_code="not_received")
        return await self._db.run(HEARING, lambda tx: gateways.record_setup(tx, setup_id, said))

    async def put_off(self, setup_id: UUID, problem: str) -> None:
        """A look that failed before anything was answered: the next one comes later."""
        call = await gateways.setup_call(self._db.reader(SENDING), setup_id)
        said = SetupSnapshot(None, call.status, "unknown", error_message=problem)
        await self._db.run(HEARING, lambda tx: gateways.record_setup(tx, setup_id, said))

    async def detach_at_gateway(self, method_id: UUID) -> None:
        """Has the gateway forget a card that its owner removed. One that is gone there already is no error."""
        call = await gateways.method_call(self._db.reader(SENDING), method_id)
        if call is None or call.provider_method_id is None:
            return
        async with open_gateway(call.credentials, self._settings) as gateway:
            await gateway.detach_method(call.provider_method_id)

    async def _with_customer(self, call: SetupCall) -> SetupOrder:
        if call.customer_id is not None:
            return call.order
        async with open_gateway(call.credentials, self._settings) as gateway:
            customer = await gateway.customer(str(call.user_id), f"customer:{call.account_id}:{call.user_id}")
        if customer is not None:
            await self._db.run(HEARING, lambda tx: gateways.record_setup_sent(tx, call.id, customer, None))
        return call.order_for(customer)
