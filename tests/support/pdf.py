"""Reads PDFs the way a reader does: text with the place of each letter, and pages as pictures."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pypdfium2
import pypdfium2.raw as pdfium


@dataclass(frozen=True, slots=True)
class Letter:
    """A character and its box on the page, in points from the left and from the bottom."""

    text: str
    left: float
    right: float
    bottom: float


@contextmanager
def opened(content: bytes) -> Iterator[pypdfium2.PdfDocument]:
    """The document, closed at the end."""
    document = pypdfium2.PdfDocument(content)
    try:
        yield document
    finally:
        document.close()


def text_of(content: bytes) -> str:
    """All text, page after page."""
    with opened(content) as document:
        return "\n".join(document[at].get_textpage().get_text_range() for at in range(len(document)))


def pages_of(content: bytes) -> int:
    """How many pages there are."""
    with opened(content) as document:
        return len(document)


def letters_of(content: bytes, page: int = 0) -> list[Letter]:
    """Every visible character of a page, in the order that the file has them."""
    with opened(content) as document:
        text_page = document[page].get_textpage()
        found: list[Letter] = []
        for at in range(text_page.count_chars()):
            character = chr(pdfium.FPDFText_GetUnicode(text_page, at))
            if character.isprintable() and not character.isspace():
                left, right, bottom, top = (ctypes.c_double() for _ in range(4))
                pdfium.FPDFText_GetCharBox(text_page, at, left, right, bottom, top)
                found.append(Letter(character, left.value, right.value, bottom.value))
        return found


def place_of(letters: list[Letter], word: str) -> tuple[float, float]:
    """Where a word that stands once on the page begins and ends, from the left. AssertionError where it is torn."""
    whole = "".join(letter.text for letter in letters)
    places: list[tuple[float, float]] = []
    for spelled in (word, word[::-1]):
        at = whole.find(spelled)
        if at >= 0:
            boxes = letters[at : at + len(word)]
            ordered = boxes if spelled == word else boxes[::-1]
            lefts = [box.left for box in ordered]
            assert lefts in (sorted(lefts), sorted(lefts, reverse=True)), f"{word} is torn"
            places.append((ordered[0].left, ordered[-1].left))
    assert places, f"{word} is not on the page"
    return places[0]


def picture_of(content: bytes, page: int = 0, scale: float = 1.0) -> bytes:
    """A page as the bytes of a grey picture."""
    with opened(content) as document:
        return bytes(document[page].render(scale=scale, grayscale=True).buffer)
