"""Around calls to gateways: the attempt is committed before, the outcome after, and no transaction is open between."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit
from uuid import UUID

from loom.core.clock import now
from loom.core.errors import AppError, Conflict, Invalid
from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.db.database import Database
from loom.features.billing import gateway_queries as gateways
from loom.features.billing.gateway_queries import Call, IntentCall, RefundCall
from loom.features.billing.page_queries import KeptWish, drop_page_wish, keep_page_wish, record_page
from loom.providers.errors import ProviderError, RetryableError
from loom.providers.payments import (
    CREDENTIALS_REFUSED,
    PROOF,
    GatewayRefusedError,
    HostedPage,
    OutcomeUnknownError,
    PageWish,
    UnknownStateError,
    open_gateway,
    proof_of,
    vault_of,
)

INTENT_MOVED = "payment_intent_unexpected_state"
LOOKS_BEFORE_A_REPETITION = 2
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

        Raises 503 `gateway_unavailable` where the gateway gives none now, 409 `gateway_refused` where it gives none at
        all, 409 `intent_closed` where the intent is over.
        """
        call = await gateways.intent_call(self._db.reader(SENDING), intent_id)
        if call.page_expires_at is not None and call.page_expires_at <= now():
            await self._close_page(intent_id)
            call = await gateways.intent_call(self._db.reader(SENDING), intent_id)
        if (page := _open_page(call)) is not None:
            return page
        asked = {
            "success_url": success_url,
            "cancel_url": cancel_url,
            "locale": locale,
            "description": call.title or "Loom",
        }
        kept = await self._db.run(SENDING, lambda tx: keep_page_wish(tx, intent_id, asked))
        if kept is not None:
            await self._ask_for_page(call, kept)
        # Only what is on record is shown to anybody, so that an answer that was lost is nobody's page.
        if (page := _open_page(await gateways.intent_call(self._db.reader(SENDING), intent_id))) is None:
            raise AppError("gateway_unavailable", 503, "The gateway's page is not there yet.", "Try again shortly.")
        return page

    async def _ask_for_page(self, call: IntentCall, kept: KeptWish) -> None:
        notify = notify_url(self._settings, call, str(call.id))
        wish = PageWish(kept.success_url, kept.cancel_url, notify, kept.locale, kept.description, kept.expires_at)
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                page = await gateway.open_page(call.order, wish, kept.key)
        except (GatewayRefusedError, RetryableError) as exc:
            if isinstance(exc, GatewayRefusedError):
                await self._db.run(HEARING, lambda tx: drop_page_wish(tx, call.id, kept.key))
            elif _open_page(await gateways.intent_call(self._db.reader(SENDING), call.id)) is not None:
                # Another tab was answered meanwhile.
                return
            await self._unknown(call.id, exc)
            raise unanswered(exc) from exc
        await self._db.run(HEARING, lambda tx: record_page(tx, call.id, kept.key, page))

    async def _close_page(self, intent_id: UUID) -> None:
        """Has the gateway close a page whose time is over, and books what was paid on it before."""
        try:
            await self.cancel_at_gateway(intent_id)
        except RetryableError as exc:
            await self._unknown(intent_id, exc)
            raise unanswered(exc) from exc

    async def send_attempt(self, payment_id: UUID, card_token: str | None) -> None:
        """Charges. What happened is on record afterwards: paid, declined, refused, or unknown and looked up later."""
        call = await gateways.attempt_call(self._db.reader(SENDING), payment_id)
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                said = await gateway.confirm(call.order, call.payer(card_token), call.key)
        except (OutcomeUnknownError, UnknownStateError) as exc:
            # It was sent, and what came of it is not known: no clear no, even where an answer came.
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

    async def check_intent(self, intent_id: UUID, named: str | None = None) -> str:
        """Asks the gateway how an intent stands, and believes it. What came of it, in a word.

        What was wanted of held money and has not happened is asked for again. `named` is what something else calls it
        there, for one that was given up before its name was heard.
        """
        outcome, call, held = await self._look(intent_id, named)
        if held and call is not None:
            await self._ask_again(call)
        return outcome

    async def _look(self, intent_id: UUID, named: str | None = None) -> tuple[str, IntentCall | None, bool]:
        call = await gateways.intent_call(self._db.reader(SENDING), intent_id)
        if call.status == "succeeded":
            # Nothing that the gateway could say of it is news: most events of a payment come after the first was heard.
            return "unchanged", None, False
        order = call.order
        if call.channel == "direct" and call.provider_intent_id is None:
            if call.status != "canceled":
                await self.send_intent(intent_id)
                return "sent", None, False
            # Given up while the answer was lost: it may be there all the same, and paid.
            order = replace(order, provider_intent_id=named)
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                said = await gateway.look_up_intent(order)
        except (GatewayRefusedError, RetryableError) as exc:
            await self._unknown(intent_id, exc)
            return exc.reason, None, False
        if said is None:
            await self._unknown(intent_id, GatewayRefusedError("The gateway does not know of the payment."))
            return "unknown_there", None, False
        outcome = await self._db.run(HEARING, lambda tx: gateways.record_outcome(tx, intent_id, said))
        return outcome, call, said.amount_capturable_cents > 0

    async def _ask_again(self, call: IntentCall) -> None:
        """Money is held that somebody wanted taken or let go: the gateway has not heard of it, or is asked once more.

        Where it knows keys, the same key makes it the same call. Where not, it is asked only after it was seen twice,
        with a wait between, that nothing had come of the first call.
        """
        async with open_gateway(call.credentials, self._settings) as gateway:
            certain = gateway.has_keys or call.check_attempts >= LOOKS_BEFORE_A_REPETITION
        if call.capture_requested_at is not None and certain:
            await self.send_capture(call.id)
        elif call.cancel_requested_at is not None and certain:
            await self.cancel_at_gateway(call.id)

    async def send_capture(self, intent_id: UUID) -> None:
        """Takes what is held, as somebody has asked for."""
        call = await gateways.intent_call(self._db.reader(SENDING), intent_id)
        if call.capture_requested_at is None or call.status != "processing":
            return
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                said = await gateway.capture(call.order, call.capture_amount_cents, f"capture:{intent_id}")
        except (GatewayRefusedError, RetryableError) as exc:
            await self._unknown(intent_id, exc)
            return
        await self._db.run(HEARING, lambda tx: gateways.record_outcome(tx, intent_id, said, answered=True))

    async def charge_off_session(self, intent_id: UUID) -> None:
        """Charges the consented card of an intent that was begun for it, while its owner is away."""
        await self.send_intent(intent_id)
        try:
            payment_id = await self._db.run(SENDING, lambda tx: gateways.begin_consented_attempt(tx, intent_id))
        except AppError as exc:
            if exc.code != "intent_not_ready":
                raise
            # The gateway is away: the intent stays, and the payer may pay it by hand.
            return
        await self.send_attempt(payment_id, None)

    async def charge_seat(self, attendee_id: UUID) -> None:
        """Bills a seat and charges the consented card of its client, once: row, intent and attempt before each call."""
        intent_id = await self._db.run(SENDING, lambda tx: gateways.begin_seat_charge(tx, attendee_id))
        if intent_id is None:
            return
        await self.send_intent(intent_id)
        payment_id = await self._db.run(SENDING, lambda tx: gateways.begin_seat_attempt(tx, attendee_id))
        if payment_id is not None:
            await self.send_attempt(payment_id, None)

    async def cancel_at_gateway(self, intent_id: UUID) -> None:
        """Tells the gateway that an intent was given up. Where it was paid meanwhile, the money is booked."""
        call = await gateways.intent_call(self._db.reader(SENDING), intent_id)
        if call.provider_intent_id is None and call.provider_checkout_id is None:
            return
        try:
            async with open_gateway(call.credentials, self._settings) as gateway:
                said = await gateway.cancel(call.order, f"cancel:{intent_id}")
        except GatewayRefusedError:
            await self._look(intent_id)
            return
        await self._db.run(HEARING, lambda tx: gateways.record_outcome(tx, intent_id, said, answered=True))

    async def _unknown(self, intent_id: UUID, exc: ProviderError) -> None:
        problem, reason = str(exc), exc.reason
        await self._db.run(HEARING, lambda tx: gateways.record_unknown(tx, intent_id, problem, reason))

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
        except (GatewayRefusedError, RetryableError) as exc:
            problem, reason = str(exc), exc.reason
            # Keys that are not taken say nothing of the refund: it stays wanted until they are put right.
            if isinstance(exc, GatewayRefusedError) and reason != CREDENTIALS_REFUSED:
                news = {"status": "failed", "failure_reason": reason}
                await self._db.run(HEARING, lambda tx: gateways.record_refund(tx, refund_id, news))
                return
            await self._db.run(HEARING, lambda tx: gateways.record_refund_unknown(tx, refund_id, problem, reason))
            return
        await self._db.run(HEARING, lambda tx: gateways.record_refund(tx, refund_id, news))

    async def _refund_news(self, call: RefundCall, *, repeated: bool) -> dict[str, object]:
        async with open_gateway(call.credentials, self._settings) as gateway:
            found = None
            if repeated or call.provider_refund_id is not None:
                found = await gateway.look_up_refund(call.order)
            # The sending counts as an attempt. A report may be behind: what it does not show may have been done.
            if found is None and repeated and not gateway.has_keys and call.check_attempts <= LOOKS_BEFORE_A_REPETITION:
                raise OutcomeUnknownError("The gateway does not show the refund yet.")
            if found is None:
                found = await gateway.refund(call.order, f"refund:{call.id}")
            return found.news()


