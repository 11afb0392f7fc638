"""Files for accountants: what stands in the database, as a spreadsheet reads it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from loom.core.errors import Invalid
from loom.core.money import exponent
from loom.features.books.schemas import ExportRow, Table

MAX_ROWS = 100_000

COLUMNS: dict[Table, tuple[str, ...]] = {
    "journal": (
        "date", "written_at", "transaction", "kind", "subject", "subject_id", "client", "account", "debit", "credit",
        "currency", "memo",
    ),
    "invoices": (
        "number", "kind", "state", "date", "due", "client", "client_tax_id", "discount", "net", "tax_rate_bp", "tax",
        "total", "paid", "refunded", "credited", "open", "currency", "allocation_number", "corrects", "id",
    ),
    "payments": (
        "date", "state", "method", "provider", "reference", "client", "amount", "refunded", "allocated", "on_account",
        "currency", "receipt", "id",
    ),
}  # fmt: skip
MONEY = {
    "debit", "credit", "discount", "net", "tax", "total", "paid", "refunded", "credited", "open", "amount", "allocated",
    "on_account",
}  # fmt: skip
# What a spreadsheet would run as a formula.
_RUNS = ("=", "+", "-", "@", "\t", "\r")


def csv_of(table: Table, rows: Sequence[ExportRow]) -> str:
    """A file with a heading, amounts in major units, and nothing in it that a spreadsheet would run."""
    if len(rows) > MAX_ROWS:
        raise Invalid("export_too_large", f"There are more than {MAX_ROWS:,} rows.", "Ask for a shorter period.")
    text = io.StringIO()
    # Excel reads UTF-8 only behind this mark, and Hebrew otherwise comes out as noise.
    text.write("\ufeff")
    out = csv.writer(text, lineterminator="\r\n")
    out.writerow(COLUMNS[table])
    for row in rows:
        digits = exponent(str(row.cells["currency"]))
        out.writerow([_cell(name, row.cells[name], digits) for name in COLUMNS[table]])
    return text.getvalue()


def _cell(name: str, value: Any, digits: int) -> str:
    if value is None:
        return ""
    if name in MONEY:
        return major(int(value), digits)
    shown = str(value)
    return f"'{shown}" if shown.startswith(_RUNS) else shown


def major(cents: int, digits: int) -> str:
    """Minor units as a decimal number, exact whatever its size."""
    if digits == 0:
        return str(cents)
    whole, part = divmod(abs(cents), 10**digits)
    return f"{'-' if cents < 0 else ''}{whole}.{part:0{digits}d}"
