"""Routes of identity: signing in, one's own account, and other people."""

from __future__ import annotations

from fastapi import APIRouter

from loom.features.identity.api import auth, me, users

router = APIRouter(prefix="/v1")
router.include_router(auth.router)
router.include_router(me.router)
router.include_router(users.router)

__all__ = ["router"]
