"""What billing asks of the database as the caller, as typed functions. Policies decide what is found."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from loom.core.errors import NotFound
from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.billing.gateway_schemas import (
    ChangePaymentMethod,
    Consent,
    EventStatus,
    GatewayAccount,
    GatewayAlert,
    MethodSetup,
    PaymentMethod,
    Reconciliation,
    WebhookEvent,
)
from loom.features.billing.schemas import (
    Allocation,
    ChangeInvoice,
    Created,
    CreditInvoice,
    DocumentKind,
    DraftInvoice,
    Intent,
    IntentWithSecret,
    Invoice,
    InvoicePart,
    InvoiceStatus,
    InvoiceWithLines,
    NewLine,
    NoteNumbers,
    Payment,
    PaymentStatus,
    RecordOnAccount,
    RecordPayment,
    Refund,
    RequestRefund,
)
from loom.http.cursors import After

SQL = load_queries("loom.features.billing")


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What opens an account at a gateway; secrets are sealed."""

    api_key: str
    webhook_secret: str | None
    webhook_token: str
    external_id: str | None = None
    public_key: str | None = None
    is_live: bool = False
    options: dict[str, Any] = field(default_factory=dict[str, Any])


async def draft_invoice(q: Executor, new: DraftInvoice) -> UUID:
    """The id of the new draft."""
    lines = "[" + ",".join(line.model_dump_json(exclude_none=True) for line in new.lines) + "]"
    return await q.fetch_value(SQL["draft_invoice"], new.model_dump(exclude={"lines"}) | {"lines": lines})


async def list_invoices(
    q: Executor,
    *,
    status: InvoiceStatus | None,
    draft: bool | None,
    document_kind: DocumentKind | None,
    payment_id: UUID | None,
    client_id: UUID | None,
    coach_client_id: UUID | None,
    after: After,
    limit: int,
) -> list[Invoice]:
    """Newest first, one more than `limit` where there are more."""
    wanted = {
        "document_kind": document_kind,
        "payment_id": payment_id,
        "status": status,
        "draft": draft,
        "client_id": client_id,
        "coach_client_id": coach_client_id,
    }
    return await q.fetch_all(SQL["list_invoices"], wanted | _page(after, limit), Invoice)


async def get_invoice(q: Executor, invoice_id: UUID) -> InvoiceWithLines:
    """An invoice with its lines."""
    return await q.fetch_one(SQL["get_invoice"], {"id": invoice_id}, InvoiceWithLines)


async def edit_draft(q: Executor, invoice_id: UUID, change: ChangeInvoice) -> None:
    """Only what was sent changes."""
    await q.fetch_value(
        SQL["edit_draft_invoice"], {"id": invoice_id, "changes": change.model_dump_json(exclude_unset=True)}
    )


async def delete_draft(q: Executor, invoice_id: UUID) -> None:
    """Throws a draft away."""
    await q.fetch_value(SQL["delete_draft_invoice"], {"id": invoice_id})


async def add_line(q: Executor, invoice_id: UUID, line: NewLine) -> None:
    """Adds a line to a draft."""
    await q.fetch_value(SQL["add_invoice_line"], {"id": invoice_id, "line": line.model_dump_json(exclude_none=True)})


async def remove_line(q: Executor, invoice_id: UUID, line_id: UUID) -> None:
    """Takes a line off a draft; NotFound when the invoice has no such line."""
    if not await q.execute(SQL["remove_invoice_line"], {"id": invoice_id, "line_id": line_id}):
        raise NotFound


async def finalize_invoice(q: Executor, invoice_id: UUID, document_number: str | None) -> None:
    """Gives a draft its number, for good; one of another system where documents are made there."""
    await q.fetch_value(SQL["finalize_invoice"], {"id": invoice_id, "document_number": document_number})


async def void_invoice(q: Executor, invoice_id: UUID, reason: str | None) -> None:
    """Voids an unpaid invoice."""
    await q.fetch_value(SQL["void_invoice"], {"id": invoice_id, "reason": reason})


