"""What Loom asks of a payment gateway, in Loom's own words. Each gateway's states are mapped by its own module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from loom.providers.errors import PermanentError, RetryableError

IntentStatus = Literal["requires_payment_method", "requires_confirmation", "processing", "succeeded", "canceled"]
RefundStatus = Literal["pending", "processing", "succeeded", "failed"]


class OutcomeUnknownError(RetryableError):
    """The call was sent and its answer is lost: it may have moved money. Look it up; never just send it again."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, reason="outcome_unknown")


class GatewayRefusedError(PermanentError):
    """The gateway took the call and said no; nothing moved. `reason` is the gateway's own short code."""


class WebhookRefusedError(PermanentError):
    """A webhook that is not believed.

    `reason`: signature_missing, signature_invalid, timestamp_out_of_range, malformed.
    """


@dataclass(frozen=True, slots=True)
class IntentSnapshot:
    """An intent as the gateway has it. Amounts are minor units. `version` grows with each change, where it is told."""

    provider_intent_id: str
    status: IntentStatus
    provider_status: str
    currency: str
    reference: str | None = None
    version: int | None = None
    client_secret: str | None = None
    amount_received_cents: int | None = None
    charge_id: str | None = None
    next_action: dict[str, Any] | None = None
    error_code: str | None = None
    error_message: str | None = None

    def news(self) -> dict[str, Any]:
        """What `record_intent_outcome` takes; the secret never is among it."""
        said = asdict(self)
        del said["client_secret"]
        return said


@dataclass(frozen=True, slots=True)
class RefundSnapshot:
    """A refund as the gateway has it. `reference` is our id of it, where the gateway keeps one."""

    provider_refund_id: str
    status: RefundStatus
    provider_status: str
    currency: str
    amount_cents: int
    charge_id: str
    reference: str | None = None
    version: int | None = None
    failure_reason: str | None = None

    def news(self) -> dict[str, Any]:
        """What `record_refund_outcome` takes."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """A card kept at the gateway: its token there, and what people recognise it by."""

    provider_method_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """A webhook event that has proven where it comes from. `subject` is None for kinds that Loom does not follow."""

    event_id: str
    event_type: str
    occurred_at: datetime | None
    subject: IntentSnapshot | RefundSnapshot | None
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenedAccount:
    """A new account at a gateway that makes them by itself."""

    external_id: str
    api_key: str
    webhook_secret: str
    public_key: str | None


class PaymentGateway(Protocol):
    """One account at one gateway.

    Every call raises GatewayRefusedError where the gateway said no, OutcomeUnknownError where it may have acted, and
    RetryableError where it certainly has not. `key` makes a repeated call the same call.
    """

    async def create_intent(self, *, amount_cents: int, currency: str, reference: str, key: str) -> IntentSnapshot:
        """A plan to collect an amount. `reference` is our id, by which it can be found again."""
        ...

    async def confirm(
        self, provider_intent_id: str, *, card_token: str | None, method_id: str | None, key: str
    ) -> IntentSnapshot:
        """Charges a card or a saved method. A decline is an answer, not an error."""
        ...

    async def cancel(self, provider_intent_id: str, *, key: str) -> IntentSnapshot:
        """Gives an intent up."""
        ...

    async def look_up_intent(self, provider_intent_id: str) -> IntentSnapshot:
        """The intent as it is now."""
        ...

    async def refund(self, *, charge_id: str, amount_cents: int, reference: str, key: str) -> RefundSnapshot:
        """Sends money back to where it came from."""
        ...

    async def look_up_refund(self, provider_refund_id: str) -> RefundSnapshot:
        """The refund as it is now."""
        ...

    async def find_refund(self, reference: str) -> RefundSnapshot | None:
        """The refund that carries our id, if it ever arrived."""
        ...

    async def save_method(self, *, card_token: str, reference: str, key: str) -> SavedMethod:
        """Keeps a card for later; `reference` is our id of its owner."""
        ...

    async def detach_method(self, provider_method_id: str) -> None:
        """Forgets a card. One that is gone already is no error."""
        ...

    async def set_webhook(self, url: str) -> None:
        """Says where events go."""
        ...


class WebhookReader(Protocol):
    """Believes or refuses what came to the address of webhooks."""

    def read(self, headers: Mapping[str, str], body: bytes, secrets: list[str], now: datetime) -> GatewayEvent:
        """The event, once the signature over the raw body fits one of the secrets. Else WebhookRefusedError."""
        ...
