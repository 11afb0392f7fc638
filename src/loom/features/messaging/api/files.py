"""Files: announced, uploaded, checked, sent with a message, and handed out by short-lived links."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from loom.db.database import Tx
from loom.features.messaging import file_queries, file_service
from loom.features.messaging.files import Ticket
from loom.features.messaging.schemas import BeginUpload, FileLink, Upload
from loom.http import AppServices, Read, Write, problems
from loom.providers.storage.objects import disposition

router = APIRouter(tags=["files"])

Expires = Annotated[int, Query(ge=0, le=9_999_999_999, description="As the link says.")]
Signature = Annotated[str, Query(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-]+$", description="As it says.")]


@router.post(
    "/conversations/{conversation_id}/uploads",
    status_code=201,
    response_model=Upload,
    responses=problems(404, 409, 413),
)
async def begin_upload(conversation_id: UUID, body: BeginUpload, write: Write, app: AppServices) -> Response:
    """Announce a file. Put its bytes where `target` says, then tell that they are there."""
    file_service.check_announcement(body, app.settings)
    return await write.run(
        lambda tx: file_service.begin(tx, app.settings, conversation_id, body),
        status=201,
        location=lambda upload: f"/v1/uploads/{upload.id}",
        remember=False,
    )


@router.put("/uploads/{upload_id}/content", status_code=204, responses=problems(403, 404, 413))
async def put_upload(
    upload_id: UUID, request: Request, app: AppServices, expires: Expires, signature: Signature
) -> Response:
    """The bytes of an announced file, by the address that its announcement gave; no token is needed."""
    await file_service.receive(app.database, app.settings, upload_id, Ticket(expires, signature), request.stream())
    return Response(status_code=204)


@router.post("/uploads/{upload_id}/done", response_model=Upload, responses=problems(404, 409))
async def finish_upload(upload_id: UUID, write: Write, app: AppServices) -> Response:
    """Say that the bytes are there. The file is checked in the background; look here until it is `clean`."""
    await file_service.finish(app.database, app.settings, write.actor, upload_id)

    async def finish(tx: Tx) -> Upload:
        await file_queries.finish_upload(tx, upload_id)
        return await file_queries.get_upload(tx, upload_id)

    return await write.run(finish)


@router.get("/uploads/{upload_id}", responses=problems(404))
async def get_upload(upload_id: UUID, read: Read) -> Upload:
    """How far a file of yours has come."""
    return await file_queries.get_upload(read, upload_id)


@router.get("/attachments/{attachment_id}/link", responses=problems(404))
async def get_attachment_link(attachment_id: UUID, read: Read, app: AppServices) -> FileLink:
    """An address that gives you the file for five minutes."""
    return await file_service.link(read, app.settings, attachment_id)


@router.get("/attachments/{attachment_id}/content", responses=problems(403, 404))
async def get_attachment(
    attachment_id: UUID,
    app: AppServices,
    user: Annotated[UUID, Query(description="As the link says.")],
    expires: Expires,
    signature: Signature,
) -> Response:
    """The file, by the address that its link gave; no token is needed. Who was removed meanwhile gets nothing."""
    file, pieces = await file_service.download(
        app.database, app.settings, attachment_id, user, Ticket(expires, signature)
    )
    headers = {
        "Content-Disposition": disposition(file.file_name),
        "Content-Length": str(file.file_size),
        "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    return StreamingResponse(pieces, media_type=file.file_type, headers=headers)
