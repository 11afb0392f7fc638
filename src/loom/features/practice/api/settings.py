"""The practice's own data: what its documents say and what new things start with."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from loom.features.practice import queries
from loom.features.practice.schemas import ChangePractice, Practice
from loom.http import Read, Write, problems

router = APIRouter(prefix="/practice", tags=["practice"])


@router.get("", responses=problems(404))
async def get_practice(read: Read) -> Practice:
    """The practice you work in as a coach."""
    return await queries.get_practice(read)


@router.patch("", response_model=Practice, responses=problems(404))
async def change_practice(body: ChangePractice, write: Write) -> Response:
    """Change settings of the practice you own. Documents that were issued keep what they say."""
    return await write.run(lambda tx: queries.change_practice(tx, body))
