"""Routes of files for accountants."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime
from starlette.responses import Response

from loom.core.errors import Invalid
from loom.features.books import queries, service
from loom.features.books.schemas import Table
from loom.http import Read, problems

router = APIRouter(prefix="/v1/exports", tags=["books"])

CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}

Which = Annotated[Table, Path(description="The journal, issued documents, or payments that were made.")]
From = Annotated[AwareDatetime, Query(alias="from", description="From this instant on.")]
To = Annotated[AwareDatetime, Query(description="Until before this instant.")]


@router.get("/{table}", response_class=Response, responses=problems(422) | CSV)
async def export_table(table: Which, read: Read, start: From, to: To) -> Response:
    """A file of your practice's journal, documents or payments of a period, for a spreadsheet or an accountant.

    Amounts are in major units. UTF-8 with a byte order mark; what a spreadsheet would run is quoted.
    """
    if to <= start:
        raise Invalid("period_invalid", "The period must end after it begins.")
    rows = await queries.export(read, table, start, to, service.MAX_ROWS)
    return Response(
        service.csv_of(table, rows),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{table}.csv"'},
    )
