"""Routes of the journal, of number series, and of the rules that documents follow."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from loom.db.database import Tx
from loom.features.books import queries
from loom.features.books.schemas import BooksCheck, ContinueSeries, JournalEntry, NextNumber, NumberSeries, TaxRule
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1", tags=["books"])

OfRelation = Annotated[UUID | None, Query(description="Only those of this client of a coach.")]
OfSubject = Annotated[UUID | None, Query(description="Only those of this document or payment.")]


@router.get("/journal")
async def list_journal(
    read: Read,
    subject_id: OfSubject = None,
    coach_client_id: OfRelation = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[JournalEntry]:
    """Your practice's books, the last movement first. Nothing in them is ever changed."""
    found = await queries.journal(
        read, subject_id=subject_id, coach_client_id=coach_client_id, after=decode_after(cursor), limit=limit
    )
    return page_of(found, limit, "created_at", "id")


@router.get("/journal/check")
async def check_books(read: Read) -> BooksCheck:
    """Whether your practice's documents, payments, balances and books agree, and where they do not."""
    differences = await queries.verify(read)
    return BooksCheck(agrees=not differences, differences=differences)


@router.get("/document-series")
async def list_series(read: Read) -> Page[NumberSeries]:
    """Where the numbers of your practice's documents stand."""
    return Page(items=await queries.series(read), next_cursor=None)


@router.post("/document-series", response_model=NextNumber, responses=problems(404, 409))
async def continue_series(body: ContinueSeries, write: Write) -> Response:
    """Go on from the last number that another system gave this year. Only while Loom has given none."""

    async def work(tx: Tx) -> NextNumber:
        return NextNumber(next_number=await queries.continue_series(tx, body))

    return await write.run(work)


@router.get("/tax-rules")
async def list_tax_rules(read: Read) -> Page[TaxRule]:
    """Tax rates and thresholds by country and day, as Loom knows them. Facts with their source, not advice."""
    return Page(items=await queries.tax_rules(read), next_cursor=None)
