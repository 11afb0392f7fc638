"""What billing asks of the database as the service, around calls to a gateway."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.providers.payments import (
    Credentials,
    GatewayEvent,
    Hint,
    IntentSnapshot,
    Order,
    Payer,
    RefundOrder,
    RefundSnapshot,
    SavedMethod,
    SetupOrder,
    SetupSnapshot,
)

SQL = load_queries("loom.features.billing", "gateway_queries.sql")


class Call(BaseModel):
    """What every call to a gateway needs."""

    id: UUID
    provider: str
    api_key: str | None
    webhook_secret: str | None = None
    webhook_token: str | None = None
    external_id: str | None = None
    public_key: str | None = None
    options: dict[str, Any] = {}

    @property
    def credentials(self) -> Credentials:
        """What opens the account."""
        return Credentials(self.provider, self.api_key, self.external_id, self.public_key, self.options)


class IntentCall(Call):
    """An intent and its account."""

    amount_cents: int
    currency: str
    status: str
    channel: Literal["direct", "hosted"]
    capture_method: Literal["automatic", "manual"]
    provider_intent_id: str | None
    provider_checkout_id: str | None
    page_url: str | None
    page_expires_at: datetime | None
    last_charge_id: str | None
    capture_requested_at: datetime | None
    capture_amount_cents: int | None
    cancel_requested_at: datetime | None
    check_attempts: int
    title: str | None

    @property
    def order(self) -> Order:
        """As gateways take it."""
        return Order(
            reference=str(self.id),
            amount_cents=self.amount_cents,
            currency=self.currency,
            capture=self.capture_method,
            provider_intent_id=self.provider_intent_id,
            provider_checkout_id=self.provider_checkout_id,
            charge_id=self.last_charge_id,
        )


class AttemptCall(Call):
    """An attempt, the intent that it belongs to, and the saved card if one is used."""

    intent_id: UUID
    key: str
    amount_cents: int
    currency: str
    provider_intent_id: str
    capture_method: Literal["automatic", "manual"]
    off_session: bool
    provider_method_id: str | None
    provider_customer_id: str | None
    exp_month: int | None
    exp_year: int | None

    @property
    def order(self) -> Order:
        """As gateways take it."""
        return Order(
            str(self.intent_id), self.amount_cents, self.currency, self.capture_method, self.provider_intent_id
        )

    def payer(self, card_token: str | None) -> Payer:
        """What is charged."""
        return Payer(
            card_token,
            self.provider_method_id,
            self.provider_customer_id,
            self.exp_month,
            self.exp_year,
            self.off_session,
        )


class RefundCall(Call):
    """A refund and the charge that it gives back."""

    amount_cents: int
    currency: str
    status: str
    provider_refund_id: str | None
    charge_id: str
    check_attempts: int

    @property
    def order(self) -> RefundOrder:
        """As gateways take it."""
        return RefundOrder(
            str(self.id), self.amount_cents, self.currency, self.charge_id, provider_refund_id=self.provider_refund_id
        )


class MethodCall(Call):
    """A saved card."""

    provider_method_id: str | None


class SetupCall(Call):
    """A wish to keep a card."""

    user_id: UUID
    account_id: UUID
    status: Literal["requires_payment_method", "requires_confirmation", "processing", "succeeded", "canceled"]
    currency: str
    customer_id: str | None
    provider_setup_id: str | None
    provider_checkout_id: str | None
    payment_method_id: UUID | None
    check_attempts: int
    created_at: datetime

    @property
    def order(self) -> SetupOrder:
        """As gateways take it."""
        return self.order_for(self.customer_id)

    def order_for(self, customer_id: str | None) -> SetupOrder:
        """The same for a customer that the gateway has just named."""
        return SetupOrder(
            str(self.id),
            str(self.user_id),
            self.currency,
            customer_id,
            self.provider_setup_id,
            self.provider_checkout_id,
        )


class WebhookAccount(BaseModel):
    """Who a webhook's address belongs to, and what its signature is checked with."""

    id: UUID
    provider: str
    secrets: list[str]


class StoredEvent(BaseModel):
    """An event of the inbox."""

    id: UUID
    account_id: UUID
    provider: str
    payload: str
    status: Literal["received", "handled", "ignored", "failed"]


