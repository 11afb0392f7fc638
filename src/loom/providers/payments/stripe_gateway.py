"""Stripe, by its own SDK. The sandbox speaks the same dialect, so this client is what the demo runs too."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar, cast

import httpx
import stripe
import structlog

from loom.providers.errors import RetryableError
from loom.providers.payments import stripe_mapping as mapping
from loom.providers.payments.protocol import (
    CREDENTIALS_REFUSED,
    GatewayEvent,
    GatewayRefusedError,
    HostedPage,
    IntentSnapshot,
    Movement,
    Order,
    OutcomeUnknownError,
    PageWish,
    Payer,
    RefundOrder,
    RefundSnapshot,
    SavedMethod,
    SetupOrder,
    SetupSnapshot,
    WebhookRefusedError,
)
from loom.providers.payments.signatures import SIGNATURE_HEADER, verify

_log = structlog.get_logger(__name__)
API_VERSION = "2026-10-28.endive"
"""Pinned: what answers look like must not change by what the account was once set to."""
_NO_EVENT = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading something fails with that is no event of Stripe's."""
_UNEXPECTED = "payment_intent_unexpected_state"
# Named so that the SDK reads them as Loom starts: it would at the first answer, and everybody waits meanwhile.
_ANSWERS = (
    stripe.PaymentIntent, stripe.Charge, stripe.Refund, stripe.SetupIntent, stripe.PaymentMethod, stripe.Customer,
    stripe.Event, stripe.WebhookEndpoint, stripe.checkout.Session,
)  # fmt: skip

# What the gateway says of a mistake stands in the SDK's own lines as it came, numbers of cards too.
logging.getLogger("stripe").setLevel(logging.WARNING)

T = TypeVar("T")


