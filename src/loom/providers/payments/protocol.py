"""What Loom asks of a payment gateway, in Loom's own words. Each gateway's states are mapped by its own module."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from loom.providers.errors import PermanentError, RetryableError
from loom.providers.payments.card_numbers import masked

IntentStatus = Literal["requires_payment_method", "requires_confirmation", "processing", "succeeded", "canceled"]
RefundStatus = Literal["pending", "processing", "succeeded", "failed"]
CaptureMethod = Literal["automatic", "manual"]


class OutcomeUnknownError(RetryableError):
    """The call was sent and its answer is lost: it may have moved money. Look it up; never just send it again."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, reason="outcome_unknown")


class UnknownStateError(RetryableError):
    """The gateway tells of a state that Loom does not know. It promises nothing, changes nothing and is reported."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(
            f"The gateway calls the state of a {kind} {said!r}, which is not known.", reason="unknown_state"
        )


CREDENTIALS_REFUSED = "credentials_refused"
"""The reason of a refusal that is about the account's keys, and so about nothing that was asked."""


class GatewayRefusedError(PermanentError):
    """The gateway took the call and said no; nothing moved. `reason` is the gateway's own short code.

    Its text is the gateway's own, less the numbers of cards that it repeats.
    """

    def __init__(self, detail: str, *, reason: str = "refused") -> None:
        super().__init__(masked(detail), reason=reason)


class WebhookRefusedError(PermanentError):
    """A webhook that is not believed.

    `reason`: signature_missing, signature_invalid, timestamp_out_of_range, malformed.
    """


@dataclass(frozen=True, slots=True)
class Order:
    """A sum to collect. `reference` is our id of it, by which it is found again at the gateway."""

    reference: str
    amount_cents: int
    currency: str
    capture: CaptureMethod = "automatic"
    provider_intent_id: str | None = None
    provider_checkout_id: str | None = None
    charge_id: str | None = None
    """What was authorised, where money is held."""


@dataclass(frozen=True, slots=True)
class Payer:
    """What is charged: a card token of the gateway's own page, or a saved method. `off_session`: nobody is there."""

    card_token: str | None = None
    method_id: str | None = None
    customer_id: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    off_session: bool = False


@dataclass(frozen=True, slots=True)
class PageWish:
    """A hosted page to be opened: where people come back to, and where the gateway tells of what they did.

    `expires_at` is when the page is to end, where the gateway lets it be said. Under one key all of it stays the same.
    """

    success_url: str
    cancel_url: str
    notify_url: str
    locale: str
    description: str
    expires_at: datetime
    customer_id: str | None = None


@dataclass(frozen=True, slots=True)
class HostedPage:
    """A page of the gateway's for a person. It holds until `expires_at`, where the gateway sets a time."""

    provider_checkout_id: str
    url: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class IntentSnapshot:
    """An intent as the gateway has it. Amounts are minor units."""

    provider_intent_id: str | None
    status: IntentStatus
    provider_status: str
    currency: str
    reference: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    amount_cents: int | None = None
    """What was asked for there; None where the gateway does not tell."""
    amount_received_cents: int | None = None
    amount_capturable_cents: int = 0
    charge_id: str | None = None
    """The newest movement or attempt at one, failed ones too."""
    next_action: dict[str, Any] | None = None
    error_code: str | None = None
    error_message: str | None = None
    wallet: str | None = None

    def news(self) -> dict[str, Any]:
        """What `record_intent_outcome` takes; the secret never is among it."""
        said = asdict(self)
        del said["client_secret"]
        return said


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """Money to give back. `reference` is our id of the refund."""

    reference: str
    amount_cents: int
    currency: str
    charge_id: str
    charge_approval: str | None = None
    """The authorisation number of the original, where the gateway asks for it."""
    provider_refund_id: str | None = None


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
    failure_reason: str | None = None

    def news(self) -> dict[str, Any]:
        """What `record_refund_outcome` takes."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """A card kept at the gateway: its token there, and what people recognise it by."""

    provider_method_id: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    customer_id: str | None = None


@dataclass(frozen=True, slots=True)
class SetupOrder:
    """A card to be kept. `reference` is our id of the wish, `owner` our id of the person."""

    reference: str
    owner: str
    currency: str
    customer_id: str | None = None
    provider_setup_id: str | None = None
    provider_checkout_id: str | None = None


@dataclass(frozen=True, slots=True)
class SetupSnapshot:
    """How the keeping of a card stands; `saved` is there once it succeeded."""

    provider_setup_id: str | None
    status: IntentStatus
    provider_status: str
    saved: SavedMethod | None = None
    next_action: dict[str, Any] | None = None
    error_code: str | None = None
    error_message: str | None = None


HintKind = Literal["intent", "refund", "checkout", "setup", "method"]


@dataclass(frozen=True, slots=True)
class Hint:
    """What a webhook speaks of. Only a reason to look: what counts is the gateway's answer to the look-up."""

    kind: HintKind
    provider_id: str
    reference: str | None = None
    parent_id: str | None = None
    """The charge of a refund, or the intent or setup of a hosted page."""
    saved: SavedMethod | None = None
    """A token that the gateway tells in its webhook only."""


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """A webhook event that has proven where it comes from. `hint` is None for kinds that Loom does not follow."""

    event_id: str
    event_type: str
    occurred_at: datetime | None
    hint: Hint | None
    payload: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Movement:
    """A line of the gateway's own list, for reconciliation."""

    kind: Literal["charge", "refund"]
    provider_id: str
    amount_cents: int
    currency: str
    status: str
    """In Loom's words: paid, failed, pending or canceled for charges; those of refunds for refunds."""
    at: datetime
    reference: str | None = None
    provider_intent_id: str | None = None
    charge_id: str | None = None


