"""Compiles a template. The only module that knows typst."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

import typst

from loom.providers.errors import PermanentError
from loom.providers.typesetter.fonts import FAMILIES, fonts

# Archives ask for PDF/A; 2u keeps all text readable by machines too.
_STANDARD: typst.PDFStandard = "a-2u"
_MAX_SIDE = 4000
_MAX_BYTES = 262_144
_PROOF = b'#set document(title: "proof"); #set text(font: "Arimo"); #image(bytes(json(bytes(sys.inputs.data)).picture))'


class PictureRefusedError(PermanentError):
    """The picture can't be put on a document."""


def typeset(template: bytes, data: Mapping[str, Any], *, made_at: datetime) -> bytes:
    """A PDF of the template. It finds `data` as JSON in sys.inputs.data, so nothing in it is ever markup.

    `made_at` is the time that the file says it was made: the document's, not the clock's, or no two were equal.
    """
    given = {"data": json.dumps(data, ensure_ascii=False), "font": json.dumps(FAMILIES)}
    try:
        return typst.compile(
            template,
            font_paths=fonts(),
            ignore_system_fonts=True,
            sys_inputs=given,
            pdf_standards=_STANDARD,
            timestamp=int(made_at.timestamp()),
        )
    except typst.TypstError as error:
        raise PermanentError(f"the document can't be set: {error.message}"[:300], reason="not_set") from error


def check_picture(content: bytes) -> str:
    """The media type of a picture that documents can carry. PictureRefusedError for any other.

    The size is read before anything is unpacked: a few bytes can claim to be a picture of many gigabytes.
    """
    if len(content) > _MAX_BYTES:
        raise PictureRefusedError(f"the picture is larger than {_MAX_BYTES // 1024} KiB", reason="too_large")
    kind, width, height = _measure(content)
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise PictureRefusedError(f"the picture is larger than {_MAX_SIDE} pixels", reason="too_large")
    try:
        typeset(_PROOF, {"picture": list(content)}, made_at=_epoch())
    except PermanentError as error:
        raise PictureRefusedError("the picture can't be read", reason="not_readable") from error
    return kind


def _measure(content: bytes) -> tuple[str, int, int]:
    if content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR" and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return "image/png", width, height
    if content[:2] == b"\xff\xd8":
        return "image/jpeg", *_jpeg_size(content)
    raise PictureRefusedError("the picture is neither PNG nor JPEG", reason="not_a_picture")


def _jpeg_size(content: bytes) -> tuple[int, int]:
    """Width and height from the frame header, which is the first segment of a start-of-frame kind."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], struct.unpack(">H", content[at + 2 : at + 4])[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + length
    raise PictureRefusedError("the picture can't be read", reason="not_readable")


@cache
def _epoch() -> datetime:
    return datetime.fromisoformat("2000-01-01T00:00:00+00:00")