async def write_off_invoice(q: Executor, invoice_id: UUID, reason: str) -> None:
    """Gives up on an open invoice."""
    await q.fetch_value(SQL["write_off_invoice"], {"id": invoice_id, "reason": reason})


async def restore_invoice(q: Executor, invoice_id: UUID) -> None:
    """Takes a write-off back."""
    await q.fetch_value(SQL["restore_invoice"], {"id": invoice_id})


async def credit_invoice(q: Executor, invoice_id: UUID, asked: CreditInvoice) -> UUID:
    """The id of the credit note."""
    return await q.fetch_value(
        SQL["credit_invoice"], {"id": invoice_id, "amount_cents": asked.amount_cents, "reason": asked.reason}
    )


async def note_numbers(q: Executor, invoice_id: UUID, numbers: NoteNumbers) -> None:
    """Notes what others call a document."""
    await q.fetch_value(
        SQL["note_document_numbers"],
        {
            "id": invoice_id,
            "allocation_number": numbers.allocation_number,
            "document_number": numbers.document_number,
        },
    )


async def begin_intent(q: Executor, invoice_id: UUID, *, channel: str = "direct", capture: str = "automatic") -> UUID:
    """The open intent of the invoice, made if there is none."""
    wanted = {"invoice_id": invoice_id, "channel": channel, "capture": capture}
    return await q.fetch_value(SQL["begin_payment_intent"], wanted)


async def begin_hold_payment(q: Executor, request_id: UUID, *, channel: str = "direct") -> UUID:
    """The open intent of a time that is held, made if there is none."""
    return await q.fetch_value(SQL["begin_hold_payment"], {"request_id": request_id, "channel": channel})


async def begin_attempt(q: Executor, intent_id: UUID, method_id: UUID | None) -> UUID:
    """The pending payment of an attempt that is about to be sent."""
    return await q.fetch_value(SQL["begin_payment_attempt"], {"intent_id": intent_id, "method_id": method_id})


async def cancel_intent(q: Executor, intent_id: UUID) -> None:
    """Gives an intent up."""
    await q.fetch_value(SQL["cancel_payment_intent"], {"id": intent_id})


async def get_intent(q: Executor, intent_id: UUID) -> Intent:
    """An intent, without its secret."""
    return await q.fetch_one(SQL["get_intent"], {"id": intent_id}, Intent)


async def get_intent_with_secret(q: Executor, intent_id: UUID) -> IntentWithSecret:
    """An intent; the secret is null to everybody but the payer."""
    return await q.fetch_one(SQL["get_intent_with_secret"], {"id": intent_id}, IntentWithSecret)


async def list_intents(q: Executor, *, invoice_id: UUID | None, after: After, limit: int) -> list[Intent]:
    """Newest first, one more than `limit` where there are more."""
    return await q.fetch_all(SQL["list_intents"], {"invoice_id": invoice_id} | _page(after, limit), Intent)


async def record_manual_payment(q: Executor, new: RecordPayment) -> UUID:
    """The id of the payment."""
    return await q.fetch_value(SQL["record_manual_payment"], new.model_dump())


async def record_on_account(q: Executor, new: RecordOnAccount) -> UUID:
    """The id of the payment."""
    parts = "[" + ",".join(part.model_dump_json(exclude_none=True) for part in new.allocations) + "]"
    return await q.fetch_value(
        SQL["record_payment_on_account"], new.model_dump(exclude={"allocations"}) | {"allocations": parts}
    )


async def allocate(q: Executor, payment_id: UUID, part: InvoicePart) -> None:
    """Gives a part of a payment to an invoice."""
    await q.fetch_value(
        SQL["allocate_to_invoice"],
        {"payment_id": payment_id, "invoice_id": part.invoice_id, "amount_cents": part.amount_cents},
    )


