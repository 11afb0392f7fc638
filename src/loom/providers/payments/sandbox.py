"""Client of Loom's own sandbox gateway, and the mapping of its states."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote

import httpx

from loom.providers.errors import RetryableError
from loom.providers.payments.protocol import (
    GatewayEvent,
    GatewayRefusedError,
    IntentSnapshot,
    IntentStatus,
    OpenedAccount,
    OutcomeUnknownError,
    RefundSnapshot,
    RefundStatus,
    SavedMethod,
    WebhookRefusedError,
)
from loom.providers.payments.signatures import verify

SIGNATURE_HEADER = "sandbox-signature"

# requires_action waits for a person as requires_confirmation does; requires_capture is money that is not ours yet.
_INTENT: dict[str, IntentStatus] = {
    "requires_payment_method": "requires_payment_method",
    "requires_confirmation": "requires_confirmation",
    "requires_action": "requires_confirmation",
    "processing": "processing",
    "requires_capture": "processing",
    "succeeded": "succeeded",
    "canceled": "canceled",
}
# A refund that is pending there has already been sent by us.
_REFUND: dict[str, RefundStatus] = {
    "pending": "processing",
    "requires_action": "processing",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}


class SandboxGateway:
    """One account at the sandbox. `http` is the caller's to close."""

    def __init__(self, base_url: str, api_key: str, http: httpx.AsyncClient) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._http = http

    async def create_intent(self, *, amount_cents: int, currency: str, reference: str, key: str) -> IntentSnapshot:
        """See PaymentGateway."""
        body = {"amount": amount_cents, "currency": currency, "reference": reference}
        return intent_snapshot(await self._call("POST", "/v1/intents", body, key))

    async def confirm(
        self, provider_intent_id: str, *, card_token: str | None, method_id: str | None, key: str
    ) -> IntentSnapshot:
        """See PaymentGateway."""
        body = {"card": card_token} if method_id is None else {"payment_method": method_id}
        return intent_snapshot(await self._call("POST", f"/v1/intents/{_id(provider_intent_id)}/confirm", body, key))

    async def cancel(self, provider_intent_id: str, *, key: str) -> IntentSnapshot:
        """See PaymentGateway."""
        return intent_snapshot(await self._call("POST", f"/v1/intents/{_id(provider_intent_id)}/cancel", {}, key))

    async def look_up_intent(self, provider_intent_id: str) -> IntentSnapshot:
        """See PaymentGateway."""
        return intent_snapshot(await self._call("GET", f"/v1/intents/{_id(provider_intent_id)}"))

    async def refund(self, *, charge_id: str, amount_cents: int, reference: str, key: str) -> RefundSnapshot:
        """See PaymentGateway."""
        body = {"charge": charge_id, "amount": amount_cents, "reference": reference}
        return refund_snapshot(await self._call("POST", "/v1/refunds", body, key))

    async def look_up_refund(self, provider_refund_id: str) -> RefundSnapshot:
        """See PaymentGateway."""
        return refund_snapshot(await self._call("GET", f"/v1/refunds/{_id(provider_refund_id)}"))

    async def find_refund(self, reference: str) -> RefundSnapshot | None:
        """See PaymentGateway."""
        found = await self._call("GET", f"/v1/refunds?reference={_id(reference)}")
        items = cast("list[dict[str, Any]]", found["data"])
        return refund_snapshot(items[0]) if items else None

    async def save_method(self, *, card_token: str, reference: str, key: str) -> SavedMethod:
        """See PaymentGateway."""
        body = {"card": card_token, "reference": reference}
        said = await self._call("POST", "/v1/payment_methods", body, key)
        return SavedMethod(said["id"], said["brand"], said["last4"], said["exp_month"], said["exp_year"])

    async def detach_method(self, provider_method_id: str) -> None:
        """See PaymentGateway."""
        await self._call("DELETE", f"/v1/payment_methods/{_id(provider_method_id)}")

    async def set_webhook(self, url: str) -> None:
        """See PaymentGateway."""
        await self._call("PUT", "/v1/webhook_endpoint", {"url": url})

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, key: str | None = None
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._api_key}"} | ({"Idempotency-Key": key} if key else {})
        return await send(self._http, method, f"{self._base_url}{path}", body, headers)


