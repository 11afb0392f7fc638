"""Other people, as far as the policies show them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from loom.features.identity import queries
from loom.features.identity.schemas import Role, SetRole, SetStatus, User
from loom.features.identity.service import profiles
from loom.http import Cursor, Limit, Page, Read, Write, decode_cursor, page_of

router = APIRouter(prefix="/users", tags=["users"])

Search = Annotated[str | None, Query(min_length=1, max_length=100, description="A part of the name or the address.")]


@router.get("", summary="People whom the caller may see")
async def list_users(
    read: Read, role: Role | None = None, search: Search = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[User]:
    """Newest first: a coach's clients, a client's coaches, everybody for an admin, and oneself."""
    keys = decode_cursor(cursor, 2)
    after = (keys[0], keys[1]) if keys else (None, None)
    rows = await queries.list_users(read, role=role, search=search, after=after, limit=limit + 1)
    return page_of(rows, limit, "created_at", "id")


@router.get("/{user_id}", summary="A person")
async def get_user(user_id: UUID, read: Read) -> User:
    """404 for people whom the caller may not see, as for those who do not exist."""
    return await queries.get_user(read, user_id)


@router.post("/{user_id}/set-role", summary="Give a person another role", response_model=User)
async def set_user_role(user_id: UUID, body: SetRole, write: Write) -> Response:
    """For admins; kept in the audit. The last active admin stays one."""
    return await write.run(lambda tx: profiles.set_role(tx, user_id, body))


@router.post("/{user_id}/set-status", summary="Suspend or restore a person", response_model=User)
async def set_user_status(user_id: UUID, body: SetStatus, write: Write) -> Response:
    """For admins; kept in the audit. Ends the person's sign-ins unless the status is active."""
    return await write.run(lambda tx: profiles.set_status(tx, user_id, body))
