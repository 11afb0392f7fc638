"""Routes of one's own documents: as a PDF, by mail, and as links."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from loom.db.database import Tx
from loom.features.documents import queries, service
from loom.features.documents.schemas import (
    Document,
    DocumentLink,
    DocumentSend,
    Language,
    MakeLink,
    RevokedLinks,
    SendDocument,
)
from loom.http import AppServices, Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1/invoices/{invoice_id}", tags=["documents"])

InLanguage = Annotated[Language | None, Query(description="The document's own language, unless given.")]
PDF: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}
}


def pdf_answer(content: bytes, document: Document) -> Response:
    """A PDF that a browser shows and saves under the document's number."""
    disposition = f'inline; filename="{document.file_name}"'
    return Response(content, media_type="application/pdf", headers={"Content-Disposition": disposition})


@router.get("/pdf", response_class=Response, responses=problems(404, 409) | PDF)
async def get_invoice_pdf(invoice_id: UUID, read: Read, language: InLanguage = None) -> Response:
    """The document as a PDF. An issued one always gives the same bytes; a draft is marked as one."""
    printable = await queries.document(read, invoice_id)
    return pdf_answer(await service.pdf(printable, language), printable.content)


@router.post("/send", status_code=202, response_model=DocumentSend, responses=problems(404, 409))
async def send_invoice(invoice_id: UUID, body: SendDocument, write: Write) -> Response:
    """Mail an issued document of yours with its PDF and a link, to its buyer or to an address given."""
    return await write.run(lambda tx: queries.send_document(tx, invoice_id, body.email), status=202)


@router.get("/sends")
async def list_invoice_sends(
    invoice_id: UUID, read: Read, limit: Limit = 50, cursor: Cursor = None
) -> Page[DocumentSend]:
    """Mails that carry a document of yours, newest first, and what became of each."""
    found = await queries.list_sends(read, invoice_id, after=decode_after(cursor), limit=limit)
    return page_of(found, limit, "created_at", "id")


@router.post("/links", status_code=201, response_model=DocumentLink, responses=problems(404, 409))
async def make_invoice_link(invoice_id: UUID, body: MakeLink, write: Write, app: AppServices) -> Response:
    """A link that shows an issued document of yours to whoever has it, without signing in. It is told this once."""

    async def work(tx: Tx) -> DocumentLink:
        token = await queries.make_link(tx, invoice_id, body.days)
        return DocumentLink(url=f"{app.settings.base_url}/pay/{token}")

    return await write.run(work, status=201, remember=False)


@router.delete("/links", response_model=RevokedLinks, responses=problems(404, 409))
async def revoke_invoice_links(invoice_id: UUID, write: Write) -> Response:
    """Take back every link to a document of yours, those in mails included."""

    async def work(tx: Tx) -> RevokedLinks:
        return RevokedLinks(revoked=await queries.revoke_links(tx, invoice_id))

    return await write.run(work)
