"""Documents as PDFs. A layout that documents were issued in stays as it is; a new look is a new layout."""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.resources import files

from loom.features.documents.layout import filled
from loom.features.documents.schemas import Document, Language, Printable
from loom.providers.errors import PermanentError
from loom.providers.typesetter import typeset


async def pdf(printable: Printable, language: Language | None = None) -> bytes:
    """The PDF of a document, in its own language unless another is asked for. Setting it takes a thread of its own."""
    return await asyncio.to_thread(set_pdf, printable.content, printable.logo, language)


def set_pdf(document: Document, logo: bytes | None, language: Language | None = None) -> bytes:
    """The same document gives the same bytes."""
    template = _template(document.layout)
    made_at = document.issued_at or document.drafted_at
    chosen = language or document.language
    try:
        return typeset(template, filled(document, logo, chosen), made_at=made_at)
    except PermanentError:
        # A logo that was put into the database past the API may be no picture. The document matters more.
        if logo is None:
            raise
        return typeset(template, filled(document, None, chosen), made_at=made_at)


@cache
def _template(layout: int) -> bytes:
    return files("loom.features.documents").joinpath("templates", f"layout_{layout}.typ").read_bytes()
