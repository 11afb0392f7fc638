"""The fonts that documents are set in, from packages: Arimo (Latin, Hebrew, Greek, Cyrillic) and Noto Sans Arabic.

Fonts of the machine are left out, so that a document looks the same wherever it is made.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import fontpkg_arimo
import fontpkg_noto_sans_arabic
import typst
from fontTools.ttLib import TTFont

FAMILIES = ("Arimo", "Noto Sans Arabic")

_FOLDERS = [Path(package.ROOT) / "files" for package in (fontpkg_arimo, fontpkg_noto_sans_arabic)]


@cache
def fonts() -> typst.Fonts:
    """What the typesetter may use."""
    return typst.Fonts(
        include_system_fonts=False,
        include_embedded_fonts=False,
        font_paths=[str(folder) for folder in _FOLDERS],
    )


@cache
def covered() -> frozenset[int]:
    """The code points that the upright fonts have a glyph for."""
    found: set[int] = set()
    for folder in _FOLDERS:
        for path in sorted(folder.glob("*.ttf")):
            if "Italic" not in path.name:
                with TTFont(path, lazy=True) as font:
                    found |= set(font.getBestCmap() or ())
    return frozenset(found)
