"""Routes of what is not billed yet, and of who owes what."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime
from starlette.responses import Response

from loom.db.database import Tx
from loom.features.books import queries
from loom.features.books.schemas import (
    BilledMonth,
    BillMonth,
    ClientBalance,
    SeatWriteOff,
    UnbilledItem,
    WriteOffSeat,
)
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1", tags=["books"])

OfRelation = Annotated[UUID | None, Query(description="Only those of this client of a coach.")]
From = Annotated[AwareDatetime, Query(alias="from", description="From this instant on.")]
To = Annotated[AwareDatetime, Query(description="Until before this instant.")]
Overdue = Annotated[bool, Query(description="Only those with something overdue.")]


@router.get("/unbilled")
async def list_unbilled(read: Read, start: From, to: To, coach_client_id: OfRelation = None) -> Page[UnbilledItem]:
    """What your clients owe from a time and no invoice has: seats that were held, and fees of seats that were not."""
    return Page(items=await queries.unbilled(read, start, to, coach_client_id), next_cursor=None)


@router.post("/unbilled/bill-month", response_model=BilledMonth, responses=problems(404))
async def bill_month(body: BillMonth, write: Write) -> Response:
    """Bill everything unbilled of a month in your practice's zone: one invoice for each client and currency.

    Each client's invoice is made whole or not at all; what is wrong with one does not hold up the others.
    """

    async def work(tx: Tx) -> BilledMonth:
        return BilledMonth(clients=await queries.bill_month(tx, body))

    return await write.run(work)


@router.post("/attendees/{attendee_id}/write-off", response_model=SeatWriteOff, responses=problems(404, 409))
async def write_off_seat(attendee_id: UUID, body: WriteOffSeat, write: Write) -> Response:
    """Give up on a seat that no invoice has, and say why: it is not billed any more."""
    return await write.made(lambda tx: queries.write_off_seat(tx, attendee_id, body.reason), queries.get_seat_write_off)


@router.post("/attendees/{attendee_id}/restore", response_model=SeatWriteOff, responses=problems(404, 409))
async def restore_seat(attendee_id: UUID, write: Write) -> Response:
    """Take the write-off of a seat back: it can be billed again. Both stay on record."""
    return await write.made(lambda tx: queries.restore_seat(tx, attendee_id), queries.get_seat_write_off)


@router.get("/seat-write-offs")
async def list_seat_write_offs(
    read: Read, coach_client_id: OfRelation = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[SeatWriteOff]:
    """Seats that your practice gave up on unbilled, by whom and why, newest first."""
    found = await queries.list_seat_write_offs(
        read, coach_client_id=coach_client_id, after=decode_after(cursor), limit=limit
    )
    return page_of(found, limit, "created_at", "id")


@router.get("/client-balances")
async def list_client_balances(
    read: Read, coach_client_id: OfRelation = None, overdue: Overdue = False
) -> Page[ClientBalance]:
    """How clients stand, one row for each currency, the longest overdue first. A client sees the client's own."""
    return Page(items=await queries.client_balances(read, coach_client_id, overdue=overdue), next_cursor=None)
