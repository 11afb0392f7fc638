"""Around calls to gateways: the attempt is committed before, the outcome after, and no transaction is open between."""

from __future__ import annotations

import hashlib
import json
import secrets
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from loom.core.errors import AppError, Conflict, Invalid
from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.db.database import Database
from loom.features.billing import gateway_queries as gateways
from loom.features.billing.gateway_queries import RefundCall
from loom.providers.errors import RetryableError
from loom.providers.payments import (
    GatewayRefusedError,
    Hint,
    HostedPage,
    OutcomeUnknownError,
    PageWish,
    Payer,
    RefundOrder,
    SetupOrder,
    new_sandbox_key,
    open_gateway,
    webhook_reader,
)

INTENT_MOVED = "payment_intent_unexpected_state"
SENDING = Actor.service("call a payment gateway")
HEARING = Actor.service("apply what a payment gateway says")


class Billing:
    """What billing does with gateways. One for each request or job."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._db = database
        self._settings = settings

    # intents

    async def send_intent(self, intent_id: UUID) -> None:
        """Has the gateway make an intent that it does not know yet. If it can't now, the repair will."""
        call = await gateways.intent_call(self._db.reader(SENDING), intent_id)
        if call.channel == "hosted" or call.provider_intent_id is not None or call.status in ("succeeded", "canceled"):
            return
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                # The same key however often: whoever asks again gets the same intent.
                said = await gateway.create_intent(call.order, f"intent:{intent_id}")
        except (GatewayRefusedError, RetryableError) as exc:
            await self._unknown(intent_id, exc)
            return
        await self._db.run(HEARING, lambda tx: gateways.record_sent(tx, intent_id, said))

    def check_way_back(self, *urls: str) -> None:
        """Raises 422 `way_back_unknown` unless each is on this server or a front end that it is configured for."""
        known = {
            _origin(url)
            for url in (self._settings.base_url, self._settings.app_url, *self._settings.cors_origins)
            if url
        }
        for url in urls:
            if _origin(url) not in known:
                raise Invalid(
                    "way_back_unknown", f"{_origin(url)} is not an address that people are sent to from here.",
                    "Use this server's address, or set LOOM_APP_URL or LOOM_CORS_ORIGINS.",
                )  # fmt: skip

    async def open_page(self, intent_id: UUID, *, success_url: str, cancel_url: str, locale: str) -> HostedPage:
        """The gateway's page for an intent of the channel `hosted`; the same one while it holds.

        Raises 503 `gateway_unavailable` where the gateway gives none now, 409 `intent_closed` where it is over.
        """
        call = await gateways.intent_call(self._db.reader(SENDING), intent_id)
        if call.status in ("succeeded", "canceled"):
            raise Conflict("intent_closed", "This intent is over.", "Begin another.")
        if call.page_url is not None and call.provider_checkout_id is not None:
            return HostedPage(call.provider_checkout_id, call.page_url, call.page_expires_at)
        wish = PageWish(success_url, cancel_url, "", locale, call.document_number or "Loom")
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                page = await gateway.open_page(call.order, wish, f"page:{intent_id}")
        except (GatewayRefusedError, RetryableError) as exc:
            await self._unknown(intent_id, exc)
            raise _unavailable() from exc
        await self._db.run(HEARING, lambda tx: gateways.record_page(tx, intent_id, page))
        return page

    async def send_attempt(self, payment_id: UUID, card_token: str | None) -> None:
        """Charges. What happened is on record afterwards: paid, declined, refused, or unknown and looked up later."""
        call = await gateways.attempt_call(self._db.reader(SENDING), payment_id)
        payer = Payer(card_token=card_token, method_id=call.provider_method_id)
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                said = await gateway.confirm(call.order, payer, call.key)
        except OutcomeUnknownError as exc:
            await self._unknown(call.intent_id, exc)
            return
        except (GatewayRefusedError, RetryableError) as exc:
            code, message = exc.reason, str(exc)
            if code == INTENT_MOVED:
                # It moved without us, perhaps by the payer's own hand: what it says of itself counts.
                await self.check_intent(call.intent_id)
                return
            await self._db.run(HEARING, lambda tx: gateways.record_refused(tx, payment_id, code, message))
            return
        await self._db.run(HEARING, lambda tx: gateways.record_outcome(tx, call.intent_id, said, answered=True))

    async def check_intent(self, intent_id: UUID) -> str:
        """Asks the gateway how an intent stands, and believes it. What came of it, in a word."""
        call = await gateways.intent_call(self._db.reader(SENDING), intent_id)
        if call.channel == "direct" and call.provider_intent_id is None:
            await self.send_intent(intent_id)
            return "sent"
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                said = await gateway.look_up_intent(call.order)
        except (GatewayRefusedError, RetryableError) as exc:
            await self._unknown(intent_id, exc)
            return exc.reason
        if said is None:
            await self._unknown(intent_id, GatewayRefusedError("The gateway does not know of the payment."))
            return "unknown_there"
        return await self._db.run(HEARING, lambda tx: gateways.record_outcome(tx, intent_id, said))

    async def cancel_at_gateway(self, intent_id: UUID) -> None:
        """Tells the gateway that an intent was given up. Where it was paid meanwhile, the money is booked."""
        call = await gateways.intent_call(self._db.reader(SENDING), intent_id)
        if call.provider_intent_id is None and call.provider_checkout_id is None:
            return
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                await gateway.cancel(call.order, f"cancel:{intent_id}")
        except GatewayRefusedError:
            await self.check_intent(intent_id)

    async def _unknown(self, intent_id: UUID, exc: Exception) -> None:
        problem = str(exc)
        await self._db.run(HEARING, lambda tx: gateways.record_unknown(tx, intent_id, problem))

    # refunds

    async def send_refund(self, refund_id: UUID) -> None:
        """Sends a refund, or finds out how one stands that was sent. Nothing is sent twice under two keys."""
        call = await gateways.refund_call(self._db.reader(SENDING), refund_id)
        if call is None or call.status in ("succeeded", "failed"):
            return
        repeated = call.status == "processing"
        if call.provider_refund_id is None and not await self._db.run(
            SENDING, lambda tx: gateways.begin_refund(tx, refund_id)
        ):
            return
        try:
            news = await self._refund_news(call, repeated=repeated)
        except GatewayRefusedError as exc:
            news = {"status": "failed", "failure_reason": exc.reason}
        except RetryableError:
            # begin_refund has put down when to look again.
            return
        await self._db.run(HEARING, lambda tx: gateways.record_refund(tx, refund_id, news))

    async def _refund_news(self, call: RefundCall, *, repeated: bool) -> dict[str, object]:
        async with open_gateway(call.credentials, self._settings) as gateway:
            found = None
            if repeated or call.provider_refund_id is not None:
                found = await gateway.look_up_refund(call.order)
            if found is None:
                found = await gateway.refund(call.order, f"refund:{call.id}")
            return found.news()

    # events

    async def handle_event(self, event_id: UUID) -> None:
        """Looks up what an event of the inbox speaks of. Doing it again, or at the same time, changes nothing more."""
        stored = await gateways.stored_event(self._db.reader(HEARING), event_id)
        reader = webhook_reader(stored.provider) if stored is not None else None
        if stored is None or reader is None or stored.status in ("handled", "ignored"):
            return
        hint = reader.stored(json.loads(stored.payload)).hint
        if hint is None:
            await self._db.run(HEARING, lambda tx: gateways.finish_event(tx, event_id, "ignored", "not followed"))
            return
        try:
            outcome = await self._follow(stored.account_id, hint)
        except AppError as exc:
            if exc.status >= 500 or exc.code == "busy":
                raise
            problem = f"{exc.code}: {exc.detail}"
            await self._db.run(HEARING, lambda tx: gateways.finish_event(tx, event_id, "failed", None, problem))
            return
        await self._db.run(HEARING, lambda tx: gateways.finish_event(tx, event_id, "handled", outcome))

    async def _follow(self, account_id: UUID, hint: Hint) -> str:
        """The event itself is never believed: it is a reason to look, no more."""
        if hint.kind in ("intent", "checkout"):
            intent_id = await gateways.find_intent(self._db.reader(HEARING), account_id, hint)
            return "unknown_intent" if intent_id is None else await self.check_intent(intent_id)
        if hint.kind == "refund":
            return await self._follow_refund(account_id, hint)
        return "not followed"

    async def _follow_refund(self, account_id: UUID, hint: Hint) -> str:
        account = await gateways.account_call(self._db.reader(SENDING), account_id)
        order = RefundOrder(hint.reference or "", 0, "", hint.parent_id or "", provider_refund_id=hint.provider_id)
        async with open_gateway(account.credentials, self._settings) as gateway:
            said = await gateway.look_up_refund(order)
        if said is None:
            return "unknown_there"
        return await self._db.run(HEARING, lambda tx: gateways.record_refund_news(tx, account_id, said))

    async def repair(self, limit: int = 50) -> int:
        """Asks about everything that is due; how many there were."""
        due = await self._db.run(SENDING, lambda tx: gateways.take_due_checks(tx, limit))
        act = {"intent": self.check_intent, "refund": self.send_refund, "event": self.handle_event}
        for one in due:
            await act[one.kind](one.id)
        return len(due)

    # accounts and cards

    def new_key(self, provider: str) -> str:
        """A key for a new account at a gateway that makes them by itself."""
        if provider != "sandbox" or self._settings.sandbox_url is None:
            raise Conflict("gateway_unavailable", "This server has no connection to that gateway.")
        return new_sandbox_key()

    async def set_webhook(self, account_id: UUID, token: str) -> None:
        """Tells the gateway where an account's events go, and keeps what it will sign them with."""
        call = await gateways.account_call(self._db.reader(SENDING), account_id)
        url = f"{self._settings.base_url}/v1/webhooks/{call.provider}/{token}"
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                secret = await gateway.register_webhook(url)
        except (GatewayRefusedError, RetryableError) as exc:
            raise _unavailable() from exc
        await self._db.run(HEARING, lambda tx: gateways.set_webhook_secret(tx, account_id, secret))

    async def save_method(
        self, user_id: UUID, account_id: UUID, *, card_token: str, is_default: bool, key: str | None
    ) -> UUID:
        """Keeps a card at the gateway, and what it is recognised by here. Raises 422 `card_refused`."""
        call = await gateways.account_call(self._db.reader(SENDING), account_id)
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                customer = await gateway.customer(str(user_id), f"customer:{user_id}")
                order = SetupOrder(key or str(uuid4()), str(user_id), "ILS", customer_id=customer)
                said = await gateway.save_method(order, card_token, f"method:{user_id}:{order.reference}")
        except GatewayRefusedError as exc:
            raise AppError("card_refused", 422, str(exc), extra={"reason": exc.reason}) from exc
        except RetryableError as exc:
            raise _unavailable() from exc
        saved = said.saved
        if saved is None:
            raise AppError("card_refused", 422, "The card's issuer wants to ask its owner first.")
        return await self._db.run(
            HEARING,
            lambda tx: gateways.save_method(
                tx, user_id=user_id, account_id=account_id, provider=call.provider, saved=saved, is_default=is_default
            ),
        )

    async def detach_at_gateway(self, method_id: UUID) -> None:
        """Has the gateway forget a card that its owner removed."""
        call = await gateways.method_call(self._db.reader(SENDING), method_id)
        if call is None or call.provider_method_id is None:
            return
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                await gateway.detach_method(call.provider_method_id)
        except GatewayRefusedError:
            # Gone there already.
            return


def new_webhook_token() -> tuple[str, str]:
    """A token for a webhook's address, and the hash that is kept of it."""
    token = secrets.token_urlsafe(24)
    return token, hash_webhook_token(token)


def hash_webhook_token(token: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _unavailable() -> AppError:
    return AppError("gateway_unavailable", 503, "The gateway can't be reached now.", "Try again shortly.")
