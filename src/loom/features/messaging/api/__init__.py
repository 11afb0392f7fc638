"""Routes of messaging."""

from __future__ import annotations

from fastapi import APIRouter

from loom.features.messaging.api import conversations, files, messages, overview, push

router = APIRouter(prefix="/v1")
for part in (conversations, files, messages, overview, push):
    router.include_router(part.router)

__all__ = ["router"]
