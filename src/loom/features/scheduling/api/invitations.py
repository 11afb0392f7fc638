"""Invitations by link: no account, no token but the one in the address."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from loom.features.scheduling import queries
from loom.features.scheduling.schemas import Invitation, Respond
from loom.http import PublicRead, PublicWrite, RateLimit, problems

router = APIRouter(prefix="/invitations", tags=["invitations"])

Token = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_-]+$")]


@router.get("/{token}", responses=problems(404, 410), dependencies=[RateLimit("invitation", 60, per=60)])
async def get_invitation(token: Token, read: PublicRead) -> Invitation:
    """What the invitation behind a link is about. 404 for an unknown or revoked link, 410 for an expired one."""
    return await queries.invitation_by_link(read, token)


@router.post(
    "/{token}/respond",
    response_model=Invitation,
    responses=problems(404, 409, 410),
    dependencies=[RateLimit("invitation", 60, per=60)],
)
async def respond_by_link(token: Token, body: Respond, write: PublicWrite) -> Response:
    """Confirm or decline; the answer may be changed until the session starts."""
    return await write.run(lambda tx: queries.respond_by_link(tx, token, body.answer))
