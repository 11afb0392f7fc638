"""What credits ask of the database, as typed functions. Policies decide what is found."""

from __future__ import annotations

from uuid import UUID

from loom.core.errors import NotFound
from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.credits.schemas import (
    ChangePackage,
    Credits,
    CreditsWithEntries,
    ExtendCredits,
    GiveCredits,
    MoveCredits,
    OfferPackage,
    Package,
)
from loom.http.cursors import After

SQL = load_queries("loom.features.credits")


async def offer_package(q: Executor, new: OfferPackage) -> UUID:
    """The id of the new package. NotFound for who works in no practice."""
    return _found(await q.fetch_value(SQL["offer_package"], new.model_dump()))


async def change_package(q: Executor, package_id: UUID, change: ChangePackage) -> None:
    """Only what was sent changes."""
    _found(await q.fetch_value(SQL["change_package"], {"id": package_id, "changes": change.changes()}))


async def get_package(q: Executor, package_id: UUID) -> Package:
    """One package."""
    return await q.fetch_one(SQL["get_package"], {"id": package_id}, Package)


async def list_packages(
    q: Executor, *, practice_id: UUID | None, template_id: UUID | None, after: After, limit: int
) -> list[Package]:
    """Newest first, one more than `limit` where there are more."""
    wanted = {"practice_id": practice_id, "template_id": template_id}
    return await q.fetch_all(SQL["list_packages"], wanted | _page(after, limit), Package)


async def list_credits(
    q: Executor, *, coach_client_id: UUID | None, template_id: UUID | None, after: After, limit: int
) -> list[Credits]:
    """Newest first, one more than `limit` where there are more."""
    wanted = {"coach_client_id": coach_client_id, "template_id": template_id}
    return await q.fetch_all(SQL["list_credits"], wanted | _page(after, limit), Credits)


async def get_credits(q: Executor, credit_id: UUID) -> CreditsWithEntries:
    """Credits with their ledger."""
    return await q.fetch_one(SQL["get_credits"], {"id": credit_id}, CreditsWithEntries)


async def give_credits(q: Executor, new: GiveCredits) -> UUID:
    """The id of the credits that a coach gives."""
    return await q.fetch_value(SQL["give_credits"], new.model_dump())


async def move_credits(q: Executor, credit_id: UUID, move: MoveCredits) -> None:
    """Up or down, with a reason."""
    await q.fetch_value(SQL["move_credits"], {"id": credit_id} | move.model_dump())


async def extend_credits(q: Executor, credit_id: UUID, to: ExtendCredits) -> None:
    """Sets until when they are good."""
    await q.fetch_value(SQL["extend_credits"], {"id": credit_id} | to.model_dump())


async def sell_package(q: Executor, invoice_id: UUID, package_id: UUID) -> UUID:
    """Puts a package on a draft; the id of its credits, empty until they are granted."""
    return await q.fetch_value(SQL["sell_package"], {"id": invoice_id, "package_id": package_id})


async def spend_credit(q: Executor, attendee_id: UUID) -> UUID:
    """Has a seat paid with a credit; the credits that it came from."""
    return await q.fetch_value(SQL["spend_credit"], {"id": attendee_id})


async def expire_credits(q: Executor) -> int:
    """Ends what ended more than a week ago; how many had something left."""
    return await q.fetch_value(SQL["expire_credits"], {})


def _found(found: UUID | None) -> UUID:
    if found is None:
        raise NotFound
    return found


def _page(after: After, limit: int) -> dict[str, object]:
    return {"after_at": after.at, "after_id": after.id, "limit": limit + 1}
