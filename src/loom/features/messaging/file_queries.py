"""What files ask of the database. Routes ask as the caller; the checking of files as the service role."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel

from loom.core.errors import NotFound
from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.messaging.file_check import CheckedFile
from loom.features.messaging.schemas import AttachmentKind, BeginUpload, Upload

SQL = load_queries("loom.features.messaging")


class StoredFile(BaseModel):
    """An attachment as it is handed out; `is_ours` is false for those of earlier versions, which are at `url`."""

    id: UUID
    file_name: str
    file_type: str
    file_size: int
    url: str
    is_ours: bool


class OpenUpload(BaseModel):
    """What checking needs to know."""

    id: UUID
    file_name: str
    declared_type: str
    declared_size: int


async def begin_upload(q: Executor, conversation_id: UUID, body: BeginUpload) -> UUID:
    """The id of an announced file."""
    values = {"conversation_id": conversation_id, **body.model_dump()}
    return await q.fetch_value(SQL["begin_upload"], values)


async def finish_upload(q: Executor, upload_id: UUID) -> None:
    """From now on it is checked."""
    await q.execute(SQL["finish_upload"], {"id": upload_id})


async def get_upload(q: Executor, upload_id: UUID) -> Upload:
    """An upload of the caller's."""
    return await q.fetch_one(SQL["get_upload"], {"id": upload_id}, Upload)


async def get_file(q: Executor, attachment_id: UUID) -> StoredFile:
    """An attachment that the caller may read."""
    found = await q.find_one(SQL["get_file"], {"id": attachment_id}, StoredFile)
    if found is None:
        raise NotFound
    return found


async def expected_size(q: Executor, upload_id: UUID) -> int | None:
    """How large an upload that still waits will be; None where none does."""
    return await q.fetch_value(SQL["expected_size"], {"id": upload_id})


async def open_upload(q: Executor, upload_id: UUID) -> OpenUpload | None:
    """An upload that is to be checked."""
    return await q.find_one(SQL["open_upload"], {"id": upload_id}, OpenUpload)


async def accept_upload(q: Executor, upload_id: UUID, file: CheckedFile, sha256: str, *, scanned: bool) -> bool:
    """It may be sent. False where it is gone or was decided already."""
    kind: AttachmentKind = file.kind
    values = {
        "id": upload_id,
        "file_type": file.file_type,
        "file_size": len(file.content),
        "kind": kind,
        "sha256": sha256,
        "scanned": scanned,
    }
    return await q.execute(SQL["accept_upload"], values) == 1


async def refuse_upload(q: Executor, upload_id: UUID, reason: str) -> None:
    """It may not."""
    await q.execute(SQL["refuse_upload"], {"id": upload_id, "reason": reason})


async def take_expired_uploads(q: Executor) -> list[UUID]:
    """Ids of uploads that no message had in time; their rows are gone."""
    return await q.fetch_value(SQL["take_expired_uploads"], {}) or []
