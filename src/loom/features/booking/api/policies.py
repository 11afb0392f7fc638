"""What cancelling costs: a coach's own policies, and the terms that a client sees before booking."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.features.booking import queries, service
from loom.features.booking.schemas import SetPolicy, Terms
from loom.http import Read, Write, problems

router = APIRouter(tags=["cancellation"])


@router.get("/cancellation-policy", responses=problems(404))
async def get_policy(read: Read) -> Terms:
    """Your policy as a coach for whatever has none of its own. 404 while there is none."""
    return await queries.get_own_policy(read)


@router.put("/cancellation-policy", response_model=Terms, responses=problems(404))
async def set_policy(body: SetPolicy, write: Write) -> Response:
    """Replace it. Only for coaches; what is booked already keeps its terms."""
    return await write.run(lambda tx: queries.set_policy(tx, None, body))


@router.delete("/cancellation-policy", status_code=204, responses=problems(404))
async def delete_policy(write: Write) -> Response:
    """Have none: cancelling is free."""
    return await write.run(lambda tx: service.delete_policy(tx, None))


@router.get("/session-templates/{template_id}/cancellation-policy", responses=problems(404))
async def get_terms(template_id: UUID, read: Read) -> Terms:
    """The terms that a booking from this template would be held to: its own, or else its coach's."""
    return await queries.cancellation_terms(read, template_id)


@router.put("/session-templates/{template_id}/cancellation-policy", response_model=Terms, responses=problems(404))
async def set_template_policy(template_id: UUID, body: SetPolicy, write: Write) -> Response:
    """Give a template terms of its own. Only its coach."""
    return await write.run(lambda tx: queries.set_policy(tx, template_id, body))


@router.delete("/session-templates/{template_id}/cancellation-policy", status_code=204, responses=problems(404))
async def delete_template_policy(template_id: UUID, write: Write) -> Response:
    """Back to the coach's own. Only its coach."""
    return await write.run(lambda tx: service.delete_policy(tx, template_id))
