"""Where files lie and how they are reached: links that are signed, short-lived, and asked about once more when used."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import UUID

from loom.core.settings import Settings
from loom.providers.storage import FileStorage, LinkSigner, open_storage

UPLOAD_SECONDS = 3600
LINK_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a signed address brings along."""

    expires: int
    signature: str


def storage_of(settings: Settings) -> FileStorage:
    """The storage of an installation, opened once."""
    secret = settings.storage_secret_key
    access = settings.storage_access_key
    return _storage(
        settings.storage_url,
        settings.files_dir,
        access.get_secret_value() if access else None,
        secret.get_secret_value() if secret else None,
    )


_storage = cache(open_storage)


@cache
def signer_of(keys: Path) -> LinkSigner:
    """The signer of an installation's links."""
    return LinkSigner(keys)


def incoming_key(upload_id: UUID) -> str:
    """Where the bytes of an upload arrive."""
    return f"incoming/{upload_id}"


def file_key(upload_id: UUID) -> str:
    """Where a checked file lies."""
    return f"attachments/{upload_id}"


def upload_purpose(upload_id: UUID) -> str:
    """What a signature that lets one file in is for."""
    return f"upload {upload_id}"


def download_purpose(attachment_id: UUID, user_id: UUID | None) -> str:
    """What a signature that lets one person have one file is for."""
    return f"download {attachment_id} {user_id}"
