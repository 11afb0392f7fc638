"""Documents by link: no account, no token but the one in the address."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from loom.features.documents import queries, service
from loom.features.documents.api.prints import PDF, InLanguage, pdf_answer
from loom.features.documents.schemas import SharedDocument
from loom.http import PublicRead, RateLimit, problems

router = APIRouter(prefix="/v1/documents", tags=["documents"])

Token = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]


@router.get("/{token}", responses=problems(404, 410), dependencies=[RateLimit("document", 60, per=60)])
async def get_shared_document(token: Token, read: PublicRead) -> SharedDocument:
    """The document behind a link, and what is still open on it.

    404 for an unknown or revoked link, 410 for an expired one.
    """
    found = await queries.document_by_link(read, token)
    return SharedDocument(document=found.content, state=found.state)


@router.get(
    "/{token}/pdf",
    response_class=Response,
    responses=problems(404, 410) | PDF,
    dependencies=[RateLimit("document", 60, per=60)],
)
async def get_shared_pdf(token: Token, read: PublicRead, language: InLanguage = None) -> Response:
    """The document behind a link as a PDF."""
    found = await queries.document_by_link(read, token)
    return pdf_answer(await service.pdf(found, language), found.content)
