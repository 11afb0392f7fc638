"""Invitations by link: no account, no token but the one in the address."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response

from loom.features.scheduling import queries
from loom.features.scheduling.api.invitation_page import is_for_people, page
from loom.features.scheduling.schemas import Invitation, Respond
from loom.http import PublicRead, PublicWrite, RateLimit, problems

router = APIRouter(prefix="/invitations", tags=["invitations"])

Token = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]


@router.get(
    "/{token}",
    response_model=Invitation,
    responses=problems(404, 410) | {200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
    dependencies=[RateLimit("invitation", 60, per=60)],
)
async def get_invitation(token: Token, read: PublicRead, request: Request) -> Response:
    """What the invitation behind a link is about: JSON, or a page to answer on for browsers.

    404 for an unknown or revoked link, 410 for an expired one.
    """
    invitation = await queries.invitation_by_link(read, token)
    if is_for_people(request):
        return page(invitation)
    return Response(invitation.model_dump_json(), media_type="application/json", headers={"Vary": "Accept"})


@router.post(
    "/{token}/respond",
    response_model=Invitation,
    responses=problems(404, 409, 410),
    dependencies=[RateLimit("invitation", 60, per=60)],
)
async def respond_by_link(token: Token, body: Respond, write: PublicWrite) -> Response:
    """Confirm or decline; the answer may be changed until the session starts."""
    return await write.run(lambda tx: queries.respond_by_link(tx, token, body.answer))
