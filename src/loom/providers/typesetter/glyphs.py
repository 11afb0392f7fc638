"""What people typed, made fit to print: nothing in it turns the text around, and everything in it has a glyph."""

from __future__ import annotations

import unicodedata
from typing import Literal

from loom.providers.typesetter.fonts import covered

Direction = Literal["ltr", "rtl"]

# PDF/A refuses a text without a glyph, so such a character becomes a box: it is seen that something stood there.
_MISSING = "\N{WHITE SQUARE}"
# Persian and some Indian names are misspelt without it; it moves nothing.
_KEPT = "\N{ZERO WIDTH NON-JOINER}"
_LONGEST_WORD = 30
_BREAK = "\N{ZERO WIDTH SPACE}"


def printable(text: str) -> str:
    """One text as it can be printed.

    Controls and format characters (those that reorder text, the invisible, the joiners of emoji) go, line breaks
    stay. A word too long for any column may be broken anywhere.
    """
    lines = unicodedata.normalize("NFC", text).splitlines()
    return "\n".join(" ".join(_broken(_word(word)) for word in line.split()) for line in lines).strip()


def direction(text: str) -> Direction | None:
    """The direction of the first letter that has one, as browsers do with dir=auto; None where no letter has."""
    for character in text:
        bidi = unicodedata.bidirectional(character)
        if bidi == "L":
            return "ltr"
        if bidi in ("R", "AL"):
            return "rtl"
    return None


def has_glyph(character: str) -> bool:
    """Whether the fonts can print a character, or it is one that needs no ink."""
    return ord(character) in covered() or unicodedata.category(character) == "Cf"


def _word(word: str) -> str:
    return "".join(filter(None, map(_glyph, word)))


def _glyph(character: str) -> str:
    if character == _KEPT or ord(character) in covered():
        return "" if unicodedata.category(character) in ("Cc", "Cf") and character != _KEPT else character
    # Marks without a glyph (variation selectors and the like) belong to what stands before them.
    return "" if unicodedata.category(character) in ("Cc", "Cf", "Mn", "Me") else _MISSING


def _broken(word: str) -> str:
    if len(word) <= _LONGEST_WORD:
        return word
    return _BREAK.join(word[at : at + _LONGEST_WORD] for at in range(0, len(word), _LONGEST_WORD))
