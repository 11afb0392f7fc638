"""Times that are held while somebody pays, or that a coach is asked for."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.features.booking import queries, service
from loom.features.booking.schemas import Ask, BookingRequest, Close, Hold, RequestKind, RequestStatus
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(tags=["booking"])


@router.post("/holds", status_code=201, response_model=BookingRequest, responses=problems(404, 409))
async def hold_slot(body: Hold, write: Write) -> Response:
    """Keep a time on offer free for you, for as many minutes as its template says."""
    return await write.run(
        lambda tx: service.ask(tx, body), status=201, location=lambda made: f"/v1/booking-requests/{made.id}"
    )


@router.post("/booking-requests", status_code=201, response_model=BookingRequest, responses=problems(404, 409))
async def request_slot(body: Ask, write: Write) -> Response:
    """Ask the coach for a time on offer, where the coach wants to be asked."""
    return await write.run(
        lambda tx: service.ask(tx, body), status=201, location=lambda made: f"/v1/booking-requests/{made.id}"
    )


@router.get("/booking-requests")
async def list_requests(
    read: Read,
    kind: RequestKind | None = None,
    status: RequestStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[BookingRequest]:
    """What you hold or ask for and, as a coach, what you are asked for, oldest first."""
    rows = await queries.list_requests(read, kind=kind, status=status, after=decode_after(cursor), limit=limit + 1)
    return page_of(rows, limit, "created_at", "id")


@router.get("/booking-requests/{request_id}", responses=problems(404))
async def get_request(request_id: UUID, read: Read) -> BookingRequest:
    """One of them."""
    return await queries.get_request(read, request_id)


@router.post("/booking-requests/{request_id}/accept", response_model=BookingRequest, responses=problems(404, 409))
async def accept_request(request_id: UUID, write: Write) -> Response:
    """Make it a session: a client their hold, unless it has to be paid for; a coach a request, or a hold as paid."""
    return await write.run(lambda tx: service.accept(tx, request_id))


@router.post("/booking-requests/{request_id}/close", response_model=BookingRequest, responses=problems(404, 409))
async def close_request(request_id: UUID, body: Close, write: Write) -> Response:
    """Say no as its coach, or give it up as its client. The time is free again at once."""
    return await write.run(lambda tx: service.close(tx, request_id, body.reason))
