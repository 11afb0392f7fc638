"""The coach's notes, and those that are shared with the client."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.features.practice import queries
from loom.features.practice.schemas import ChangeNote, Note, WriteNote
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/notes", tags=["notes"])


@router.get("")
async def list_notes(
    read: Read,
    client_id: UUID | None = None,
    session_id: UUID | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Note]:
    """Notes you wrote as a coach, and notes that were shared with you as a client, newest first."""
    rows = await queries.list_notes(
        read, client_id=client_id, session_id=session_id, after=decode_after(cursor), limit=limit
    )
    return page_of(rows, limit, "created_at", "id")


@router.post("", status_code=201, response_model=Note, responses=problems(404))
async def write_note(body: WriteNote, write: Write) -> Response:
    """Write a note about a client of yours. Nobody else sees it, unless `privacy_level` says so."""
    return await write.run(
        lambda tx: queries.write_note(tx, body), status=201, location=lambda note: f"/v1/notes/{note.id}"
    )


@router.get("/{note_id}", responses=problems(404))
async def get_note(note_id: UUID, read: Read) -> Note:
    """One note."""
    return await queries.get_note(read, note_id)


@router.patch("/{note_id}", response_model=Note, responses=problems(404))
async def change_note(note_id: UUID, body: ChangeNote, write: Write) -> Response:
    """Change a note of yours, share it with the client or take it back."""
    return await write.run(lambda tx: queries.change_note(tx, note_id, body))


@router.delete("/{note_id}", status_code=204, responses=problems(404))
async def delete_note(note_id: UUID, write: Write) -> Response:
    """Delete a note of yours."""
    return await write.run(lambda tx: queries.delete_note(tx, note_id))