async def release(q: Executor, payment_id: UUID, part: InvoicePart) -> None:
    """Takes money off an invoice again."""
    await q.fetch_value(
        SQL["release_from_invoice"],
        {"payment_id": payment_id, "invoice_id": part.invoice_id, "amount_cents": part.amount_cents},
    )


async def undo_payment(q: Executor, payment_id: UUID, reason: str) -> None:
    """Undoes what was recorded by mistake."""
    await q.fetch_value(SQL["undo_payment"], {"payment_id": payment_id, "reason": reason})


async def issue_receipt(q: Executor, payment_id: UUID) -> UUID:
    """The id of the receipt, made if there is none."""
    return await q.fetch_value(SQL["issue_receipt"], {"payment_id": payment_id})


async def list_allocations(q: Executor, payment_id: UUID, *, after: After, limit: int) -> list[Allocation]:
    """What invoices have of a payment, newest first, one more than `limit` where there are more."""
    return await q.fetch_all(SQL["list_allocations"], {"payment_id": payment_id} | _page(after, limit), Allocation)


async def list_payments(
    q: Executor, *, invoice_id: UUID | None, status: PaymentStatus | None, after: After, limit: int
) -> list[Payment]:
    """Newest first, one more than `limit` where there are more."""
    wanted = {"invoice_id": invoice_id, "status": status}
    return await q.fetch_all(SQL["list_payments"], wanted | _page(after, limit), Payment)


async def get_payment(q: Executor, payment_id: UUID) -> Payment:
    """A payment."""
    return await q.fetch_one(SQL["get_payment"], {"id": payment_id}, Payment)


async def request_refund(q: Executor, payment_id: UUID, wanted: RequestRefund) -> UUID:
    """The id of the refund, whose amount is reserved from now on."""
    return await q.fetch_value(SQL["request_refund"], {"payment_id": payment_id} | wanted.model_dump())


async def refund_session(q: Executor, session_id: UUID) -> list[Created]:
    """The refunds that a cancelled session caused just now."""
    return await q.fetch_all(SQL["refund_cancelled_session"], {"session_id": session_id}, Created)


async def list_refunds(q: Executor, *, payment_id: UUID | None, after: After, limit: int) -> list[Refund]:
    """Newest first, one more than `limit` where there are more."""
    return await q.fetch_all(SQL["list_refunds"], {"payment_id": payment_id} | _page(after, limit), Refund)


async def get_refund(q: Executor, refund_id: UUID) -> Refund:
    """A refund."""
    return await q.fetch_one(SQL["get_refund"], {"id": refund_id}, Refund)


async def gateway_of(q: Executor, practice_id: UUID) -> UUID:
    """The account that keeps cards for a practice."""
    return await q.fetch_value(SQL["payment_gateway_of"], {"practice_id": practice_id})


async def list_methods(q: Executor, *, after: After, limit: int) -> list[PaymentMethod]:
    """The caller's own, newest first, one more than `limit` where there are more."""
    return await q.fetch_all(SQL["list_payment_methods"], _page(after, limit), PaymentMethod)


async def get_method(q: Executor, method_id: UUID) -> PaymentMethod:
    """One of the caller's own."""
    return await q.fetch_one(SQL["get_payment_method"], {"id": method_id}, PaymentMethod)


async def change_method(q: Executor, method_id: UUID, change: ChangePaymentMethod) -> PaymentMethod:
    """One of the caller's own, as it is now."""
    return await q.fetch_one(SQL["change_payment_method"], {"id": method_id} | change.model_dump(), PaymentMethod)


async def begin_setup(q: Executor, wanted: Consent) -> UUID:
    """The wish to keep a card, with its consent."""
    asked = wanted.model_dump(include={"practice_id", "consent_text", "off_session", "is_default"})
    return await q.fetch_value(SQL["begin_method_setup"], asked)


async def get_setup(q: Executor, setup_id: UUID) -> MethodSetup:
    """One of the caller's own."""
    return await q.fetch_one(SQL["get_method_setup"], {"id": setup_id}, MethodSetup)


