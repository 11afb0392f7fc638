"""Tranzila, by a client of our own. It has no idempotency keys: what may have been done is looked up, not repeated."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import httpx

from loom.providers.errors import RetryableError
from loom.providers.payments.protocol import (
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
)
from loom.providers.payments.tranzila_calls import Addresses, TranzilaCalls, result_of
from loom.providers.payments.tranzila_codes import APPROVED, CHECKED, Meaning, meaning_of
from loom.providers.payments.tranzila_wire import (
    CURRENCIES,
    ZONE,
    Line,
    Terminal,
    currency_of,
    from_report,
    to_major,
)


class TranzilaGateway:
    """One terminal. `http` is the caller's to close."""

    has_keys = False

    def __init__(self, addresses: Addresses, terminal: Terminal, http: httpx.AsyncClient) -> None:
        self._at = addresses
        self._terminal = terminal
        self._calls = TranzilaCalls(addresses, terminal, http)

    # intents: Tranzila has none, so ours is known there by our reference in its transactions

    async def create_intent(self, order: Order, key: str) -> IntentSnapshot:
        """See PaymentGateway."""
        del key
        if order.currency not in CURRENCIES:
            raise GatewayRefusedError(f"Tranzila takes no {order.currency}.", reason="currency_not_allowed")
        return self._waiting(order)

    async def confirm(self, order: Order, payer: Payer, key: str) -> IntentSnapshot:
        """See PaymentGateway."""
        del key
        if payer.method_id is None:
            raise GatewayRefusedError("Cards are given on Tranzila's own page.", reason="page_needed")
        kind = "debit" if order.capture == "automatic" else "verify"
        asked = self._asked(order.amount_cents, order.currency, order.reference) | {
            "txn_type": kind,
            "card_number": payer.method_id,
            "expire_month": payer.exp_month,
            "expire_year": payer.exp_year,
            "payment_plan": 1,
        }
        if order.capture == "manual":
            asked["verify_mode"] = 5
        return self._answered(order, await self._calls.create(asked), kind)

    async def capture(self, order: Order, amount_cents: int | None, key: str) -> IntentSnapshot:
        """See PaymentGateway."""
        del key
        held = await self._original(order.charge_id)
        asked = self._asked(amount_cents or held.amount_cents, order.currency, order.reference) | {
            "txn_type": "force",
            "reference_txn_id": int(held.index),
            "authorization_number": held.approval,
        }
        return self._answered(order, await self._calls.create(asked), "force")

    async def cancel(self, order: Order, key: str) -> IntentSnapshot:
        """See PaymentGateway."""
        del key
        now = await self.look_up_intent(order)
        if now.status == "succeeded":
            raise GatewayRefusedError("The intent was paid.", reason="payment_intent_unexpected_state")
        if now.amount_capturable_cents:
            held = await self._original(now.charge_id)
            asked = {
                "terminal_name": self._terminal.name,
                "txn_type": "cancel",
                "reference_txn_id": int(held.index),
                "authorization_number": held.approval,
                "user_defined_fields": [{"name": self._terminal.reference_field, "value": order.reference}],
            }
            said = await self._calls.create(asked)
            # A void that worked tells of no transaction. Any other answer has let nothing go.
            if said.get("error_code") not in (0, "0"):
                reason = meaning_of(result_of(said).get("processor_response_code")).reason
                raise GatewayRefusedError(f"Tranzila did not let the hold go: {reason}.", reason=reason)
        return IntentSnapshot(order.reference, "canceled", "canceled", order.currency, order.reference)

    async def look_up_intent(self, order: Order) -> IntentSnapshot:
        """See PaymentGateway. The report decides, whatever was said before."""
        lines = await self._calls.lines(self._by_reference(order.reference))
        taken = [line for line in lines if line.kind == "debit" and line.meaning.kind in ("approved", "partial")]
        if taken:
            return self._taken(order, taken[0])
        canceled = {line.parent for line in lines if line.kind == "cancel"}
        for line in reversed(lines):
            if line.kind == "verify" and line.code in (APPROVED, CHECKED) and line.index not in canceled:
                return self._held(order, line)
        if canceled:
            return IntentSnapshot(order.reference, "canceled", "canceled", order.currency, order.reference)
        if not lines:
            return self._waiting(order)
        newest = lines[-1]
        if newest.meaning.kind in ("unknown", "waiting"):
            return IntentSnapshot(
                order.reference,
                "processing",
                newest.code,
                order.currency,
                order.reference,
                charge_id=self._name(newest.index),
            )
        return self._declined(order, newest.code, newest.meaning, self._name(newest.index))

    async def open_page(self, order: Order, wish: PageWish, key: str) -> HostedPage:
        """See PaymentGateway."""
        del key
        mode = "A" if order.capture == "automatic" else "V"
        return await self._page(order.reference, order.amount_cents, order.currency, wish, mode)

    async def open_setup_page(self, order: SetupOrder, wish: PageWish, key: str) -> HostedPage:
        """See PaymentGateway. A token is made of a checked card; the sum is that of the check, never charged."""
        del key
        return await self._page(order.reference, 100, order.currency, wish, "NK")

    async def _page(self, reference: str, amount_cents: int, currency: str, wish: PageWish, mode: str) -> HostedPage:
        if currency not in CURRENCIES:
            raise GatewayRefusedError(f"Tranzila takes no {currency}.", reason="currency_not_allowed")
        total = to_major(amount_cents, currency)
        fields = {
            "sum": total,
            "currency": CURRENCIES[currency],
            "cred_type": "1",
            "tranmode": mode,
            "lang": "il" if wish.locale == "he" else "us",
            "success_url_address": wish.success_url,
            "fail_url_address": wish.cancel_url,
            "notify_url_address": wish.notify_url,
            "pdesc": wish.description,
            self._terminal.reference_field: reference,
        }
        if self._terminal.handshake:
            said = await self._calls.post(
                f"{self._at.api}/v2/handshake/create", {"terminal_name": self._terminal.name, "sum": total}, sent=False
            )
            if not said.get("thtk"):
                raise RetryableError("Tranzila's handshake gave no token.")
            fields["thtk"] = str(said["thtk"])
        url = f"{self._at.page}/{self._terminal.name}/iframenew.php?{urlencode(fields)}"
        return HostedPage(reference, url, None)

    # refunds

    async def refund(self, order: RefundOrder, key: str) -> RefundSnapshot:
        """See PaymentGateway."""
        del key
        original = await self._original(order.charge_id)
        asked = self._asked(order.amount_cents, order.currency, order.reference) | {
            "txn_type": "credit",
            "reference_txn_id": int(original.index),
            "authorization_number": original.approval,
        }
        result = result_of(await self._calls.create(asked))
        meaning = meaning_of(result.get("processor_response_code"))
        if meaning.kind in ("unknown", "waiting"):
            raise OutcomeUnknownError(f"Tranzila answered {result.get('processor_response_code')}.")
        if meaning.kind != "approved":
            raise GatewayRefusedError(f"Tranzila refused the refund: {meaning.reason}.", reason=meaning.reason)
        index, amount, currency = _moved(result)
        return RefundSnapshot(
            self._name(index),
            "succeeded",
            APPROVED,
            currency,
            amount,
            order.charge_id,
            order.reference,
        )

    async def look_up_refund(self, order: RefundOrder) -> RefundSnapshot | None:
        """See PaymentGateway."""
        for line in await self._calls.lines(self._by_reference(order.reference)):
            if line.kind == "credit" and line.meaning.kind == "approved":
                return RefundSnapshot(
                    self._name(line.index), "succeeded", line.code, line.currency, line.amount_cents,
                    order.charge_id, order.reference,
                )  # fmt: skip
        return None

    # cards

    async def customer(self, owner: str, key: str) -> str | None:
        """See PaymentGateway."""
        del owner, key
        return None

    async def save_method(self, order: SetupOrder, card_token: str, key: str) -> SetupSnapshot:
        """See PaymentGateway."""
        del order, card_token, key
        raise GatewayRefusedError("Cards are given on Tranzila's own page.", reason="page_needed")

    async def look_up_setup(self, order: SetupOrder) -> SetupSnapshot | None:
        """See PaymentGateway."""
        lines = await self._calls.lines(self._by_reference(order.reference))
        for line in lines:
            if line.kind == "verify" and line.code in (APPROVED, CHECKED) and line.token:
                saved = SavedMethod(line.token, None, line.token[-4:], line.exp_month, line.exp_year)
                return SetupSnapshot(self._name(line.index), "succeeded", line.code, saved)
        if lines:
            last = lines[-1]
            return SetupSnapshot(None, "requires_payment_method", last.code, error_code=last.meaning.reason)
        return SetupSnapshot(None, "requires_payment_method", "none")

    async def look_up_method(self, provider_method_id: str) -> SavedMethod | None:
        """See PaymentGateway. A token is good until it is refused: nobody can be asked, so there is nothing new."""
        return SavedMethod(provider_method_id, None, None, None, None)

    async def detach_method(self, provider_method_id: str) -> None:
        """See PaymentGateway. A token is forgotten by not being used: Tranzila has nothing to call."""
        del provider_method_id

    # reconciliation and webhooks

    async def list_movements(self, since: datetime, until: datetime) -> AsyncIterator[Movement]:
        """See PaymentGateway."""
        asked = {
            "transaction_start_date": since.astimezone(ZONE).date().isoformat(),
            "transaction_end_date": until.astimezone(ZONE).date().isoformat(),
        }
        for line in await self._calls.lines(asked):
            if not since <= line.at <= until or line.kind not in ("debit", "credit"):
                continue
            paid = line.meaning.kind in ("approved", "partial")
            status = ("succeeded" if line.kind == "credit" else "paid") if paid else "failed"
            yield Movement(
                "refund" if line.kind == "credit" else "charge", self._name(line.index), line.amount_cents,
                line.currency,
                "pending" if line.meaning.kind in ("unknown", "waiting") else status, line.at, line.reference,
                charge_id=self._name(line.parent) if line.kind == "credit" and line.parent else None,
            )  # fmt: skip

    async def list_hints(self, since: datetime) -> AsyncIterator[GatewayEvent]:
        """See PaymentGateway. Tranzila remembers no notices; reconciliation finds what they would have told."""
        del since
        return
        yield  # pragma: no cover - makes this an iterator

    async def register_webhook(self, url: str) -> str | None:
        """See PaymentGateway. Each page carries its own address for notices."""
        del url
        return None

    # what these share

    def _asked(self, amount_cents: int, currency: str, reference: str) -> dict[str, Any]:
        item = {
            "name": "Loom", "type": "I", "unit_price": float(to_major(amount_cents, currency)), "units_number": 1,
            "unit_type": 1, "price_type": "G", "currency_code": currency,
        }  # fmt: skip
        return {
            "terminal_name": self._terminal.name,
            "txn_currency_code": currency,
            "items": [item],
            "response_language": "english",
            "user_defined_fields": [{"name": self._terminal.reference_field, "value": reference}],
        }

    def _by_reference(self, reference: str) -> dict[str, Any]:
        return {"ufields": [{"name": self._terminal.reference_field, "operator": "equals", "value": reference}]}

    def _name(self, index: str) -> str:
        """Indexes are a terminal's own; two terminals may have the same."""
        return f"{self._terminal.name}:{index}"

    def _waiting(self, order: Order) -> IntentSnapshot:
        return IntentSnapshot(order.reference, "requires_payment_method", "none", order.currency, order.reference)

    def _taken(self, order: Order, line: Line) -> IntentSnapshot:
        whole = line.meaning.kind == "approved"
        return IntentSnapshot(
            order.reference, "succeeded", line.code, line.currency, line.reference,
            # Of a whole approval the sum must be ours; a partial one, or a capture of a part, takes less.
            amount_cents=line.amount_cents if whole and order.capture == "automatic" else None,
            amount_received_cents=line.amount_cents, charge_id=self._name(line.index),
            error_code=None if whole else line.meaning.reason,
        )  # fmt: skip

    def _held(self, order: Order, line: Line) -> IntentSnapshot:
        return IntentSnapshot(
            order.reference, "processing", "held", line.currency, line.reference,
            amount_capturable_cents=line.amount_cents, charge_id=self._name(line.index),
        )  # fmt: skip

    def _declined(self, order: Order, code: str, meaning: Meaning, charge_id: str | None) -> IntentSnapshot:
        status = "canceled" if meaning.kind == "tampered" else "requires_payment_method"
        return IntentSnapshot(
            order.reference, status, code, order.currency, order.reference, charge_id=charge_id,
            error_code=meaning.reason, error_message=f"Tranzila answered {code or 'nothing'}.",
        )  # fmt: skip

    def _answered(self, order: Order, said: dict[str, Any], asked: str) -> IntentSnapshot:
        """The answer to a charge. Both the API and the processor have to say yes, and the sum has to be there."""
        result = result_of(said)
        code = str(result.get("processor_response_code") or "")
        meaning = meaning_of(code)
        if not code or meaning.kind in ("unknown", "waiting"):
            raise OutcomeUnknownError(f"Tranzila answered {code}.")
        checked = asked == "verify" and code == CHECKED
        if meaning.kind not in ("approved", "partial") and not checked:
            index = str(result.get("transaction_id") or "")
            return self._declined(order, code, meaning, self._name(index) if index else None)
        index, amount, currency = _moved(result)
        if (asked == "verify") != (str(result.get("txn_type") or asked).lower() == "verify"):
            raise OutcomeUnknownError("Tranzila's answer is of another kind of transaction than was asked for.")
        if asked == "verify":
            return IntentSnapshot(
                order.reference, "processing", "held", currency, order.reference,
                amount_capturable_cents=amount, charge_id=self._name(index),
            )  # fmt: skip
        whole = meaning.kind == "approved" and order.capture == "automatic"
        return IntentSnapshot(
            order.reference, "succeeded", code, currency, order.reference,
            amount_cents=amount if whole else None, amount_received_cents=amount, charge_id=self._name(index),
            error_code=None if meaning.kind == "approved" else meaning.reason,
        )  # fmt: skip

    async def _original(self, charge_id: str | None) -> Line:
        """The transaction that something refers to, for its index and its authorisation."""
        index = (charge_id or "").rpartition(":")[2]
        lines = await self._calls.lines({"transaction_index": int(index)}) if index.isdigit() else []
        if not lines:
            # The report may be behind. Nothing was sent, so whoever wanted this asks again.
            raise RetryableError("Tranzila's report does not show the original transaction yet.")
        return lines[0]


def _moved(result: dict[str, Any]) -> tuple[str, int, str]:
    """Index, sum and currency that a yes names: what it says, not what was asked for. Without them it needs a look."""
    index = str(result.get("transaction_id") or "")
    try:
        currency = currency_of(result.get("currency_code") or result.get("currency"))
        amount = from_report(result.get("amount"), currency)
    except ValueError as exc:
        raise OutcomeUnknownError(f"Tranzila's answer can't be read ({exc}).") from exc
    if not index:
        raise OutcomeUnknownError("Tranzila's answer names no transaction.")
    return index, amount, currency
