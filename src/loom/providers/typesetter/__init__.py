"""PDFs: a template of ours, data of anybody's, fonts that come with Loom. The same input gives the same bytes."""

from __future__ import annotations

from loom.providers.typesetter.glyphs import direction, has_glyph, printable
from loom.providers.typesetter.typeset import PictureRefusedError, check_picture, typeset

__all__ = ["PictureRefusedError", "check_picture", "direction", "has_glyph", "printable", "typeset"]
