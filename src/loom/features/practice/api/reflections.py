"""What clients write after their sessions."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.features.practice import queries
from loom.features.practice.schemas import ChangeReflection, Reflection, WriteReflection
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/reflections", tags=["reflections"])


@router.get("")
async def list_reflections(
    read: Read,
    client_id: UUID | None = None,
    session_id: UUID | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Reflection]:
    """Your reflections and, as a coach, those on sessions that you gave, newest first."""
    rows = await queries.list_reflections(
        read, client_id=client_id, session_id=session_id, after=decode_after(cursor), limit=limit
    )
    return page_of(rows, limit, "created_at", "id")


@router.post("", status_code=201, response_model=Reflection, responses=problems(404))
async def write_reflection(body: WriteReflection, write: Write) -> Response:
    """Write a reflection. Tied to a session of yours, that session's coach reads it; without one nobody else does."""
    return await write.run(
        lambda tx: queries.write_reflection(tx, body),
        status=201,
        location=lambda reflection: f"/v1/reflections/{reflection.id}",
    )


@router.get("/{reflection_id}", responses=problems(404))
async def get_reflection(reflection_id: UUID, read: Read) -> Reflection:
    """One reflection."""
    return await queries.get_reflection(read, reflection_id)


@router.patch("/{reflection_id}", response_model=Reflection, responses=problems(404))
async def change_reflection(reflection_id: UUID, body: ChangeReflection, write: Write) -> Response:
    """Change a reflection of yours."""
    return await write.run(lambda tx: queries.change_reflection(tx, reflection_id, body))


@router.delete("/{reflection_id}", status_code=204, responses=problems(404))
async def delete_reflection(reflection_id: UUID, write: Write) -> Response:
    """Delete a reflection of yours."""
    return await write.run(lambda tx: queries.delete_reflection(tx, reflection_id))
