"""Around calls to gateways: the attempt is committed before, the outcome after, and no transaction is open between."""

from __future__ import annotations

import hashlib
import json
import secrets
from uuid import UUID, uuid4

from loom.core.errors import AppError
from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.db.database import Database
from loom.features.billing import gateway_queries as gateways
from loom.features.billing.gateway_queries import RefundCall
from loom.providers.errors import RetryableError
from loom.providers.payments import (
    Credentials,
    GatewayEvent,
    GatewayRefusedError,
    IntentSnapshot,
    OpenedAccount,
    OutcomeUnknownError,
    open_gateway,
    open_new_account,
    read_stored_event,
)

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
        if call.provider_intent_id is not None or call.status in ("succeeded", "canceled"):
            return
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                said = await gateway.create_intent(
                    amount_cents=call.amount_cents,
                    currency=call.currency,
                    reference=str(intent_id),
                    # The same key however often: whoever asks again gets the same intent.
                    key=f"intent:{intent_id}",
                )
        except (GatewayRefusedError, RetryableError) as exc:
            problem = str(exc)
            await self._db.run(HEARING, lambda tx: gateways.record_unknown(tx, intent_id, problem))
            return
        await self._db.run(HEARING, lambda tx: gateways.record_sent(tx, intent_id, said))

    async def send_attempt(self, payment_id: UUID, card_token: str | None) -> None:
        """Charges. What happened is on record afterwards: paid, declined, refused, or unknown and looked up later."""
        call = await gateways.attempt_call(self._db.reader(SENDING), payment_id)
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                said = await gateway.confirm(
                    call.provider_intent_id, card_token=card_token, method_id=call.provider_method_id, key=call.key
                )
        except OutcomeUnknownError as exc:
            lost = str(exc)
            await self._db.run(HEARING, lambda tx: gateways.record_unknown(tx, call.intent_id, lost))
            return
        except (GatewayRefusedError, RetryableError) as exc:
            code, message = exc.reason, str(exc)
            if code == "intent_state":
                # It moved without us, perhaps by the payer's own hand: what it says of itself counts.
                await self.check_intent(call.intent_id)
                return
            await self._db.run(HEARING, lambda tx: gateways.record_refused(tx, payment_id, code, message))
            return
        await self._db.run(HEARING, lambda tx: gateways.record_outcome(tx, call.intent_id, said))

    async def check_intent(self, intent_id: UUID) -> None:
        """Asks the gateway how an intent stands, and believes it."""
        call = await gateways.intent_call(self._db.reader(SENDING), intent_id)
        if call.provider_intent_id is None:
            await self.send_intent(intent_id)
            return
        try:
            said = await self._look_up(call.credentials, call.provider_intent_id)
        except (GatewayRefusedError, RetryableError) as exc:
            problem = str(exc)
            await self._db.run(HEARING, lambda tx: gateways.record_unknown(tx, intent_id, problem))
            return
        await self._db.run(HEARING, lambda tx: gateways.record_outcome(tx, intent_id, said, looked_up=True))

    async def cancel_at_gateway(self, intent_id: UUID) -> None:
        """Tells the gateway that an intent was given up. Where it was paid meanwhile, the money is booked."""
        call = await gateways.intent_call(self._db.reader(SENDING), intent_id)
        if call.provider_intent_id is None:
            return
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                await gateway.cancel(call.provider_intent_id, key=f"cancel:{intent_id}")
        except GatewayRefusedError:
            await self.check_intent(intent_id)

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
            if call.provider_refund_id is not None:
                return (await gateway.look_up_refund(call.provider_refund_id)).news()
            found = await gateway.find_refund(str(call.id)) if repeated else None
            if found is None:
                found = await gateway.refund(
                    charge_id=call.charge_id,
                    amount_cents=call.amount_cents,
                    reference=str(call.id),
                    key=f"refund:{call.id}",
                )
            return found.news()

    # events

    async def handle_event(self, event_id: UUID) -> None:
        """Applies an event of the inbox. Doing it again, or at the same time, changes nothing more."""
        stored = await gateways.stored_event(self._db.reader(HEARING), event_id)
        if stored is None or stored.status in ("handled", "ignored"):
            return
        event = read_stored_event(stored.provider, json.loads(stored.payload))
        try:
            if event is None or event.subject is None:
                status, outcome = "ignored", "not followed"
            else:
                status, outcome = "handled", await self._apply(stored.account_id, event)
        except AppError as exc:
            if exc.status >= 500 or exc.code == "busy":
                raise
            problem = f"{exc.code}: {exc.detail}"
            await self._db.run(HEARING, lambda tx: gateways.finish_event(tx, event_id, "failed", None, problem))
            return
        await self._db.run(HEARING, lambda tx: gateways.finish_event(tx, event_id, status, outcome))

    async def _apply(self, account_id: UUID, event: GatewayEvent) -> str:
        subject = event.subject
        if not isinstance(subject, IntentSnapshot):
            assert subject is not None  # noqa: S101 - the caller has looked
            return await self._db.run(HEARING, lambda tx: gateways.record_refund_news(tx, account_id, subject))
        intent_id = await gateways.find_intent(self._db.reader(HEARING), account_id, subject)
        if intent_id is None:
            return "unknown_intent"
        outcome = await self._db.run(HEARING, lambda tx: gateways.record_outcome(tx, intent_id, subject))
        if outcome == "stale":
            # It would move the state backwards: only the gateway itself, asked now, is believed in that.
            await self.check_intent(intent_id)
            return "looked up"
        return outcome

    async def repair(self, limit: int = 50) -> int:
        """Asks about everything that is due; how many there were."""
        due = await self._db.run(SENDING, lambda tx: gateways.take_due_checks(tx, limit))
        act = {"intent": self.check_intent, "refund": self.send_refund, "event": self.handle_event}
        for one in due:
            await act[one.kind](one.id)
        return len(due)

    # accounts and cards

    async def open_account(self, provider: str, name: str) -> OpenedAccount:
        """A new account at a gateway that makes them by itself."""
        try:
            return await open_new_account(provider, name, self._settings)
        except (GatewayRefusedError, RetryableError) as exc:
            raise _unavailable() from exc

    async def set_webhook(self, account_id: UUID, token: str) -> None:
        """Tells the gateway where an account's events go."""
        call = await gateways.account_call(self._db.reader(SENDING), account_id)
        url = f"{self._settings.base_url}/v1/webhooks/{call.provider}/{token}"
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                await gateway.set_webhook(url)
        except (GatewayRefusedError, RetryableError) as exc:
            raise _unavailable() from exc

    async def save_method(
        self, user_id: UUID, account_id: UUID, *, card_token: str, is_default: bool, key: str | None
    ) -> UUID:
        """Keeps a card at the gateway, and what it is recognised by here. Raises 422 `card_refused`."""
        call = await gateways.account_call(self._db.reader(SENDING), account_id)
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                saved = await gateway.save_method(
                    card_token=card_token, reference=str(user_id), key=f"method:{user_id}:{key or uuid4()}"
                )
        except GatewayRefusedError as exc:
            raise AppError("card_refused", 422, str(exc), extra={"reason": exc.reason}) from exc
        except RetryableError as exc:
            raise _unavailable() from exc
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

    async def _look_up(self, credentials: Credentials, provider_intent_id: str) -> IntentSnapshot:
        async with open_gateway(credentials, self._settings) as gateway:
            return await gateway.look_up_intent(provider_intent_id)


def new_webhook_token() -> tuple[str, str]:
    """A token for a webhook's address, and the hash that is kept of it."""
    token = secrets.token_urlsafe(24)
    return token, hash_webhook_token(token)


def hash_webhook_token(token: str) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def _unavailable() -> AppError:
    return AppError("gateway_unavailable", 503, "The gateway can't be reached now.", "Try again shortly.")
