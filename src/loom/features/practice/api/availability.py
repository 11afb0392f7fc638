"""Weekly hours: the coach's own, and a coach's as others see them."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from loom.db.executor import Executor
from loom.features.practice import queries
from loom.features.practice.schemas import CoachAvailability, OwnAvailability, SetAvailability
from loom.http import Read, Write, problems

router = APIRouter(tags=["availability"])


@router.get("/availability")
async def get_availability(read: Read) -> OwnAvailability:
    """Your week as a coach."""
    return OwnAvailability(ranges=await queries.get_own_availability(read))


@router.put("/availability", response_model=OwnAvailability, responses=problems(404, 409))
async def set_availability(body: SetAvailability, write: Write) -> Response:
    """Replace your whole week at once; an empty list closes it. Sessions that are booked stay booked."""

    async def work(tx: Executor) -> OwnAvailability:
        return OwnAvailability(ranges=await queries.set_availability(tx, body))

    return await write.run(work)


@router.get("/coaches/{coach_id}/availability", responses=problems(404))
async def get_coach_availability(coach_id: UUID, read: Read) -> CoachAvailability:
    """A coach's week, to anybody signed in. Which times are still free, the slots say."""
    return CoachAvailability(coach_id=coach_id, ranges=await queries.get_coach_availability(read, coach_id))
