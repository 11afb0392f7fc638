"""Who can be booked, what they offer, and when they are free."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from loom.features.scheduling import queries
from loom.features.scheduling.api.cursors import after_name
from loom.features.scheduling.schemas import (
    CreateTemplate,
    DirectoryCoach,
    Instant,
    Slot,
    SlotReason,
    Template,
    UpdateTemplate,
    Zone,
)
from loom.http import AppServices, Cursor, Limit, Page, Read, SignedIn, Write, page_of, problems

router = APIRouter()


@router.get("/coach-directory", tags=["coaches"])
async def list_coach_directory(read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[DirectoryCoach]:
    """All coaches who can be booked, by name; `/v1/coaches` are those that one has."""
    return page_of(await queries.list_coaches(read, after_name(cursor), limit + 1), limit, "name", "id")


@router.get("/coaches/{coach_id}/slots", tags=["coaches"], response_model=Page[Slot], responses=problems(404))
async def list_slots(
    *,
    coach_id: UUID,
    template_id: UUID,
    app: AppServices,
    actor: SignedIn,
    starts_from: Annotated[Instant, Query(alias="from")],
    starts_before: Annotated[Instant, Query(alias="to", description="At most 62 days after `from`.")],
    time_zone: Annotated[Zone, Query(description="The zone that `local_start` is given in.")] = "UTC",
    reasons: Annotated[bool, Query(description="Also the starts that are not free, each with its reason.")] = False,
) -> Response:
    """The starts at which a template can be booked now, in order. All of the range at once; `next_cursor` is null."""
    params = [coach_id, template_id, starts_from, starts_before, time_zone]
    if reasons:
        body = await app.database.fetch_json(actor, "public.judged_slots_json", params)
    else:
        body = await app.database.fetch_json(actor, "public.free_slots_json", params)
    return Response(body, media_type="application/json")


@router.get("/coaches/{coach_id}/slots/reason", tags=["coaches"], responses=problems(404))
async def get_slot_reason(coach_id: UUID, template_id: UUID, at: Instant, read: Read) -> SlotReason:
    """Why a client cannot have a time, whether or not it is in the coach's hours."""
    return await queries.slot_reason(read, coach_id, template_id, at)


@router.post("/session-templates", tags=["templates"], status_code=201, response_model=Template)
async def create_template(body: CreateTemplate, write: Write) -> Response:
    """A new offer of the signed-in coach. Others get 404."""
    return await write.run(
        lambda tx: queries.create_template(tx, write.user_id, body),
        status=201,
        location=lambda template: f"/v1/session-templates/{template.id}",
    )


@router.get("/session-templates", tags=["templates"])
async def list_templates(
    read: Read,
    coach_id: UUID | None = None,
    active: bool | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Template]:
    """What is on offer, by title; coaches also see what they took off."""
    rows = await queries.list_templates(read, coach_id, active, after_name(cursor), limit + 1)
    return page_of(rows, limit, "title", "id")


@router.get("/session-templates/{template_id}", tags=["templates"], responses=problems(404))
async def get_template(template_id: UUID, read: Read) -> Template:
    """One offer."""
    return await queries.get_template(read, template_id)


@router.patch("/session-templates/{template_id}", tags=["templates"], response_model=Template, responses=problems(404))
async def update_template(template_id: UUID, body: UpdateTemplate, write: Write) -> Response:
    """Change an offer. Sessions made from it before keep what they have."""
    return await write.run(lambda tx: queries.update_template(tx, template_id, body))


@router.post(
    "/session-templates/{template_id}/deactivate",
    tags=["templates"],
    response_model=Template,
    responses=problems(404),
)
async def deactivate_template(template_id: UUID, write: Write) -> Response:
    """Take an offer off; nobody books it any more. PATCH with `is_active` puts it back."""
    return await write.run(lambda tx: queries.update_template(tx, template_id, UpdateTemplate(is_active=False)))
