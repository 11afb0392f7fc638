"""Routes of booking."""

from __future__ import annotations

from fastapi import APIRouter

from loom.features.booking.api import outcomes, policies

router = APIRouter(prefix="/v1")
router.include_router(policies.router)
router.include_router(outcomes.router)

__all__ = ["router"]
