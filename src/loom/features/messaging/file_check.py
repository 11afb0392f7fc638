"""Looks into an uploaded file: is it what it says, is it harmless, and what of it is kept."""

from __future__ import annotations

import io
import warnings
import zipfile
from dataclasses import dataclass
from typing import Any, Literal, cast

import puremagic
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

from loom.features.messaging.schemas import AttachmentKind

Refusal = Literal["wrong_size", "type_unknown", "type_mismatch", "broken", "image_too_large", "infected"]

_OFFICE = "application/vnd.openxmlformats-officedocument."
KINDS: dict[str, AttachmentKind] = {
    "image/jpeg": "image",
    "image/png": "image",
    "image/gif": "image",
    "image/webp": "image",
    "application/pdf": "document",
    "text/plain": "document",
    f"{_OFFICE}wordprocessingml.document": "document",
    f"{_OFFICE}spreadsheetml.sheet": "document",
    f"{_OFFICE}presentationml.presentation": "document",
    "audio/mpeg": "audio",
    "audio/mp4": "audio",
    "audio/ogg": "audio",
    "video/mp4": "video",
}
_IMAGES = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF", "image/webp": "WEBP"}
_OFFICE_FOLDERS = {
    "word/": f"{_OFFICE}wordprocessingml.document",
    "xl/": f"{_OFFICE}spreadsheetml.sheet",
    "ppt/": f"{_OFFICE}presentationml.presentation",
}
# A picture is unpacked to four bytes for each dot: 160 MB at the most, all frames together.
MAX_DOTS = 40_000_000
# Frames take time however small they are.
MAX_FRAMES = 1000
# Programs go by the name. One that says something else than the content would be opened by another program.
ENDINGS: dict[str, tuple[str, ...]] = {
    "image/jpeg": (".jpg", ".jpeg", ".jfif"),
    "image/png": (".png",),
    "image/gif": (".gif",),
    "image/webp": (".webp",),
    "application/pdf": (".pdf",),
    "text/plain": (".txt", ".text", ".csv", ".md", ".log"),
    f"{_OFFICE}wordprocessingml.document": (".docx",),
    f"{_OFFICE}spreadsheetml.sheet": (".xlsx",),
    f"{_OFFICE}presentationml.presentation": (".pptx",),
    "audio/mpeg": (".mp3",),
    "audio/mp4": (".m4a", ".mp4"),
    "audio/ogg": (".ogg", ".oga", ".opus"),
    "video/mp4": (".mp4", ".m4v"),
}


class FileRefusedError(Exception):
    """A file that is not taken; `reason` is a word for the uploader."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason)
        self.reason: Refusal = reason


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """What is kept: for a picture, the picture alone, without what the camera wrote beside it."""

    content: bytes
    file_type: str
    kind: AttachmentKind


def name_fits(file_name: str, file_type: str) -> bool:
    """Whether a name ends as files of this type do."""
    return file_name.lower().endswith(ENDINGS[file_type])


def check_file(content: bytes, file_name: str, declared_type: str, declared_size: int) -> CheckedFile:
    """The file as it may be handed on. Raises FileRefusedError."""
    if len(content) != declared_size:
        raise FileRefusedError("wrong_size")
    if declared_type not in KINDS:
        raise FileRefusedError("type_unknown")
    found = _found_type(content)
    if found is None or found != declared_type or not name_fits(file_name, declared_type):
        raise FileRefusedError("type_mismatch")
    if declared_type in _IMAGES:
        content = _picture(content, _IMAGES[declared_type])
    return CheckedFile(content, declared_type, KINDS[declared_type])


def _found_type(content: bytes) -> str | None:
    """What the content says, whatever the name says."""
    if content.startswith(b"PK"):
        return _office_type(content)
    try:
        matches = cast("list[Any]", puremagic.magic_string(content))  # pyright: ignore[reportUnknownMemberType]
        guesses: set[str] = {match.mime_type for match in matches}
    except (puremagic.PureError, ValueError):
        guesses = set()
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"%PDF-"):
        return "application/pdf"
    if content[4:8] == b"ftyp":
        return "audio/mp4" if content[8:11] == b"M4A" else "video/mp4"
    for kind in ("image/png", "image/gif", "image/webp", "audio/mpeg", "audio/ogg"):
        if kind in guesses or kind.replace("audio/ogg", "application/ogg") in guesses:
            return kind
    return "text/plain" if not guesses and _is_text(content) else None


def _is_text(content: bytes) -> bool:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not any(ord(letter) < 32 and letter not in "\t\n\r\f" for letter in text[:100_000])


def _office_type(content: bytes) -> str | None:
    """By the names in the archive; nothing is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        return None
    if "[Content_Types].xml" not in names or any(name.endswith("vbaProject.bin") for name in names):
        return None
    return next(
        (kind for folder, kind in _OFFICE_FOLDERS.items() if any(name.startswith(folder) for name in names)), None
    )


def _picture(content: bytes, kind: str) -> bytes:
    """The picture written anew, upright: places, cameras, thumbnails and comments stay behind."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=[kind]) as image:
                frames = getattr(image, "n_frames", 1)
                if frames > MAX_FRAMES or image.width * image.height * frames > MAX_DOTS:
                    raise FileRefusedError("image_too_large")
                return _rewritten(image, kind, frames)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as bomb:
        raise FileRefusedError("image_too_large") from bomb
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError) as broken:
        raise FileRefusedError("broken") from broken


def _rewritten(image: Image.Image, kind: str, frames: int) -> bytes:
    out = io.BytesIO()
    if frames > 1:
        durations = [frame.info.get("duration", 100) for frame in ImageSequence.Iterator(image)]
        copies = [_bare(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]
        copies[0].save(out, kind, save_all=True, append_images=copies[1:], duration=durations, loop=0)
    else:
        upright = _bare(ImageOps.exif_transpose(image))
        if kind == "JPEG":
            upright.convert("RGB").save(out, kind, quality=90)
        else:
            upright.save(out, kind)
    return out.getvalue()


def _bare(image: Image.Image) -> Image.Image:
    """The dots and nothing that came along."""
    image.load()
    transparency = image.info.get("transparency")
    image.info = {} if transparency is None else {"transparency": transparency}
    return image
