"""Routes of booking."""

from __future__ import annotations

from fastapi import APIRouter

from loom.features.booking.api import outcomes, policies, requests, series

router = APIRouter(prefix="/v1")
router.include_router(policies.router)
router.include_router(outcomes.router)
router.include_router(requests.router)
router.include_router(series.router)

__all__ = ["router"]
