"""One storage for files, whether a folder or a bucket."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, quote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from loom.providers.errors import RetryableError
from loom.providers.files import make_private_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from obstore.store import S3Config


class FileStorage:
    """Objects by key. A bucket also signs addresses that clients reach it under themselves; a folder has none."""

    def __init__(self, store: LocalStore | S3Store) -> None:
        self._store = store

    @property
    def is_remote(self) -> bool:
        """Whether clients exchange files with the storage itself."""
        return isinstance(self._store, S3Store)

    async def put(self, key: str, content: bytes, *, file_type: str, file_name: str) -> None:
        """Keeps an object, whole or not at all; its headers make browsers save it under its name."""
        attributes = {
            "Content-Type": file_type,
            "Content-Disposition": disposition(file_name),
            "Cache-Control": "private, no-store",
        }
        try:
            if self.is_remote:
                await obstore.put_async(self._store, key, content, attributes=attributes)
            else:
                await obstore.put_async(self._store, key, content)
        except BaseError as error:
            raise RetryableError(f"the file storage cannot be written: {error}", reason="storage") from error

    async def size(self, key: str) -> int | None:
        """How large an object is; None where there is none."""
        try:
            return (await obstore.head_async(self._store, key))["size"]
        except FileNotFoundError:
            return None
        except BaseError as error:
            raise RetryableError(f"the file storage cannot be read: {error}", reason="storage") from error

    async def get(self, key: str) -> bytes:
        """The whole object. FileNotFoundError where there is none."""
        try:
            return bytes(await (await obstore.get_async(self._store, key)).bytes_async())
        except FileNotFoundError:
            raise
        except BaseError as error:
            raise RetryableError(f"the file storage cannot be read: {error}", reason="storage") from error

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """The object in pieces. FileNotFoundError where there is none, before the first piece."""
        result = await obstore.get_async(self._store, key)

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in result.stream(min_chunk_size=256 * 1024):
                yield bytes(piece)

        return pieces()

    async def delete(self, *keys: str) -> None:
        """Removes objects; those that are not there are no trouble."""
        for key in keys:
            try:
                with suppress(FileNotFoundError):
                    await obstore.delete_async(self._store, key)
            except BaseError as error:
                raise RetryableError(f"the file storage cannot be written: {error}", reason="storage") from error

    def sign(self, method: str, key: str, seconds: int) -> str | None:
        """An address of the bucket that does one thing for a short time; None for a folder."""
        if not isinstance(self._store, S3Store):
            return None
        return obstore.sign(self._store, "PUT" if method == "PUT" else "GET", key, timedelta(seconds=seconds))


def open_storage(url: str | None, folder: Path, access_key: str | None, secret_key: str | None) -> FileStorage:
    """The storage that the settings ask for; `folder` is used without a URL. ValueError where it is no S3 address.

    `s3://bucket/prefix?endpoint=https://s3.example.com&region=eu-central-1`
    """
    if url is None:
        return FileStorage(LocalStore(make_private_folder(folder)))
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme != "s3" or not parts.hostname or not set(options) <= {"endpoint", "region"}:
        raise ValueError("a storage address looks like s3://bucket/prefix?endpoint=https://s3.example.com&region=name")
    endpoint = options.get("endpoint")
    config: dict[str, str] = {"region": options.get("region", "us-east-1")}
    if endpoint is not None:
        config["endpoint"] = endpoint
    if access_key is not None and secret_key is not None:
        config |= {"access_key_id": access_key, "secret_access_key": secret_key}
    return FileStorage(
        S3Store(
            parts.hostname,
            prefix=parts.path.strip("/") or None,
            config=cast("S3Config", config),
            virtual_hosted_style_request=endpoint is None,
            client_options={"allow_http": endpoint is not None and endpoint.startswith("http://")},
        )
    )


def disposition(file_name: str) -> str:
    """Save, never show: what a file says it is must not run where people are signed in."""
    return f"attachment; filename*=UTF-8''{quote(file_name, safe='')}"
