"""What documents ask of the database, as typed functions. Policies decide what is found."""

from __future__ import annotations

from uuid import UUID

from loom.core.errors import NotFound
from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.documents.schemas import (
    DocumentSend,
    Letter,
    Letterhead,
    LinkedDocument,
    OpenPayment,
    Printable,
    Receipt,
    SetLetterhead,
)
from loom.http.cursors import After

SQL = load_queries("loom.features.documents")


async def document(q: Executor, invoice_id: UUID) -> Printable:
    """What a document says; of a draft, what it would say."""
    return await q.fetch_one(SQL["document"], {"id": invoice_id}, Printable)


async def document_by_link(q: Executor, token: str) -> LinkedDocument:
    """The document behind a link, and how it stands."""
    return await q.fetch_one(SQL["document_by_link"], {"token": token}, LinkedDocument)


async def receipts_by_link(q: Executor, token: str) -> list[Receipt]:
    """Receipts of what was paid on the document behind a link."""
    return await q.fetch_all(SQL["receipts_by_link"], {"token": token}, Receipt)


async def issue_receipts_by_link(q: Executor, token: str) -> int:
    """Makes those that are missing; how many."""
    return await q.fetch_value(SQL["issue_receipts_by_link"], {"token": token})


async def receipt_by_link(q: Executor, token: str, receipt_id: UUID) -> Printable:
    """One of them."""
    return await q.fetch_one(SQL["receipt_by_link"], {"token": token, "id": receipt_id}, Printable)


async def begin_payment_by_link(q: Executor, token: str) -> UUID:
    """The intent to pay what is open at the gateway's own page; the open one if there is one."""
    return await q.fetch_value(SQL["begin_payment_by_link"], {"token": token})


async def open_payments_by_link(q: Executor, token: str) -> list[OpenPayment]:
    """What the gateway has to be asked about."""
    return await q.fetch_all(SQL["open_payments_by_link"], {"token": token}, OpenPayment)


async def get_letterhead(q: Executor) -> Letterhead:
    """That of the caller's practice."""
    return await q.fetch_one(SQL["get_letterhead"], {}, Letterhead)


async def set_letterhead(q: Executor, new: SetLetterhead) -> None:
    """Of the practice that the caller owns. NotFound where there is none."""
    if await q.fetch_value(SQL["set_letterhead"], new.model_dump()) is None:
        raise NotFound


async def set_logo(q: Executor, content: bytes | None) -> None:
    """Of the practice that the caller owns; None removes it. NotFound where there is none."""
    if await q.fetch_value(SQL["set_logo"], {"content": content}) is None:
        raise NotFound


async def send_document(q: Executor, invoice_id: UUID, email: str | None) -> DocumentSend:
    """Has it mailed once this transaction is done."""
    send_id = await q.fetch_value(SQL["send_document"], {"id": invoice_id, "email": email})
    return await q.fetch_one(SQL["get_send"], {"id": send_id}, DocumentSend)


async def list_sends(q: Executor, invoice_id: UUID, *, after: After, limit: int) -> list[DocumentSend]:
    """Mails of a document, newest first, one more than `limit` where there are more."""
    page = {"id": invoice_id, "after_at": after.at, "after_id": after.id, "limit": limit + 1}
    return await q.fetch_all(SQL["list_sends"], page, DocumentSend)


async def make_link(q: Executor, invoice_id: UUID, days: int) -> str:
    """The token of a new link."""
    return await q.fetch_value(SQL["make_link"], {"id": invoice_id, "days": days})


async def revoke_links(q: Executor, invoice_id: UUID) -> int:
    """How many links were good until now."""
    return await q.fetch_value(SQL["revoke_links"], {"id": invoice_id})


async def document_to_send(q: Executor, send_id: UUID) -> Letter | None:
    """What a mail is made of; None where it was sent already."""
    return await q.find_one(SQL["document_to_send"], {"id": send_id}, Letter)


async def finish_send(q: Executor, send_id: UUID, failure: str | None) -> None:
    """The mail left, or was refused for good."""
    await q.execute(SQL["finish_send"], {"id": send_id, "failure": failure})
