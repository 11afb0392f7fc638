"""Files from announcement to download: checked by content, handed out only when clean, gone with their message."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.messaging import file_service, schemas
from loom.features.messaging.file_check import ENDINGS, KINDS, FileRefusedError, check_file
from loom.features.messaging.files import file_key, incoming_key, storage_of
from loom.providers.errors import RetryableError
from tests.features.messaging.callers import Caller, Callers, exact
from tests.features.messaging.world import Connection, World, one, rows

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PDF = b"%PDF-1.7\n1 0 obj << >> endobj\ntrailer << >>\n%%EOF\n"


def picture(kind: str = "JPEG", size: tuple[int, int] = (40, 30), **more: Any) -> bytes:
    out = io.BytesIO()
    # A GIF has a palette; finding one for a huge picture would take seconds.
    blank = Image.new("P", size) if kind == "GIF" else Image.new("RGB", size, "#336699")
    blank.save(out, kind, **more)
    return out.getvalue()


def geotagged() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif[0x0112] = 6  # turned by a quarter
    exif.get_ifd(0x8825)[2] = (32.0, 5.0, 7.0)
    return picture(exif=exif, comment=b"SecretComment")


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as files:
        for name in names:
            files.writestr(name, "x")
    return out.getvalue()


GOOD = [
    (picture(), "image/jpeg", "image"),
    (picture("PNG"), "image/png", "image"),
    (picture("GIF"), "image/gif", "image"),
    (picture("WEBP"), "image/webp", "image"),
    (PDF, "application/pdf", "document"),
    ("שלום, a note\n".encode(), "text/plain", "document"),
    (archive("[Content_Types].xml", "word/document.xml"), DOCX, "document"),
    (b"\x00\x00\x00\x18ftypisom" + b"\x00" * 40, "video/mp4", "video"),
    (b"\x00\x00\x00\x18ftypM4A " + b"\x00" * 40, "audio/mp4", "audio"),
]
BAD = [
    (PDF, "image/jpeg", "type_mismatch"),
    (b"<html><script>alert(1)</script></html>", "image/png", "type_mismatch"),
    (picture("PNG"), "image/jpeg", "type_mismatch"),
    (b"MZ" + b"\x00" * 200, "application/pdf", "type_mismatch"),
    (b"MZ\x90\x00" + b"\x00" * 200, "text/plain", "type_mismatch"),
    (b"text\x00with nul", "text/plain", "type_mismatch"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", "type_unknown"),
    (archive("[Content_Types].xml", "word/document.xml", "word/vbaProject.bin"), DOCX, "type_mismatch"),
    (archive("x.exe"), DOCX, "type_mismatch"),
    (b"PK\x03\x04 not an archive", DOCX, "type_mismatch"),
    (picture()[:200], "image/jpeg", "broken"),
    (b"\xff\xd8\xff\xe0" + b"\x00" * 100, "image/jpeg", "broken"),
]


def named(file_type: str) -> str:
    """A name that fits."""
    return f"x{ENDINGS.get(file_type, ('.bin',))[0]}"


@pytest.mark.parametrize(("content", "declared", "kind"), GOOD)
def test_files_that_are_what_they_say_are_taken(content: bytes, declared: str, kind: str) -> None:
    checked = check_file(content, named(declared), declared, len(content))
    assert (checked.file_type, checked.kind) == (declared, kind)
    if kind != "image":
        assert checked.content == content


@pytest.mark.parametrize(("content", "declared", "reason"), BAD)
def test_files_that_lie_or_are_broken_are_refused(content: bytes, declared: str, reason: str) -> None:
    with pytest.raises(FileRefusedError) as refused:
        check_file(content, named(declared), declared, len(content))
    assert refused.value.reason == reason


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_a_small_file_that_unpacks_to_a_huge_picture_is_refused_unopened(kind: str) -> None:
    bomb = picture(kind, (9000, 9000)) if kind != "WEBP" else picture(kind, (9000, 9000), lossless=True)
    assert len(bomb) < 1_000_000
    with pytest.raises(FileRefusedError) as refused:
        check_file(bomb, f"x.{kind.lower()}", f"image/{kind.lower()}", len(bomb))
    assert refused.value.reason == "image_too_large"


def test_many_frames_count_together() -> None:
    out = io.BytesIO()
    frame = Image.new("P", (1500, 1500))
    frames = [frame.copy() for _ in range(25)]
    for number, one_frame in enumerate(frames):
        one_frame.putpixel((number, number), 1)
    frame.save(out, "GIF", save_all=True, append_images=frames)
    with pytest.raises(FileRefusedError) as refused:
        check_file(out.getvalue(), "x.gif", "image/gif", len(out.getvalue()))
    assert refused.value.reason == "image_too_large"


def test_frames_of_a_dot_each_are_counted_too() -> None:
    """150 kB that would keep the worker busy for a quarter of a minute."""
    frame = b"!\xf9\x04\x00\x0a\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00"
    head = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff"
    few, many = (head + frame * count + b";" for count in (3, 1001))
    assert check_file(few, "x.gif", "image/gif", len(few)).kind == "image"
    with pytest.raises(FileRefusedError) as refused:
        check_file(many, "x.gif", "image/gif", len(many))
    assert refused.value.reason == "image_too_large"


def test_each_type_has_endings_of_its_own_and_content_under_another_is_refused() -> None:
    assert ENDINGS.keys() == KINDS.keys()
    note = b"@echo off"
    for name in (
        "invoice.bat",
        "run.ps1",
        "page.hta",
        "app.desktop",
        "report.pdf.exe",
        "photo.png",
        "x.txt ",
        "txt",
        "",
    ):
        with pytest.raises(FileRefusedError) as refused:
            check_file(note, name, "text/plain", len(note))
        assert refused.value.reason == "type_mismatch"
    assert check_file(note, "Notes.TXT", "text/plain", len(note)).kind == "document"


def test_a_picture_keeps_its_dots_and_nothing_else() -> None:
    content = geotagged()
    assert b"SecretCamera" in content
    kept = check_file(content, "x.jpg", "image/jpeg", len(content)).content
    assert b"SecretCamera" not in kept
    assert b"SecretComment" not in kept
    with Image.open(io.BytesIO(kept)) as image:
        assert image.size == (30, 40)  # upright, since what said so is gone
        assert not image.getexif()
    animation = io.BytesIO()
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("red", "blue")]
    frames[0].save(animation, "GIF", save_all=True, append_images=frames[1:], duration=70, comment=b"SecretComment")
    again = check_file(animation.getvalue(), "x.gif", "image/gif", len(animation.getvalue())).content
    assert b"SecretComment" not in again
    with Image.open(io.BytesIO(again)) as image:
        assert getattr(image, "n_frames", 1) == 2


class Desk:
    """Uploads as a client does, and checks as the worker does."""

    def __init__(self, http: httpx.AsyncClient, who: Caller, settings: Settings, db: Database) -> None:
        self.http, self.who, self.settings, self.db = http, who, settings, db

    async def announce(self, conversation: str, content: bytes, name: str, kind: str) -> dict[str, Any]:
        body = {"file_name": name, "file_size": len(content), "file_type": kind}
        return await self.who("POST", f"/conversations/{conversation}/uploads", 201, **body)

    async def put(self, upload: dict[str, Any], content: bytes) -> httpx.Response:
        url = urlsplit(upload["target"]["url"])
        return await self.http.put(f"{url.path}?{url.query}", content=content, headers=upload["target"]["headers"])

    async def upload(self, conversation: str, content: bytes, name: str, kind: str) -> dict[str, Any]:
        upload = await self.announce(conversation, content, name, kind)
        assert (await self.put(upload, content)).status_code == 204
        assert (await self.who("POST", f"/uploads/{upload['id']}/done"))["state"] == "checking"
        await file_service.check_upload(self.db, self.settings, UUID(upload["id"]))
        return await self.who("GET", f"/uploads/{upload['id']}")


@pytest.fixture
def desk(client: httpx.AsyncClient, caller: Callers, settings: Settings, db: Database, world: World) -> Desk:
    return Desk(client, caller(world.coach), settings, db)


async def make_group(coach: Caller, *people: UUID) -> str:
    body = {"title": "Files", "user_ids": [str(person) for person in people]}
    return (await coach("POST", "/conversations/group", 201, **body))["id"]


async def test_a_file_goes_its_way_and_goes_with_its_message(
    desk: Desk, caller: Callers, world: World, client: httpx.AsyncClient, owner: Connection, settings: Settings
) -> None:
    group = await make_group(desk.who, world.dana)
    upload = await desk.upload(group, geotagged(), "קובץ <b>.jpg", "image/jpeg")
    exact(schemas.Upload, upload)
    assert (upload["state"], upload["scanned"], upload["refusal"]) == ("clean", False, None)
    # Before it is sent it is nobody else's, and after that the conversation's.
    dana = caller(world.dana)
    await dana.refused("GET", f"/attachments/{upload['id']}/link", 404, "not_found")
    key = str(uuid4())
    body = {"attachments": [upload["id"]], "client_message_id": key}
    sent = await desk.who("POST", f"/conversations/{group}/messages", 201, **body)
    assert sent["content"] == "קובץ <b>.jpg"
    exact(schemas.MessageFile, sent["attachments"][0])
    assert (await desk.who("POST", f"/conversations/{group}/messages", 201, **body))["id"] == sent["id"]
    await desk.who.refused(
        "POST", f"/conversations/{group}/messages", 422, "attachment_not_ready", attachments=[upload["id"]]
    )
    link = await dana("GET", f"/attachments/{upload['id']}/link")
    url = urlsplit(link["url"])
    got = await client.get(f"{url.path}?{url.query}")
    assert got.status_code == 200
    assert b"SecretCamera" not in got.content
    assert got.headers["content-disposition"].startswith("attachment; filename*=UTF-8''%D7%A7")
    assert (got.headers["content-type"], got.headers["x-content-type-options"]) == ("image/jpeg", "nosniff")
    await caller(world.stranger).refused("GET", f"/attachments/{upload['id']}/link", 404, "not_found")
    await caller(world.stranger).refused("GET", f"/attachments/{uuid4()}/link", 404, "not_found")
    for wrong in (
        url.query.replace("user=", "user=0"),
        url.query.replace(str(world.dana), str(world.stranger)),
        url.query[:-3] + "abc",
        "user=x&expires=1&signature=x",
        url.query.replace("expires=", "expires=1"),
    ):
        assert (await client.get(f"{url.path}?{wrong}")).status_code in {403, 422}
    # The link is asked about once more when it is used.
    await desk.who("DELETE", f"/conversations/{group}/people/{world.dana}", 204)
    assert (await client.get(f"{url.path}?{url.query}")).status_code == 404
    await desk.who("DELETE", f"/messages/{sent['id']}")
    assert one(owner, "select state from public.message_uploads where id = %s", UUID(upload["id"])) == "removed"
    job = rows(owner, "select args from jobs.procrastinate_jobs where task_name = 'messaging.remove_file'")
    assert job[-1]["args"] == {"upload_id": upload["id"]}
    await file_service.remove_file(settings, UUID(upload["id"]))
    assert await storage_of(settings).size(file_key(UUID(upload["id"]))) is None


@pytest.mark.parametrize(
    ("name", "kind", "size", "status", "code"),
    [
        ("big.pdf", "application/pdf", 26_214_401, 413, "file_too_large"),
        ("run.exe", "application/x-msdownload", 10, 422, "file_type_refused"),
        ("page.html", "text/html", 10, 422, "file_type_refused"),
        ("../../etc/passwd", "text/plain", 10, 422, "file_name_invalid"),
        ("../../etc/passwd.txt", "text/plain", 10, 422, "file_name_invalid"),
        ("invoice.bat", "text/plain", 10, 422, "file_name_invalid"),
        ("photo.png", "text/plain", 10, 422, "file_name_invalid"),
        ("a\u202egnp.txt", "text/plain", 10, 422, "file_name_invalid"),
        ("", "text/plain", 10, 422, "invalid_request"),
        ("x.txt", "text/plain", 0, 422, "invalid_request"),
        ("x.txt", "text/plain\r\nX-Header: 1", 10, 422, "invalid_request"),
    ],
)
async def test_what_could_never_be_sent_is_refused_when_announced(
    desk: Desk, world: World, name: str, kind: str, size: int, status: int, code: str
) -> None:
    group = await make_group(desk.who, world.dana)
    body = {"file_name": name, "file_size": size, "file_type": kind}
    await desk.who.refused("POST", f"/conversations/{group}/uploads", status, code, **body)


async def test_bytes_come_as_announced_by_the_link_alone(
    desk: Desk, caller: Callers, world: World, client: httpx.AsyncClient, settings: Settings
) -> None:
    group = await make_group(desk.who, world.dana)
    upload = await desk.announce(group, PDF, "plan.pdf", "application/pdf")
    await desk.who.refused("POST", f"/uploads/{upload['id']}/done", 409, "upload_missing")
    assert (await desk.put(upload, PDF + b"more")).status_code == 413
    assert (await desk.put(upload, PDF[:-1])).status_code == 422
    forged = upload["target"] | {"url": upload["target"]["url"].replace("signature=", "signature=x")}
    assert (await desk.put({"target": forged}, PDF)).status_code == 403
    other = upload["target"]["url"].replace(upload["id"], str(uuid4()))
    assert (await desk.put({"target": upload["target"] | {"url": other}}, PDF)).status_code == 403
    assert await storage_of(settings).size(incoming_key(UUID(upload["id"]))) is None
    assert (await desk.put(upload, PDF)).status_code == 204
    # Not checked, not sent; and nobody else's, whoever asks.
    await desk.who.refused(
        "POST", f"/conversations/{group}/messages", 422, "attachment_not_ready", attachments=[upload["id"]], content="x"
    )
    for path, method in ((f"/uploads/{upload['id']}", "GET"), (f"/uploads/{upload['id']}/done", "POST")):
        await caller(world.dana).refused(method, path, 404, "not_found")
        await caller(world.dana).refused(method, path.replace(upload["id"], str(uuid4())), 404, "not_found")
    # Once it is told to be there, nothing is put in its place.
    await desk.who("POST", f"/uploads/{upload['id']}/done")
    assert (await desk.put(upload, PDF)).status_code == 404
    large = await client.put(f"/v1/uploads/{upload['id']}/content", headers={"Content-Length": "99999999"})
    assert large.status_code == 413


async def test_a_refused_file_says_why_and_leaves_nothing(desk: Desk, world: World, settings: Settings) -> None:
    group = await make_group(desk.who, world.dana)
    upload = await desk.upload(group, b"<html>", "page.pdf", "application/pdf")
    assert (upload["state"], upload["refusal"]) == ("refused", "type_mismatch")
    for key in (incoming_key, file_key):
        assert await storage_of(settings).size(key(UUID(upload["id"]))) is None
    await desk.who.refused(
        "POST", f"/conversations/{group}/messages", 422, "attachment_not_ready", attachments=[upload["id"]], content="x"
    )


async def test_a_scanner_decides_and_while_it_cannot_nothing_is_handed_out(
    desk: Desk, world: World, settings: Settings, tmp_path: Path, owner: Connection
) -> None:
    script = tmp_path / "scan.py"
    script.write_text(
        "import sys, pathlib\n"
        "content = pathlib.Path(sys.argv[1]).read_bytes()\n"
        "sys.exit(1 if b'EICAR' in content else 3 if b'BUSY' in content else 0)\n"
    )
    desk.settings = settings.model_copy(update={"scan_command": [sys.executable, str(script)]})
    group = await make_group(desk.who, world.dana)
    clean = await desk.upload(group, b"just text", "a.txt", "text/plain")
    assert (clean["state"], clean["scanned"]) == ("clean", True)
    infected = await desk.upload(group, b"EICAR", "b.txt", "text/plain")
    assert (infected["state"], infected["refusal"]) == ("refused", "infected")
    with pytest.raises(RetryableError):
        await desk.upload(group, b"BUSY", "c.txt", "text/plain")
    waiting = one(owner, "select state from public.message_uploads where file_name = 'c.txt'")
    assert waiting == "checking"


async def test_what_no_message_had_in_time_is_thrown_away(
    desk: Desk, world: World, settings: Settings, owner: Connection, db: Database
) -> None:
    group = await make_group(desk.who, world.dana)
    kept = await desk.upload(group, PDF, "kept.pdf", "application/pdf")
    await desk.who("POST", f"/conversations/{group}/messages", 201, attachments=[kept["id"]])
    late = await desk.upload(group, PDF, "late.pdf", "application/pdf")
    owner.execute(
        "update public.message_uploads set expires_at = now() - interval '1 hour' where file_name like '%.pdf'"
    )
    await file_service.drop_expired(db, settings)
    await desk.who.refused("GET", f"/uploads/{late['id']}", 404, "not_found")
    assert await storage_of(settings).size(file_key(UUID(late["id"]))) is None
    assert await storage_of(settings).size(file_key(UUID(kept["id"]))) == len(PDF)


async def test_a_person_has_so_many_files_under_way_and_no_more(desk: Desk, world: World, owner: Connection) -> None:
    group = await make_group(desk.who, world.amir)
    owner.execute(
        "insert into public.message_uploads (user_id, conversation_id, file_name, declared_type, declared_size)"
        " select %s, %s, 'x', 'text/plain', 1 from generate_series(1, 50)",
        [world.coach, UUID(group)],
    )
    body = {"file_name": "x.txt", "file_size": 1, "file_type": "text/plain"}
    await desk.who.refused("POST", f"/conversations/{group}/uploads", 409, "too_many_uploads", **body)
    owner.execute("delete from public.message_uploads where state = 'waiting'")


async def test_files_of_earlier_versions_stay_where_they_are(desk: Desk, world: World, owner: Connection) -> None:
    group = await make_group(desk.who, world.dana)
    sent = await desk.who("POST", f"/conversations/{group}/messages", 201, content="old")
    old = one(
        owner,
        "insert into public.message_attachments (message_id, file_name, file_size, file_type, url)"
        " values (%s, 'old.pdf', 10, 'application/pdf', 'https://old.example/1') returning id",
        UUID(sent["id"]),
    )
    link = await desk.who("GET", f"/attachments/{old}/link")
    assert link == {"url": "https://old.example/1", "expires_at": None}