class StripeGateway:
    """One account. `http` is the caller's to close."""

    has_keys = True

    def __init__(self, base_url: str, api_key: str, http: httpx.AsyncClient) -> None:
        self._api = stripe.StripeClient(
            api_key,
            base_addresses={"api": base_url.rstrip("/")},
            stripe_version=API_VERSION,
            # The repair is ours: a retry of the SDK's would hide that an answer was lost.
            max_network_retries=0,
            http_client=_Http(http),
        ).v1

    async def create_intent(self, order: Order, key: str) -> IntentSnapshot:
        """See PaymentGateway."""
        wish: Any = {
            "amount": order.amount_cents,
            "currency": order.currency.lower(),
            "capture_method": order.capture,
            "metadata": {"reference": order.reference},
            "payment_method_types": ["card"],
        }
        return mapping.intent_snapshot(await _sent(lambda: self._api.payment_intents.create_async(wish, _with(key))))

    async def confirm(self, order: Order, payer: Payer, key: str) -> IntentSnapshot:
        """See PaymentGateway."""
        wish: Any = {"payment_method": payer.method_id or payer.card_token, "expand": ["latest_charge"]}
        if payer.off_session:
            wish["off_session"] = True
        intent_id = _known(order)
        try:
            said = await _sent(lambda: self._api.payment_intents.confirm_async(intent_id, wish, _with(key)))
        except GatewayRefusedError as refused:
            intent = getattr(refused.__cause__, "error", None)
            declined = getattr(intent, "payment_intent", None)
            if declined is None or refused.reason == _UNEXPECTED:
                raise
            return mapping.intent_snapshot(_plain(declined))
        return mapping.intent_snapshot(said)

    async def capture(self, order: Order, amount_cents: int | None, key: str) -> IntentSnapshot:
        """See PaymentGateway."""
        wish: Any = {} if amount_cents is None else {"amount_to_capture": amount_cents}
        intent_id = _known(order)
        return mapping.intent_snapshot(
            await _sent(lambda: self._api.payment_intents.capture_async(intent_id, wish, _with(key)))
        )

    async def cancel(self, order: Order, key: str) -> IntentSnapshot:
        """See PaymentGateway."""
        if order.provider_checkout_id is not None:
            session_id = order.provider_checkout_id
            try:
                await _sent(lambda: self._api.checkout.sessions.expire_async(session_id, {}, _with(f"{key}:page")))
            except GatewayRefusedError:
                # Its time may be over already; whoever paid on it has done so before.
                if (await _read(lambda: self._api.checkout.sessions.retrieve_async(session_id)))["status"] != "expired":
                    raise
            if order.provider_intent_id is None:
                found = await self.look_up_intent(order)
                if found is not None and found.provider_intent_id is None:
                    return found
                order = replace(order, provider_intent_id=found.provider_intent_id if found else None)
        intent_id = _known(order)
        return mapping.intent_snapshot(
            await _sent(lambda: self._api.payment_intents.cancel_async(intent_id, {}, _with(key)))
        )

    async def look_up_intent(self, order: Order) -> IntentSnapshot | None:
        """See PaymentGateway."""
        if order.provider_intent_id is not None:
            return await self._intent(order.provider_intent_id)
        if order.provider_checkout_id is not None:
            session_id = order.provider_checkout_id
            session = await _read(lambda: self._api.checkout.sessions.retrieve_async(session_id))
            if session["payment_intent"] is not None:
                return await self._intent(str(session["payment_intent"]))
            status = "canceled" if session["status"] == "expired" else "requires_payment_method"
            return IntentSnapshot(None, status, f"checkout.{session['status']}", order.currency, order.reference)
        query: Any = {"query": f"metadata['reference']:'{order.reference}'"}
        found = await _read(lambda: self._api.payment_intents.search_async(query))
        return mapping.intent_snapshot(found["data"][0]) if found["data"] else None

    async def _intent(self, intent_id: str) -> IntentSnapshot:
        wish: Any = {"expand": ["latest_charge"]}
        return mapping.intent_snapshot(await _read(lambda: self._api.payment_intents.retrieve_async(intent_id, wish)))

    async def open_page(self, order: Order, wish: PageWish, key: str) -> HostedPage:
        """See PaymentGateway."""
        price = {
            "currency": order.currency.lower(),
            "unit_amount": order.amount_cents,
            "product_data": {"name": wish.description},
        }
        about = {"metadata": {"reference": order.reference}, "capture_method": order.capture}
        return await self._open(
            wish,
            key,
            {
                "mode": "payment",
                "line_items": [{"price_data": price, "quantity": 1}],
                "payment_intent_data": about,
                "metadata": {"reference": order.reference},
            },
        )

    async def open_setup_page(self, order: SetupOrder, wish: PageWish, key: str) -> HostedPage:
        """See PaymentGateway."""
        metadata = {"reference": order.reference}
        more = {
            "mode": "setup",
            "currency": order.currency.lower(),
            "setup_intent_data": {"metadata": metadata},
            "metadata": metadata,
        }
        return await self._open(wish, key, more)

    async def _open(self, wish: PageWish, key: str, more: dict[str, Any]) -> HostedPage:
        asked: Any = {
            "success_url": wish.success_url,
            "cancel_url": wish.cancel_url,
            "locale": wish.locale,
            "payment_method_types": ["card"],
            "expires_at": int(wish.expires_at.timestamp()),
            **more,
        }
        if wish.customer_id is not None:
            asked["customer"] = wish.customer_id
        said = await _sent(lambda: self._api.checkout.sessions.create_async(asked, _with(key)))
        return HostedPage(said["id"], said["url"], mapping.moment(said["expires_at"]))

    async def refund(self, order: RefundOrder, key: str) -> RefundSnapshot:
        """See PaymentGateway."""
        wish: Any = {
            "charge": order.charge_id,
            "amount": order.amount_cents,
            "metadata": {"reference": order.reference},
        }
        return mapping.refund_snapshot(await _sent(lambda: self._api.refunds.create_async(wish, _with(key))))

    async def look_up_refund(self, order: RefundOrder) -> RefundSnapshot | None:
        """See PaymentGateway."""
        if order.provider_refund_id is not None:
            refund_id = order.provider_refund_id
            return mapping.refund_snapshot(await _read(lambda: self._api.refunds.retrieve_async(refund_id)))
        wish: Any = {"charge": order.charge_id, "limit": 100}
        async for said in _pages(lambda page: self._api.refunds.list_async(_merged(wish, page))):
            if mapping.reference_of(said) == order.reference:
                return mapping.refund_snapshot(said)
        return None

    async def customer(self, owner: str, key: str) -> str | None:
        """See PaymentGateway."""
        wish: Any = {"metadata": {"reference": owner}}
        return str((await _sent(lambda: self._api.customers.create_async(wish, _with(key))))["id"])

    async def save_method(self, order: SetupOrder, card_token: str, key: str) -> SetupSnapshot:
        """See PaymentGateway."""
        wish: Any = {
            "customer": order.customer_id,
            "payment_method": card_token,
            "confirm": True,
            "usage": "off_session",
            "payment_method_types": ["card"],
            "metadata": {"reference": order.reference},
        }
        return await self._setup(await _sent(lambda: self._api.setup_intents.create_async(wish, _with(key))))

    async def look_up_setup(self, order: SetupOrder) -> SetupSnapshot | None:
        """See PaymentGateway."""
        setup_id = order.provider_setup_id
        if setup_id is None and order.provider_checkout_id is not None:
            session_id = order.provider_checkout_id
            session = await _read(lambda: self._api.checkout.sessions.retrieve_async(session_id))
            if session["setup_intent"] is None:
                status = "canceled" if session["status"] == "expired" else "requires_payment_method"
                return SetupSnapshot(None, status, f"checkout.{session['status']}")
            setup_id = str(session["setup_intent"])
        if setup_id is not None:
            found = setup_id
            return await self._setup(await _read(lambda: self._api.setup_intents.retrieve_async(found)))
        wish: Any = {"customer": order.customer_id, "limit": 100}
        async for said in _pages(lambda page: self._api.setup_intents.list_async(_merged(wish, page))):
            if mapping.reference_of(said) == order.reference:
                return await self._setup(said)
        return None

    async def _setup(self, said: Mapping[str, Any]) -> SetupSnapshot:
        method_id = said.get("payment_method")
        if said["status"] != "succeeded" or method_id is None:
            return mapping.setup_snapshot(said, None)
        method = await _read(lambda: self._api.payment_methods.retrieve_async(str(method_id)))
        return mapping.setup_snapshot(said, method)

    async def look_up_method(self, provider_method_id: str) -> SavedMethod | None:
        """See PaymentGateway."""
        try:
            said = await _read(lambda: self._api.payment_methods.retrieve_async(provider_method_id))
        except GatewayRefusedError as refused:
            if refused.reason != "resource_missing":
                raise
            return None
        # What belongs to no customer any more can't be charged again.
        return mapping.saved_method(said) if said["customer"] is not None else None

    async def detach_method(self, provider_method_id: str) -> None:
        """See PaymentGateway."""
        try:
            await _sent(lambda: self._api.payment_methods.detach_async(provider_method_id))
        except GatewayRefusedError as refused:
            if refused.reason not in ("resource_missing", "payment_method_unexpected_state"):
                raise

    async def list_movements(self, since: datetime, until: datetime) -> AsyncIterator[Movement]:
        """See PaymentGateway."""
        wish: Any = {"created": {"gte": int(since.timestamp()), "lte": int(until.timestamp())}, "limit": 100}
        async for said in _pages(lambda page: self._api.charges.list_async(_merged(wish, page))):
            yield mapping.movement_of_charge(said)
        async for said in _pages(lambda page: self._api.refunds.list_async(_merged(wish, page))):
            yield mapping.movement_of_refund(said)

    async def list_hints(self, since: datetime) -> AsyncIterator[GatewayEvent]:
        """See PaymentGateway."""
        wish: Any = {"created": {"gte": int(since.timestamp())}, "limit": 100}
        async for said in _pages(lambda page: self._api.events.list_async(_merged(wish, page))):
            try:
                event = mapping.event(said)
            except _NO_EVENT as exc:
                # One that can't be read keeps nobody from the others.
                _log.warning("event can't be read", event_id=str(said.get("id"))[:100], problem=type(exc).__name__)
                continue
            yield event

    async def register_webhook(self, url: str) -> str | None:
        """See PaymentGateway."""
        wish: Any = {"url": url, "enabled_events": list(mapping.EVENTS), "api_version": API_VERSION}
        said = await _sent(lambda: self._api.webhook_endpoints.create_async(wish))
        return str(said["secret"])