class PaymentGateway(Protocol):
    """One account at one gateway.

    Every call raises GatewayRefusedError where the gateway said no, OutcomeUnknownError where it may have acted, and
    RetryableError where it certainly has not. `key` makes a repeated call the same call, where `has_keys`.
    """

    has_keys: bool

    async def create_intent(self, order: Order, key: str) -> IntentSnapshot:
        """A plan to collect an amount."""
        ...

    async def confirm(self, order: Order, payer: Payer, key: str) -> IntentSnapshot:
        """Charges. A decline is an answer, not an error."""
        ...

    async def capture(self, order: Order, amount_cents: int | None, key: str) -> IntentSnapshot:
        """Takes money that is held, all of it unless a sum is said."""
        ...

    async def cancel(self, order: Order, key: str) -> IntentSnapshot:
        """Gives an intent up, with what is held and with its hosted page."""
        ...

    async def look_up_intent(self, order: Order) -> IntentSnapshot | None:
        """The intent as it is now; None where the gateway knows of none."""
        ...

    async def open_page(self, order: Order, wish: PageWish, key: str) -> HostedPage:
        """A hosted page on which a person pays."""
        ...

    async def refund(self, order: RefundOrder, key: str) -> RefundSnapshot:
        """Sends money back to where it came from."""
        ...

    async def look_up_refund(self, order: RefundOrder) -> RefundSnapshot | None:
        """The refund as it is now, found by its id there or by ours; None where the gateway knows of none."""
        ...

    async def save_method(self, order: SetupOrder, card_token: str, key: str) -> SetupSnapshot:
        """Keeps a card for later."""
        ...

    async def open_setup_page(self, order: SetupOrder, wish: PageWish, key: str) -> HostedPage:
        """A hosted page on which a person has a card kept."""
        ...

    async def look_up_setup(self, order: SetupOrder) -> SetupSnapshot | None:
        """How the keeping of a card stands; None where the gateway knows of none."""
        ...

    async def customer(self, owner: str, key: str) -> str | None:
        """Whom kept cards belong to at the gateway; None where it keeps cards without owners."""
        ...

    async def look_up_method(self, provider_method_id: str) -> SavedMethod | None:
        """How a kept card stands; None where it was removed there."""
        ...

    async def detach_method(self, provider_method_id: str) -> None:
        """Forgets a card. One that is gone already is no error."""
        ...

    def list_movements(self, since: datetime, until: datetime) -> AsyncIterator[Movement]:
        """The gateway's own list of what moved or was tried in a time."""
        ...

    def list_hints(self, since: datetime) -> AsyncIterator[GatewayEvent]:
        """Events that the gateway remembers, for those whose delivery was missed."""
        ...

    async def register_webhook(self, url: str) -> str | None:
        """Says where events go; the secret that will sign them, where the gateway signs."""
        ...


class WebhookReader(Protocol):
    """Believes or refuses what came to the address of webhooks.

    `signed`: each body proves itself. Where not, whoever knows an address may send to it what he likes.
    """

    signed: bool

    def read(
        self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, secrets: list[str], now: datetime
    ) -> GatewayEvent:
        """The event, once it has proven where it comes from by one of the secrets. Else WebhookRefusedError."""
        ...

    def stored(self, payload: dict[str, Any]) -> GatewayEvent:
        """An event out of the inbox, where it only lies if it has proven itself."""
        ...
