"""Shapes of accounts at gateways, and of how the books compare with them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, SecretStr, StringConstraints

from loom.features.billing.schemas import Provider
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


class OpenGatewayAccount(Input):
    """What ties a practice to a gateway. The sandbox makes accounts by itself.

    Stripe: `api_key` is the secret key, `app_key` the publishable one; `webhook_secret` only where the webhook was
    made by hand. Tranzila: `terminal`, `app_key` and `api_key` (the application's secret); `reference_field` is the
    user-defined field of the terminal that carries Loom's reference, `handshake` needs the token module.
    """

    provider: Provider
    display_name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120)] = "Cards"
    api_key: Annotated[SecretStr, Field(min_length=1, max_length=255)] | None = None
    app_key: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    webhook_secret: Annotated[SecretStr, Field(min_length=1, max_length=255)] | None = None
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

    Findings: `kind` (missing_here, missing_there, amount, currency, status, duplicate, late, wrong_charge), `subject`
    (charge or refund), `id`, `provider_id`, `ours`, `theirs`.
    """

    id: UUID
    gateway_account_id: UUID
    since: datetime
    until: datetime
    rows_there: int
    rows_here: int
    matched: int
    findings: list[dict[str, Any]]
    verify_seconds_p50: float | None
    verify_seconds_p99: float | None
    created_at: datetime
