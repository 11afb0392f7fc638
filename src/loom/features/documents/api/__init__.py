"""Routes of documents."""

from fastapi import APIRouter

from loom.features.documents.api import letterhead, links, prints

router = APIRouter()
for part in (prints, letterhead, links):
    router.include_router(part.router)
