"""Links that act without an account: the token in the address is all there is."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from loom.core import clock
from loom.core.errors import AppError
from loom.features.calendars import queries
from loom.features.calendars.api.link_page import DAYS_SHOWN, is_for_people, page, refusal_page
from loom.features.calendars.schemas import Link, OfferedSlot, UseLink
from loom.http import Page, PublicRead, PublicWrite, RateLimit, problems

router = APIRouter(prefix="/links", tags=["links"])

Token = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]
_LIMIT = RateLimit("link", 60, per=60)


@router.get(
    "/{token}",
    response_model=Link,
    responses=problems(404, 410) | {200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
    dependencies=[_LIMIT],
)
async def get_link(
    token: Token,
    read: PublicRead,
    request: Request,
    shown_from: Annotated[
        date | None, Query(alias="from", description="Only for the page: the first day shown.")
    ] = None,
) -> Response:
    """What a link would do, and to which session: JSON, or for browsers a page with a button. It changes nothing.

    404 for an unknown or revoked link, 410 for an expired one.
    """
    if not is_for_people(request):
        link = await queries.link_by_token(read, token)
        return Response(link.model_dump_json(), media_type="application/json", headers={"Vary": "Accept"})
    try:
        return await _page(read, token, request, shown_from)
    except AppError as refused:
        return refusal_page(refused)


@router.post("/{token}", response_model=Link, responses=problems(404, 409, 410), dependencies=[_LIMIT])
async def use_link(token: Token, body: UseLink, write: PublicWrite) -> Response:
    """Do what the link is for: confirm, decline, move or cancel one seat. Once: 410 `link_used` afterwards.

    It is refused what its signed-in person would be refused.
    """
    return await write.run(lambda tx: queries.act_by_link(tx, token, body))


@router.get("/{token}/slots", responses=problems(404, 410), dependencies=[_LIMIT])
async def list_link_slots(
    token: Token,
    read: PublicRead,
    starts_from: Annotated[AwareDatetime, Query(alias="from")],
    starts_before: Annotated[AwareDatetime, Query(alias="to", description="At most 62 days after `from`.")],
) -> Page[OfferedSlot]:
    """Where the session could go, for a link that moves it. All of the range at once; `next_cursor` is null."""
    slots = await queries.slots_by_link(read, token, starts_from, starts_before)
    return Page[OfferedSlot](items=slots, next_cursor=None)


@router.post("/{token}/page", include_in_schema=False, dependencies=[_LIMIT])
async def submit_page(token: Token, write: PublicWrite, request: Request) -> Response:
    """The page's own form."""
    given = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=8)
    read = write.database.reader(write.actor)
    try:
        try:
            use = UseLink.model_validate({name: values[0] for name, values in given.items()})
        except ValidationError as bad:
            raise AppError("slot_not_offered", 422, "The form does not hold a time that is on offer.") from bad
        await write.database.run(write.actor, lambda tx: queries.act_by_link(tx, token, use))
        # A reload of what comes next does nothing twice.
        return RedirectResponse(request.url.path.removesuffix("/page"), 303)
    except AppError as refused:
        if refused.code in {"not_found", "link_expired"}:
            return refusal_page(refused)
        return await _page(read, token, request, None, refused)


async def _page(
    read: PublicRead, token: str, request: Request, shown_from: date | None, refused: AppError | None = None
) -> Response:
    link = await queries.link_by_token(read, token)
    slots: list[OfferedSlot] | None = None
    start: datetime | None = None
    if link.action == "move" and link.open:
        start = max(clock.now(), datetime.combine(shown_from, time(), UTC)) if shown_from else clock.now()
        slots = await queries.slots_by_link(read, token, start, start + timedelta(days=DAYS_SHOWN))
    address = request.url.path.removesuffix("/page")
    return page(link, address, slots, start, refused)