class DueCheck(BaseModel):
    """Something that the gateway has to be asked about, or an event that nobody handled."""

    kind: Literal["intent", "refund", "event", "setup"]
    id: UUID


class DueCharge(BaseModel):
    """A seat that is to be charged by itself."""

    attendee_id: UUID


async def intent_call(q: Executor, intent_id: UUID) -> IntentCall:
    """What is needed to make or look up an intent."""
    return await q.fetch_one(SQL["service_intent_call"], {"id": intent_id}, IntentCall)


async def attempt_call(q: Executor, payment_id: UUID) -> AttemptCall:
    """What is needed to send an attempt."""
    return await q.fetch_one(SQL["service_attempt_call"], {"id": payment_id}, AttemptCall)


async def refund_call(q: Executor, refund_id: UUID) -> RefundCall | None:
    """What is needed to send or look up a refund; None for one that no gateway knows of."""
    return await q.find_one(SQL["service_refund_call"], {"id": refund_id}, RefundCall)


async def account_call(q: Executor, account_id: UUID) -> Call:
    """What opens an account."""
    return await q.fetch_one(SQL["service_account_call"], {"id": account_id}, Call)


async def set_webhook_secret(q: Executor, account_id: UUID, secret: str | None) -> None:
    """What the gateway will sign events with."""
    await q.fetch_value(SQL["service_set_webhook_secret"], {"id": account_id, "secret": secret})


async def method_call(q: Executor, method_id: UUID) -> MethodCall | None:
    """What is needed to forget a card."""
    return await q.find_one(SQL["service_method_call"], {"id": method_id}, MethodCall)


async def record_sent(q: Executor, intent_id: UUID, said: IntentSnapshot) -> None:
    """The gateway has made the intent."""
    await q.fetch_value(
        SQL["service_record_intent_sent"],
        {
            "id": intent_id,
            "provider_intent_id": said.provider_intent_id,
            "client_secret": said.client_secret,
            "provider_status": said.provider_status,
        },
    )


async def record_unknown(q: Executor, intent_id: UUID, message: str, reason: str) -> None:
    """The answer was lost."""
    told = {"id": intent_id, "message": message, "reason": reason}
    await q.fetch_value(SQL["service_record_intent_unknown"], told)


async def record_outcome(q: Executor, intent_id: UUID, said: IntentSnapshot, *, answered: bool = False) -> str:
    """Applies what the gateway says of an intent: applied, unchanged, wait or incident.

    `answered`: it is the answer to the call that the intent waits for, so nothing is still on its way.
    """
    snapshot = said.news() | ({"answered": True} if answered else {})
    news = {"id": intent_id, "snapshot": json.dumps(snapshot), "looked_up": True}
    return await q.fetch_value(SQL["service_record_intent_outcome"], news)


async def record_refused(q: Executor, payment_id: UUID, code: str, message: str) -> None:
    """The gateway certainly did not take the attempt."""
    await q.fetch_value(SQL["service_record_attempt_refused"], {"id": payment_id, "code": code, "message": message})


async def find_intent(q: Executor, account_id: UUID, hint: Hint) -> UUID | None:
    """Our intent behind the gateway's, or behind its page."""
    named = {"account_id": account_id, "provider_id": hint.provider_id, "reference": hint.reference}
    return await q.fetch_value(SQL["service_find_intent"], named)


async def begin_consented_attempt(q: Executor, intent_id: UUID) -> UUID:
    """The pending payment of an attempt with the card that the intent names."""
    return await q.fetch_value(SQL["service_begin_consented_attempt"], {"id": intent_id})


async def take_seat_charges(q: Executor, limit: int) -> list[DueCharge]:
    """Seats that are to be charged by themselves now; nobody else gets the same for ten minutes."""
    return await q.fetch_all(SQL["service_take_seat_charges"], {"limit": limit}, DueCharge)


async def begin_seat_charge(q: Executor, attendee_id: UUID) -> UUID | None:
    """The intent of a seat that is billed and charged by itself; None where nothing is to be charged."""
    return await q.fetch_value(SQL["service_begin_seat_charge"], {"attendee_id": attendee_id})


async def begin_seat_attempt(q: Executor, attendee_id: UUID) -> UUID | None:
    """The pending payment of the one attempt; None where there was one, or the gateway does not know the intent."""
    return await q.fetch_value(SQL["service_begin_seat_attempt"], {"attendee_id": attendee_id})


