"""Uploads and downloads: what takes the storage and the database together."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from loom.core.errors import AppError
from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.db.database import Database, Reader, Tx
from loom.db.executor import Executor
from loom.features.messaging import file_queries as queries
from loom.features.messaging.file_check import ENDINGS, KINDS, CheckedFile, FileRefusedError, check_file, name_fits
from loom.features.messaging.files import (
    LINK_SECONDS,
    UPLOAD_SECONDS,
    Ticket,
    download_purpose,
    file_key,
    incoming_key,
    signer_of,
    storage_of,
    upload_purpose,
)
from loom.features.messaging.schemas import BeginUpload, FileLink, Upload, UploadTarget
from loom.providers.errors import RetryableError

_SERVICE = Actor.service("take in and check files of messages")
_SCAN_SECONDS = 120


def check_announcement(body: BeginUpload, settings: Settings) -> None:
    """Refuses what could never be sent, before a byte is. Raises 413 or 422."""
    if body.file_size > settings.max_upload_bytes:
        raise AppError("file_too_large", 413, f"A file has at most {settings.max_upload_bytes} bytes.")
    if body.file_type not in KINDS:
        raise AppError("file_type_refused", 422, f"Files of this type are not taken. These are: {', '.join(KINDS)}.")
    if not name_fits(body.file_name, body.file_type):
        endings = ", ".join(ENDINGS[body.file_type])
        raise AppError("file_name_invalid", 422, f"The name of a file of type {body.file_type} ends in {endings}.")


async def begin(q: Executor, settings: Settings, conversation_id: UUID, body: BeginUpload) -> Upload:
    """An announced file and where its bytes go: to the bucket itself, or to this server."""
    upload = await queries.get_upload(q, await queries.begin_upload(q, conversation_id, body))
    url = storage_of(settings).sign("PUT", incoming_key(upload.id), UPLOAD_SECONDS)
    expires_at = datetime.now(UTC) + timedelta(seconds=UPLOAD_SECONDS)
    if url is None:
        expires, signature = signer_of(settings.keys_dir).sign(upload_purpose(upload.id), seconds=UPLOAD_SECONDS)
        url = f"{settings.base_url}/v1/uploads/{upload.id}/content?expires={expires}&signature={signature}"
        expires_at = datetime.fromtimestamp(expires, UTC)
    target = UploadTarget(method="PUT", url=url, headers={"Content-Type": upload.file_type}, expires_at=expires_at)
    return upload.model_copy(update={"target": target})


async def receive(
    database: Database, settings: Settings, upload_id: UUID, ticket: Ticket, body: AsyncIterator[bytes]
) -> None:
    """Takes the bytes of an announced file, as many as were announced. Raises 403, 404, 413 or 422."""
    if not signer_of(settings.keys_dir).verify(upload_purpose(upload_id), ticket.expires, ticket.signature):
        raise AppError("link_expired", 403, "The link has ended, or was not made here. Ask for a new one.")
    wanted = await queries.expected_size(database.reader(_SERVICE), upload_id)
    if wanted is None:
        raise AppError("not_found", 404, "Not found.")
    content = bytearray()
    async for piece in body:
        content += piece
        if len(content) > wanted:
            raise AppError("file_too_large", 413, f"The file was announced with {wanted} bytes.")
    if len(content) != wanted:
        raise AppError("upload_missing", 422, f"The file was announced with {wanted} bytes, {len(content)} came.")
    await storage_of(settings).put(
        incoming_key(upload_id), bytes(content), file_type="application/octet-stream", file_name="upload"
    )


async def finish(database: Database, settings: Settings, actor: Actor, upload_id: UUID) -> None:
    """Whether the bytes are there at all, before anybody is made to look into them. Raises 404 or 409."""
    upload = await queries.get_upload(database.reader(actor), upload_id)
    if upload.state == "waiting" and await storage_of(settings).size(incoming_key(upload_id)) is None:
        raise AppError("upload_missing", 409, "The bytes of the file have not arrived.")


async def link(q: Reader, settings: Settings, attachment_id: UUID) -> FileLink:
    """An address that gives a file to the caller for some minutes."""
    file = await queries.get_file(q, attachment_id)
    if not file.is_ours:
        return FileLink(url=file.url, expires_at=None)
    expires_at = datetime.now(UTC) + timedelta(seconds=LINK_SECONDS)
    url = storage_of(settings).sign("GET", file_key(attachment_id), LINK_SECONDS)
    if url is None:
        purpose = download_purpose(attachment_id, q.actor.user_id)
        expires, signature = signer_of(settings.keys_dir).sign(purpose, seconds=LINK_SECONDS)
        query = f"user={q.actor.user_id}&expires={expires}&signature={signature}"
        url = f"{settings.base_url}/v1/attachments/{attachment_id}/content?{query}"
    return FileLink(url=url, expires_at=expires_at)


async def download(
    database: Database, settings: Settings, attachment_id: UUID, user_id: UUID, ticket: Ticket
) -> tuple[queries.StoredFile, AsyncIterator[bytes]]:
    """The file, read as the person whom the link is for: who was removed since gets nothing. Raises 403 or 404."""
    if not signer_of(settings.keys_dir).verify(
        download_purpose(attachment_id, user_id), ticket.expires, ticket.signature
    ):
        raise AppError("link_expired", 403, "The link has ended, or was not made here. Ask for a new one.")
    file = await queries.get_file(database.reader(Actor.user(user_id)), attachment_id)
    try:
        return file, await storage_of(settings).stream(file_key(attachment_id))
    except FileNotFoundError as gone:
        raise AppError("not_found", 404, "Not found.") from gone


async def check_upload(database: Database, settings: Settings, upload_id: UUID) -> None:
    """Looks into a file and decides; safe to run again."""
    upload = await queries.open_upload(database.reader(_SERVICE), upload_id)
    if upload is None:
        return
    storage = storage_of(settings)
    try:
        size = await storage.size(incoming_key(upload_id))
        if size != upload.declared_size:
            raise FileRefusedError("wrong_size")
        content = await storage.get(incoming_key(upload_id))
        file = await asyncio.to_thread(
            check_file, content, upload.file_name, upload.declared_type, upload.declared_size
        )
        scanned = await _scan(file, settings.scan_command)
    except FileRefusedError as refused:
        reason = refused.reason

        async def refuse(tx: Tx) -> None:
            await queries.refuse_upload(tx, upload_id, reason)

        await database.run(_SERVICE, refuse)
        await storage.delete(incoming_key(upload_id))
        return
    await storage.put(file_key(upload_id), file.content, file_type=file.file_type, file_name=upload.file_name)
    digest = hashlib.sha256(file.content).hexdigest()

    async def accept(tx: Tx) -> bool:
        return await queries.accept_upload(tx, upload_id, file, digest, scanned=scanned)

    await database.run(_SERVICE, accept)
    await storage.delete(incoming_key(upload_id))


async def _scan(file: CheckedFile, command: list[str]) -> bool:
    """Whether a scanner looked at it. Raises FileRefusedError where it found something."""
    if not command:
        return False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        await asyncio.to_thread(path.write_bytes, file.content)
        process = await asyncio.create_subprocess_exec(
            *command, str(path), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            ended = await asyncio.wait_for(process.wait(), _SCAN_SECONDS)
        except TimeoutError as slow:
            process.kill()
            await process.wait()
            raise RetryableError("the scanner took too long", reason="scanner") from slow
    if ended == 1:
        raise FileRefusedError("infected")
    if ended != 0:
        # Not looked at is not clean: the job is tried again, and nothing is handed out meanwhile.
        raise RetryableError(f"the scanner ended with {ended}", reason="scanner")
    return True


async def remove_file(settings: Settings, upload_id: UUID) -> None:
    """Nothing of it stays."""
    await storage_of(settings).delete(file_key(upload_id), incoming_key(upload_id))


async def drop_expired(database: Database, settings: Settings) -> None:
    """Throws away what no message had in time."""

    async def take(tx: Tx) -> list[UUID]:
        return await queries.take_expired_uploads(tx)

    while ids := await database.run(_SERVICE, take):
        for upload_id in ids:
            await remove_file(settings, upload_id)
