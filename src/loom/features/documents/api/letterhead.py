"""Routes of a practice's letterhead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.responses import Response

from loom.core.errors import Invalid
from loom.db.database import Tx
from loom.features.documents import queries
from loom.features.documents.schemas import Letterhead, SetLetterhead, SetLogo
from loom.http import Read, Write, WriteScope, problems
from loom.providers.typesetter import PictureRefusedError, check_picture

router = APIRouter(prefix="/v1/practice", tags=["practice"])


@router.get("/letterhead", responses=problems(404))
async def get_letterhead(read: Read) -> Letterhead:
    """What the documents of your practice carry besides its legal particulars."""
    return await queries.get_letterhead(read)


async def _changed(write: WriteScope, act: Callable[[Tx], Awaitable[None]]) -> Response:
    async def work(tx: Tx) -> Letterhead:
        await act(tx)
        return await queries.get_letterhead(tx)

    return await write.run(work)


@router.put("/letterhead", response_model=Letterhead, responses=problems(404))
async def set_letterhead(body: SetLetterhead, write: Write) -> Response:
    """Set the letterhead of the practice you own. Documents that were issued keep theirs."""
    return await _changed(write, lambda tx: queries.set_letterhead(tx, body))


@router.put("/logo", response_model=Letterhead, responses=problems(404))
async def set_logo(body: SetLogo, write: Write) -> Response:
    """Set the logo of the practice you own. Documents that were issued keep theirs."""
    try:
        await asyncio.to_thread(check_picture, body.content)
    except PictureRefusedError as refused:
        raise Invalid("logo_refused", f"A logo is a PNG or JPEG of modest size: {refused}.") from refused
    return await _changed(write, lambda tx: queries.set_logo(tx, body.content))


@router.delete("/logo", response_model=Letterhead, responses=problems(404))
async def remove_logo(write: Write) -> Response:
    """Documents issued from now on carry no logo."""
    return await _changed(write, lambda tx: queries.set_logo(tx, None))