async def begin_refund(q: Executor, refund_id: UUID) -> bool:
    """True for the one caller that may send the refund now."""
    return await q.fetch_value(SQL["service_begin_refund_call"], {"id": refund_id})


async def record_refund_unknown(q: Executor, refund_id: UUID, message: str, reason: str) -> None:
    """The answer was lost, or says what nobody knows."""
    told = {"id": refund_id, "message": message, "reason": reason}
    await q.fetch_value(SQL["service_record_refund_unknown"], told)


async def record_refund(q: Executor, refund_id: UUID, news: dict[str, Any]) -> str:
    """Applies what the gateway says of a refund: applied or unchanged."""
    return await q.fetch_value(SQL["service_record_refund_outcome"], {"id": refund_id, "snapshot": json.dumps(news)})


async def record_refund_news(q: Executor, account_id: UUID, said: RefundSnapshot) -> str:
    """Applies news of a refund that may not be one of ours yet: applied, unchanged or unknown_payment."""
    return await q.fetch_value(
        SQL["service_record_refund_news"], {"account_id": account_id, "snapshot": json.dumps(said.news())}
    )


async def webhook_account(q: Executor, provider: str, token_hash: str) -> WebhookAccount | None:
    """Whose address it is; None where no secret is configured either."""
    return await q.find_one(
        SQL["service_webhook_account"], {"provider": provider, "token_hash": token_hash}, WebhookAccount
    )


async def receive(q: Executor, account_id: UUID, event: GatewayEvent) -> UUID:
    """Keeps an event and has it handled, once."""
    occurred_at: datetime | None = event.occurred_at
    return await q.fetch_value(
        SQL["service_receive_webhook"],
        {
            "account_id": account_id,
            "event_id": event.event_id,
            "event_type": event.event_type,
            "occurred_at": occurred_at,
            "payload": json.dumps(event.payload),
        },
    )


async def stored_event(q: Executor, event_id: UUID) -> StoredEvent | None:
    """An event of the inbox."""
    return await q.find_one(SQL["service_get_event"], {"id": event_id}, StoredEvent)


async def finish_event(q: Executor, event_id: UUID, status: str, outcome: str | None, error: str | None = None) -> None:
    """How the handling ended."""
    await q.fetch_value(
        SQL["service_finish_webhook"], {"id": event_id, "status": status, "outcome": outcome, "error": error}
    )


async def take_due_checks(q: Executor, limit: int) -> list[DueCheck]:
    """What is to be asked about now; nobody else gets the same for a minute."""
    return await q.fetch_all(SQL["service_take_due_checks"], {"limit": limit}, DueCheck)


async def setup_call(q: Executor, setup_id: UUID) -> SetupCall:
    """What is needed to have a card kept."""
    return await q.fetch_one(SQL["service_setup_call"], {"id": setup_id}, SetupCall)


async def find_setup(q: Executor, account_id: UUID, hint: Hint) -> UUID | None:
    """Our setup behind the gateway's, or behind its page."""
    named = {"account_id": account_id, "provider_id": hint.provider_id, "reference": hint.reference}
    return await q.fetch_value(SQL["service_find_setup"], named)


async def record_setup(q: Executor, setup_id: UUID, said: SetupSnapshot) -> str:
    """Applies what the gateway says of a setup: applied or unchanged."""
    return await q.fetch_value(SQL["service_record_setup"], {"id": setup_id, "snapshot": json.dumps(asdict(said))})


async def record_method_news(q: Executor, account_id: UUID, provider_id: str, said: SavedMethod | None) -> str:
    """Applies how a kept card stands at the gateway: applied, unchanged or unknown_method."""
    told = {"account_id": account_id, "provider_id": provider_id, "snapshot": json.dumps(said and asdict(said))}
    return await q.fetch_value(SQL["service_record_method_news"], told)


async def record_setup_sent(q: Executor, setup_id: UUID, customer_id: str | None, checkout_id: str | None) -> None:
    """Whom the gateway keeps the card for, and its page."""
    sent = {"id": setup_id, "customer_id": customer_id, "checkout_id": checkout_id}
    await q.fetch_value(SQL["service_record_setup_sent"], sent)