def notify_url(settings: Settings, call: Call, reference: str) -> str:
    """Where a gateway that signs nothing tells of one payment: an address that proves itself to be ours."""
    if call.webhook_token is None or call.webhook_secret is None:
        return ""
    vault = vault_of(settings)
    token, secret = vault.open(call.webhook_token), vault.open(call.webhook_secret)
    return f"{settings.base_url}/v1/webhooks/{call.provider}/{token}?{PROOF}={proof_of(reference, secret)}"


def _open_page(call: IntentCall) -> HostedPage | None:
    if call.status in ("succeeded", "canceled"):
        raise Conflict("intent_closed", "This intent is over.", "Begin another.")
    over = call.page_expires_at is not None and call.page_expires_at <= now()
    if call.page_url is None or call.provider_checkout_id is None or over:
        return None
    return HostedPage(call.provider_checkout_id, call.page_url, call.page_expires_at)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def unanswered(exc: GatewayRefusedError | RetryableError) -> AppError:
    """What a request is told that needed the gateway: that it said no, or that it may be tried again."""
    if isinstance(exc, GatewayRefusedError):
        return Conflict("gateway_refused", f"The gateway said no: {exc}", "Its account here has to be put right first.")
    return AppError("gateway_unavailable", 503, "The gateway can't be reached now.", "Try again shortly.")
