"""Routes of the books."""

from fastapi import APIRouter

from loom.features.books.api import bills, exports, ledger

router = APIRouter()
for part in (bills, ledger, exports):
    router.include_router(part.router)
