"""Files on disk and in a bucket, by the same calls."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from tests.support.bucket import ACCESS_KEY, REGION, SECRET_KEY, Bucket

from loom.providers.errors import RetryableError
from loom.providers.storage import FileStorage, LinkSigner, open_storage


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[Bucket, str]]:
    """The bucket and its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = Bucket()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
    yield app, f"s3://loom-files/practice?endpoint={endpoint}&region={REGION}"
    server.should_exit = True
    thread.join()
    listening.close()


async def check_round(storage: FileStorage) -> None:
    assert await storage.size("attachments/one") is None
    with pytest.raises(FileNotFoundError):
        await storage.get("attachments/one")
    await storage.put("attachments/one", b"content", file_type="text/plain", file_name="note ✓.txt")
    assert await storage.size("attachments/one") == 7
    assert await storage.get("attachments/one") == b"content"
    assert b"".join([piece async for piece in await storage.stream("attachments/one")]) == b"content"
    await storage.delete("attachments/one", "attachments/never-there")
    assert await storage.size("attachments/one") is None


def test_files_on_disk(tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path / "files", None, None)
    asyncio.run(check_round(storage))
    assert storage.sign("GET", "attachments/one", 60) is None
    assert (tmp_path / "files").stat().st_mode & 0o077 == 0


def test_files_in_a_bucket(bucket: tuple[Bucket, str], tmp_path: Path) -> None:
    app, url = bucket
    storage = open_storage(url, tmp_path, ACCESS_KEY, SECRET_KEY)
    asyncio.run(check_round(storage))
    assert not app.refused
    assert not list(tmp_path.iterdir())


def test_clients_reach_the_bucket_by_signed_addresses_and_for_nothing_else(
    bucket: tuple[Bucket, str], tmp_path: Path
) -> None:
    app, url = bucket
    storage = open_storage(url, tmp_path, ACCESS_KEY, SECRET_KEY)
    put = storage.sign("PUT", "incoming/two", 60)
    assert put is not None
    assert httpx.put(put, content=b"bytes").status_code == 200
    assert asyncio.run(storage.get("incoming/two")) == b"bytes"
    get = storage.sign("GET", "incoming/two", 60)
    assert get is not None
    assert httpx.get(get).content == b"bytes"
    assert httpx.get(get.replace("incoming/two", "incoming/one")).status_code == 403
    assert httpx.put(get, content=b"other").status_code == 403
    assert len(app.refused) == 2


def test_a_bucket_whose_keys_are_wrong_or_that_is_away_asks_to_try_again(
    bucket: tuple[Bucket, str], tmp_path: Path
) -> None:
    storage = open_storage(bucket[1], tmp_path, ACCESS_KEY, "wrong")
    with pytest.raises(RetryableError):
        asyncio.run(storage.put("x", b"x", file_type="text/plain", file_name="x"))


@pytest.mark.parametrize("url", ["https://bucket", "s3://", "s3://bucket?end_point=x", "file:///tmp"])
def test_an_address_that_is_no_bucket_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="s3://"):
        open_storage(url, tmp_path, None, None)


def test_signatures_hold_for_one_purpose_and_time(tmp_path: Path) -> None:
    signer = LinkSigner(tmp_path / "keys")
    expires, signature = signer.sign("download 1", seconds=60)
    assert LinkSigner(tmp_path / "keys").verify("download 1", expires, signature)
    assert not signer.verify("download 2", expires, signature)
    assert not signer.verify("download 1", expires + 1, signature)
    assert not LinkSigner(tmp_path / "others").verify("download 1", expires, signature)
    past, old = signer.sign("download 1", seconds=-1)
    assert not signer.verify("download 1", past, old)