async def begin_capture(q: Executor, intent_id: UUID, amount_cents: int | None) -> UUID:
    """What is held shall be taken."""
    await q.fetch_value(SQL["begin_capture"], {"id": intent_id, "amount_cents": amount_cents})
    return intent_id


async def begin_off_session_charge(q: Executor, invoice_id: UUID) -> UUID:
    """The intent by which a consented card is charged."""
    return await q.fetch_value(SQL["begin_off_session_charge"], {"invoice_id": invoice_id})


async def list_reconciliations(q: Executor, *, after: After, limit: int) -> list[Reconciliation]:
    """Newest first, one more than `limit` where there are more."""
    return await q.fetch_all(SQL["list_reconciliations"], _page(after, limit), Reconciliation)


async def list_alerts(q: Executor, *, is_open: bool | None, after: After, limit: int) -> list[GatewayAlert]:
    """Newest first, one more than `limit` where there are more."""
    return await q.fetch_all(SQL["list_gateway_alerts"], {"open": is_open} | _page(after, limit), GatewayAlert)


async def list_events(
    q: Executor, *, status: EventStatus | None, account_id: UUID | None, after: After, limit: int
) -> list[WebhookEvent]:
    """Newest first, one more than `limit` where there are more."""
    wanted = {"status": status, "account_id": account_id} | _page(after, limit)
    return await q.fetch_all(SQL["list_webhook_events"], wanted, WebhookEvent)


async def get_event(q: Executor, event_id: UUID) -> WebhookEvent:
    """One event of the inbox."""
    return await q.fetch_one(SQL["get_webhook_event"], {"id": event_id}, WebhookEvent)


async def replay_event(q: Executor, event_id: UUID) -> WebhookEvent:
    """Has the worker handle it once more. NotFound for whoever may not, and where there is none."""
    if await q.fetch_value(SQL["replay_webhook_event"], {"id": event_id}) is None:
        raise NotFound
    return await get_event(q, event_id)


async def detach_method(q: Executor, method_id: UUID) -> None:
    """NotFound when there was none to remove."""
    if not await q.execute(SQL["detach_payment_method"], {"id": method_id}):
        raise NotFound


async def list_accounts(q: Executor, *, after: After, limit: int) -> list[GatewayAccount]:
    """The practice's, newest first, one more than `limit` where there are more."""
    return await q.fetch_all(SQL["list_gateway_accounts"], _page(after, limit), GatewayAccount)


async def get_account(q: Executor, account_id: UUID) -> GatewayAccount:
    """One account, without its secrets."""
    return await q.fetch_one(SQL["get_gateway_account"], {"id": account_id}, GatewayAccount)


async def add_account(
    q: Executor, *, provider: str, display_name: str, webhook_token_hash: str, opened: NewAccount
) -> UUID:
    """The id of the account; only owners of a practice have one to add it to."""
    return await q.fetch_value(
        SQL["add_gateway_account"],
        {
            "provider": provider,
            "display_name": display_name,
            "webhook_token_hash": webhook_token_hash,
            "api_key": opened.api_key,
            "webhook_secret": opened.webhook_secret,
            "external_id": opened.external_id,
            "public_key": opened.public_key,
            "is_live": opened.is_live,
            "webhook_token": opened.webhook_token,
            "options": json.dumps(opened.options),
        },
    )


async def disable_account(q: Executor, account_id: UUID) -> None:
    """Takes no new payments through it any more."""
    await q.fetch_value(SQL["disable_gateway_account"], {"id": account_id})


async def settle_differences(q: Executor, account_id: UUID) -> None:
    """What a comparison found there is dealt with."""
    await q.fetch_value(SQL["settle_gateway_differences"], {"id": account_id})


def _page(after: After, limit: int) -> dict[str, object]:
    return {"after_at": after.at, "after_id": after.id, "limit": limit + 1}