async def open_account(base_url: str, name: str, http: httpx.AsyncClient) -> OpenedAccount:
    """Has the sandbox make an account."""
    said = await send(http, "POST", f"{base_url.rstrip('/')}/v1/accounts", {"name": name}, {})
    return OpenedAccount(said["id"], said["api_key"], said["webhook_secret"], said["public_key"])


async def send(
    http: httpx.AsyncClient, method: str, url: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
) -> dict[str, Any]:
    """One call. What is not a clear answer of a call that changes something is an unknown outcome."""
    try:
        answer = await http.request(method, url, json=body, headers=dict(headers))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
        raise RetryableError("The gateway can't be reached.", reason="gateway_unreachable") from exc
    except httpx.HTTPError as exc:
        raise _lost(method, f"The gateway gave no answer ({type(exc).__name__}).") from exc
    try:
        said: object = answer.json()
    except ValueError:
        said = None
    if answer.status_code >= 500 or answer.status_code == 429 or not isinstance(said, dict):
        raise _lost(method, f"The gateway answered {answer.status_code}.")
    members = cast("dict[str, Any]", said)
    if answer.status_code >= 400:
        fault = cast("dict[str, str]", members.get("error", {}))
        raise GatewayRefusedError(fault.get("message", "The gateway refused."), reason=fault.get("code", "refused"))
    return members


def _lost(method: str, detail: str) -> RetryableError:
    return RetryableError(detail) if method == "GET" else OutcomeUnknownError(detail)


def _id(text: str) -> str:
    return quote(text, safe="")


def intent_snapshot(said: Mapping[str, Any]) -> IntentSnapshot:
    """The sandbox's intent in Loom's words. A state nobody knows yet promises nothing: processing, looked up later."""
    fault = cast("dict[str, str]", said.get("last_error") or {})
    return IntentSnapshot(
        provider_intent_id=said["id"],
        status=_INTENT.get(said["status"], "processing"),
        provider_status=said["status"],
        currency=said["currency"],
        reference=said.get("reference"),
        version=said["version"],
        client_secret=said.get("client_secret"),
        amount_received_cents=said["amount_received"],
        charge_id=said.get("charge"),
        next_action=said.get("next_action"),
        error_code=fault.get("code"),
        error_message=fault.get("message"),
    )


def refund_snapshot(said: Mapping[str, Any]) -> RefundSnapshot:
    """The sandbox's refund in Loom's words."""
    return RefundSnapshot(
        provider_refund_id=said["id"],
        status=_REFUND.get(said["status"], "processing"),
        provider_status=said["status"],
        currency=said["currency"],
        amount_cents=said["amount"],
        charge_id=said["charge"],
        reference=said.get("reference"),
        version=said["version"],
        failure_reason="canceled" if said["status"] == "canceled" else said.get("failure_reason"),
    )


class SandboxWebhooks:
    """Reads the sandbox's webhooks."""

    def read(self, headers: Mapping[str, str], body: bytes, secrets: list[str], now: datetime) -> GatewayEvent:
        """See WebhookReader."""
        verify(headers.get(SIGNATURE_HEADER), body, secrets, now.timestamp())
        return event_from_payload(body)


def event_from_payload(body: bytes) -> GatewayEvent:
    """The event in a body that was proven already."""
    try:
        said = cast("dict[str, Any]", json.loads(body))
        subject = cast("dict[str, Any]", said["data"])
        read = {"intent": intent_snapshot, "refund": refund_snapshot}.get(subject["object"])
        return GatewayEvent(
            event_id=str(said["id"]),
            event_type=str(said["type"]),
            occurred_at=datetime.fromtimestamp(float(said["created"]), UTC),
            subject=read(subject) if read else None,
            payload=said,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise WebhookRefusedError("The event can't be read.", reason="malformed") from exc
