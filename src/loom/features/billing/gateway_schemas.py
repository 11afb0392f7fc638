"""Shapes of what belongs to gateways: accounts, kept cards, and how the books compare with them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, SecretStr, StringConstraints, WithJsonSchema

from loom.features.billing.card_tokens import Token
from loom.features.billing.schemas import IntentStatus, MethodType, Provider
from loom.http import Input


class GatewayAccount(BaseModel):
    """An account of the caller's practice at a gateway, without its secrets."""

    id: UUID
    practice_id: UUID
    provider: Provider
    display_name: str
    external_id: str | None
    public_key: str | None
    is_live: bool
    is_default: bool
    disabled_at: datetime | None
    created_at: datetime
    updated_at: datetime


_VISIBLE = r"^[!-~]+$"


def _visible(key: SecretStr) -> SecretStr:
    """Keys travel in headers of calls, where nothing else can stand. The key itself is not in what is said of it."""
    if re.fullmatch(_VISIBLE, key.get_secret_value()) is None:
        raise ValueError("a key is visible ASCII characters without spaces; copy it from the gateway's own page")
    return key


Secret = Annotated[
    SecretStr,
    Field(min_length=1, max_length=255),
    AfterValidator(_visible),
    WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "writeOnly": True,
            "minLength": 1,
            "maxLength": 255,
            "pattern": _VISIBLE,
        }
    ),
]


class OpenGatewayAccount(Input):
    """What ties a practice to a gateway. The sandbox makes accounts by itself.

    Stripe: `api_key` is the secret key, `app_key` the publishable one; `webhook_secret` only where the webhook was
    made by hand. Tranzila: `terminal`, `app_key` and `api_key` (the application's secret); `reference_field` is the
    user-defined field of the terminal that carries Loom's reference, `handshake` needs the token module.
    """

    provider: Provider
    display_name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)] = "Cards"
    api_key: Secret | None = None
    app_key: Annotated[str, Field(min_length=1, max_length=255, pattern=_VISIBLE)] | None = None
    webhook_secret: Secret | None = None
    terminal: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,40}$")] | None = None
    reference_field: Annotated[str, Field(pattern=r"^user_defined_([1-9]|1[0-9]|20)$")] = "user_defined_1"
    handshake: bool = True
    report_in_minor: bool = False


class GatewayAlert(BaseModel):
    """Something between the books and a gateway that somebody has to look at; closed by what answers it."""

    id: UUID
    gateway_account_id: UUID
    kind: str
    subject_id: UUID | None
    detail: str
    closed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Reconciliation(BaseModel):
    """How the books of an account compare with the gateway's own list of a time.

    Findings: `kind` (missing_here, missing_there, amount, currency, status, duplicate, late, wrong_charge, balance),
    `subject` (charge or refund; of a balance its currency), `id`, `provider_id`, `ours`, `theirs`, `at` (when it moved;
    outside `since` to `until` it was found by an earlier comparison). `balances`: by currency, what the clearing
    account of the books holds and what the gateway's list makes it.
    """

    id: UUID
    gateway_account_id: UUID
    since: datetime
    until: datetime
    rows_there: int
    rows_here: int
    matched: int
    findings: list[dict[str, Any]]
    balances: dict[str, dict[str, int]]
    verify_seconds_p50: float | None
    verify_seconds_p99: float | None
    created_at: datetime


EventStatus = Literal["received", "handled", "ignored", "failed"]


class WebhookEvent(BaseModel):
    """An event of the inbox, without its body: what a gateway told of, how often, and what came of it.

    `replayed_by` is the admin who last had it handled once more; null where the operator's command did.
    """

    id: UUID
    gateway_account_id: UUID
    provider: str
    event_id: str
    event_type: str
    received_at: datetime
    times_received: int
    status: EventStatus
    outcome: str | None
    error_message: str | None
    handled_at: datetime | None
    replayed_at: datetime | None
    replayed_by: UUID | None


class PaymentMethod(BaseModel):
    """A saved way to pay. With `unusable_at` it is not charged any more: keep another one, or the same again."""

    id: UUID
    practice_id: UUID | None
    type: MethodType
    provider: str
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    is_default: bool
    off_session: bool
    consented_at: datetime | None
    unusable_at: datetime | None
    unusable_reason: str | None
    created_at: datetime
    updated_at: datetime


class Consent(Input):
    """A card to be kept with the gateway of a practice whose client the caller is, and what its owner agrees to."""

    practice_id: UUID
    consent_text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
    off_session: bool = False
    is_default: bool = False


class SavePaymentMethod(Consent):
    """The card by a token of the gateway's own."""

    card_token: Token


class KeepCard(Consent):
    """The card to be given on the gateway's page; where its owner comes back to."""

    success_url: Annotated[str, Field(max_length=2000, pattern=r"^https?://", examples=["http://127.0.0.1:8000/kept"])]
    cancel_url: Annotated[str, Field(max_length=2000, pattern=r"^https?://", examples=["http://127.0.0.1:8000/back"])]
    locale: Literal["en", "he"] = "en"


class MethodPage(BaseModel):
    """The gateway's own page. Coming back from it proves nothing: ask how the setup stands."""

    setup_id: UUID
    url: str
    expires_at: datetime | None


class MethodSetup(BaseModel):
    """A wish to keep a card; `payment_method_id` is there once the card is kept."""

    id: UUID
    practice_id: UUID
    status: IntentStatus
    consent_text: str
    off_session: bool
    is_default: bool
    payment_method_id: UUID | None
    next_action: dict[str, Any] | None
    last_error_code: str | None
    last_error_message: str | None
    created_at: datetime
    updated_at: datetime


class ChangePaymentMethod(Input):
    """Makes it the one that is offered first, or not. `off_session` can only be taken back."""

    is_default: bool | None = None
    off_session: Literal[False] | None = None
