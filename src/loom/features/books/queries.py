"""What the books ask of the database as the caller, as typed functions. Policies decide what is found."""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString
from uuid import UUID

from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.books.schemas import (
    BilledClient,
    BillMonth,
    ClientBalance,
    ContinueSeries,
    Difference,
    ExportRow,
    JournalEntry,
    NumberSeries,
    PracticeDifference,
    SeatWriteOff,
    Table,
    TaxRule,
    UnbilledItem,
)
from loom.http.cursors import After

SQL = load_queries("loom.features.books")

EXPORTS: dict[Table, LiteralString] = {
    "journal": SQL["export_journal"],
    "invoices": SQL["export_invoices"],
    "payments": SQL["export_payments"],
}


async def unbilled(q: Executor, start: datetime, end: datetime, coach_client_id: UUID | None) -> list[UnbilledItem]:
    """What the caller's clients owe from a time and no invoice has, the oldest first."""
    return await q.fetch_all(
        SQL["unbilled"], {"from": start, "until": end, "coach_client_id": coach_client_id}, UnbilledItem
    )


async def bill_month(q: Executor, asked: BillMonth) -> list[BilledClient]:
    """Bills everything unbilled of a month, each client for itself."""
    return await q.fetch_all(SQL["bill_month"], asked.model_dump(), BilledClient)


async def write_off_seat(q: Executor, attendee_id: UUID, reason: str) -> UUID:
    """The id of what says so."""
    return await q.fetch_value(SQL["write_off_seat"], {"attendee_id": attendee_id, "reason": reason})


async def restore_seat(q: Executor, attendee_id: UUID) -> UUID:
    """The id of the write-off that is taken back."""
    return await q.fetch_value(SQL["restore_seat"], {"attendee_id": attendee_id})


async def get_seat_write_off(q: Executor, write_off_id: UUID) -> SeatWriteOff:
    """One write-off of a seat."""
    return await q.fetch_one(SQL["get_seat_write_off"], {"id": write_off_id}, SeatWriteOff)


async def list_seat_write_offs(
    q: Executor, *, coach_client_id: UUID | None, after: After, limit: int
) -> list[SeatWriteOff]:
    """Newest first, one more than `limit` where there are more."""
    return await q.fetch_all(
        SQL["list_seat_write_offs"], {"coach_client_id": coach_client_id} | _page(after, limit), SeatWriteOff
    )


async def client_balances(q: Executor, coach_client_id: UUID | None, *, overdue: bool) -> list[ClientBalance]:
    """How clients stand, the longest overdue first."""
    return await q.fetch_all(
        SQL["client_balances"], {"coach_client_id": coach_client_id, "overdue": overdue}, ClientBalance
    )


async def journal(
    q: Executor, *, subject_id: UUID | None, coach_client_id: UUID | None, after: After, limit: int
) -> list[JournalEntry]:
    """Movements, the last first, one more than `limit` where there are more."""
    return await q.fetch_all(
        SQL["journal"],
        {"subject_id": subject_id, "coach_client_id": coach_client_id} | _page(after, limit),
        JournalEntry,
    )


async def verify(q: Executor) -> list[Difference]:
    """Where the books of the caller's practice do not agree."""
    return await q.fetch_all(SQL["verify"], {}, Difference)


async def practice_exists(q: Executor, practice_id: UUID) -> bool:
    """Whether there is such a practice. For the service."""
    return await q.fetch_value(SQL["practice_exists"], {"practice_id": practice_id})


async def verify_all(q: Executor, practice_id: UUID | None) -> list[PracticeDifference]:
    """Where the books of one practice, or of all, do not agree. For the service."""
    return await q.fetch_all(SQL["verify_all"], {"practice_id": practice_id}, PracticeDifference)


async def series(q: Executor) -> list[NumberSeries]:
    """Where the numbers of the caller's practice stand."""
    return await q.fetch_all(SQL["series"], {}, NumberSeries)


async def continue_series(q: Executor, asked: ContinueSeries) -> int:
    """The number that comes next."""
    return await q.fetch_value(
        SQL["continue_series"],
        {"document_kind": asked.document_kind, "last_number": asked.last_number, "year": asked.year},
    )


async def tax_rules(q: Executor) -> list[TaxRule]:
    """Every rule, by country."""
    return await q.fetch_all(SQL["tax_rules"], {}, TaxRule)


async def export(q: Executor, table: Table, start: datetime, end: datetime, limit: int) -> list[ExportRow]:
    """Rows of a file, one more than `limit` where there are more."""
    return await q.fetch_all(EXPORTS[table], {"from": start, "until": end, "limit": limit + 1}, ExportRow)


def _page(after: After, limit: int) -> dict[str, object]:
    return {"after_at": after.at, "after_id": after.id, "limit": limit + 1}