class StripeWebhooks:
    """Reads what Stripe, or the sandbox in its dialect, sends."""

    signed = True

    def read(
        self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, secrets: list[str], now: datetime
    ) -> GatewayEvent:
        """See WebhookReader."""
        del query
        verify(headers.get(SIGNATURE_HEADER), body, secrets, now.timestamp())
        try:
            return mapping.event(json.loads(body))
        except _NO_EVENT as exc:
            raise WebhookRefusedError("The event can't be read.", reason="malformed") from exc

    def stored(self, payload: dict[str, Any]) -> GatewayEvent:
        """See WebhookReader."""
        return mapping.event(payload)


class _Http(stripe.HTTPClient):
    """The SDK over the caller's own connections, with the caller's time limit and none of the environment's proxies."""

    name = "httpx"

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self._http = http

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        answer = await self._http.request(method, url, headers=dict(headers), content=post_data or None)
        return answer.content, answer.status_code, answer.headers


async def _sent(call: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    """A call that may change something: what is no clear answer is an unknown outcome."""
    try:
        return await _read(call)
    except RetryableError as exc:
        if exc.reason == "gateway_unreachable":
            raise
        raise OutcomeUnknownError(str(exc)) from exc


async def _read(call: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    """A call whose repetition does no harm."""
    try:
        said = _plain(await call())
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
        raise RetryableError("The gateway can't be reached.", reason="gateway_unreachable") from exc
    except httpx.HTTPError as exc:
        raise RetryableError(f"The gateway gave no answer ({type(exc).__name__}).") from exc
    except (stripe.APIConnectionError, stripe.RateLimitError) as exc:
        raise RetryableError(f"The gateway gave no clear answer ({type(exc).__name__}).") from exc
    except (stripe.AuthenticationError, stripe.PermissionError) as exc:
        raise GatewayRefusedError("The gateway does not take this account's key.", reason=CREDENTIALS_REFUSED) from exc
    except stripe.StripeError as exc:
        # Anything without a clear no: 5xx, 409 for a call under way, a page instead of data.
        if exc.http_status is None or exc.http_status >= 500 or exc.http_status in (409, 429) or exc.error is None:
            raise RetryableError(f"The gateway answered {exc.http_status}.") from exc
        code = exc.code or getattr(exc.error, "type", None) or "refused"
        declined = getattr(exc.error, "decline_code", None)
        reason = str(declined) if code == "card_declined" and declined else str(code)
        raise GatewayRefusedError(exc.user_message or "The gateway refused.", reason=reason) from exc
    if "object" not in said:
        raise RetryableError("The gateway's answer is not what was asked for.")
    return said


async def _pages(page: Callable[[dict[str, Any]], Awaitable[Any]]) -> AsyncIterator[dict[str, Any]]:
    after: dict[str, Any] = {}
    while True:
        said = await _read(lambda after=after: page(after))
        for one in said["data"]:
            yield one
        if not said["has_more"]:
            return
        after = {"starting_after": said["data"][-1]["id"]}


def _plain(said: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", said.to_dict() if hasattr(said, "to_dict") else said)


def _merged(wish: dict[str, Any], page: dict[str, Any]) -> Any:
    return {**wish, **page}


def _with(key: str) -> Any:
    return {"idempotency_key": key}


def _known(order: Order) -> str:
    if order.provider_intent_id is None:
        raise GatewayRefusedError("The gateway does not know this intent.", reason="resource_missing")
    return order.provider_intent_id
