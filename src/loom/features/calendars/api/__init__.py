"""Routes of calendars."""

from __future__ import annotations

from fastapi import APIRouter

from loom.features.calendars.api import feeds, links

router = APIRouter(prefix="/v1")
router.include_router(feeds.router)
router.include_router(links.router)

__all__ = ["router"]
