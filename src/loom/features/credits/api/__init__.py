"""Routes of packages and credits."""

from fastapi import APIRouter

from loom.features.credits.api import balances, packages

router = APIRouter()
for part in (packages, balances):
    router.include_router(part.router)
