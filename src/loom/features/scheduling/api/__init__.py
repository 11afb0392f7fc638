"""Routes of scheduling."""

from __future__ import annotations

from fastapi import APIRouter

from loom.features.scheduling.api import attendees, offers, sessions

router = APIRouter(prefix="/v1")
router.include_router(offers.router)
router.include_router(sessions.router)
router.include_router(attendees.router)

__all__ = ["router"]
