"""Routes of the practice."""

from __future__ import annotations

from fastapi import APIRouter

from loom.features.practice.api import availability, clients, coaches, notes, reflections, settings

router = APIRouter(prefix="/v1")
for part in (settings, clients, coaches, availability, notes, reflections):
    router.include_router(part.router)

__all__ = ["router"]
