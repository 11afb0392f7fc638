"""Routes of packages: what is offered, and selling it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from loom.features.credits import queries
from loom.features.credits.schemas import ChangePackage, CreditsWithEntries, OfferPackage, Package, SellPackage
from loom.http import Cursor, Limit, Page, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/v1", tags=["packages"])

OfPractice = Annotated[UUID | None, Query(description="Only those of this practice.")]
OfTemplate = Annotated[UUID | None, Query(description="Only those for sessions of this template.")]


@router.get("/packages")
async def list_packages(
    read: Read, practice_id: OfPractice = None, template_id: OfTemplate = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[Package]:
    """What is on offer, newest first; of your own practice also what was taken off."""
    found = await queries.list_packages(
        read, practice_id=practice_id, template_id=template_id, after=decode_after(cursor), limit=limit
    )
    return page_of(found, limit, "created_at", "id")


@router.post("/packages", status_code=201, response_model=Package, responses=problems(404, 409))
async def offer_package(body: OfferPackage, write: Write) -> Response:
    """Offer sessions of a template of your practice in advance."""
    return await write.made(
        lambda tx: queries.offer_package(tx, body),
        queries.get_package,
        status=201,
        location=lambda made: f"/v1/packages/{made.id}",
    )


@router.get("/packages/{package_id}", responses=problems(404))
async def get_package(package_id: UUID, read: Read) -> Package:
    """One package."""
    return await queries.get_package(read, package_id)


@router.patch("/packages/{package_id}", response_model=Package, responses=problems(404, 409))
async def change_package(package_id: UUID, body: ChangePackage, write: Write) -> Response:
    """Change a package of your practice, or take it off. What was sold keeps the terms it was sold on."""
    return await write.changed(package_id, lambda tx: queries.change_package(tx, package_id, body), queries.get_package)


@router.post(
    "/invoices/{invoice_id}/packages",
    status_code=201,
    response_model=CreditsWithEntries,
    responses=problems(404, 409),
)
async def sell_package(invoice_id: UUID, body: SellPackage, write: Write) -> Response:
    """Put a package on a draft of yours. Its credits are empty until the invoice is issued or paid."""
    return await write.made(
        lambda tx: queries.sell_package(tx, invoice_id, body.package_id),
        queries.get_credits,
        status=201,
        location=lambda made: f"/v1/credits/{made.id}",
    )
