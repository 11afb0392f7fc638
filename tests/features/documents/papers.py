"""Documents of all kinds and sizes, as the database would give them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from loom.features.documents.schemas import Document, DocumentLine

ISSUED = datetime(2026, 11, 25, 10, 30, tzinfo=UTC)
TITLES = ["Coaching (60 min)", "אימון Coaching עם Dana", "אימון אישי, 2026-11-01", "Workbook / חוברת"]


def lines(count: int) -> list[DocumentLine]:
    """So many lines, in both languages by turns."""
    return [
        DocumentLine(description=TITLES[at % 4], quantity=1, amount_cents=35000, discount_cents=0, total_cents=35000)
        for at in range(count)
    ]


def paper(count: int = 1, **more: Any) -> Document:
    """A tax invoice of so many lines."""
    said: dict[str, Any] = {
        "id": UUID(int=1),
        "practice_id": UUID(int=2),
        "layout": 1,
        "language": "he",
        "timezone": "Asia/Jerusalem",
        "country": "IL",
        "tax_scheme": "registered",
        "kind": "tax_invoice",
        "number": "TAX-2026-0007",
        "currency": "ILS",
        "issued_at": ISSUED,
        "drafted_at": ISSUED,
        "due_date": datetime(2026, 12, 9, tzinfo=UTC),
        "voided_at": None,
        "seller_name": "דנה לוי",
        "tax_id": "123456782",
        "address": "הרצל 5, תל אביב",
        "phone": "+972-50-1234567",
        "email": "dana@example.com",
        "footer": None,
        "transfer_details": "בנק 10, סניף 800, חשבון 123456",
        "buyer_name": "Noa Cohen",
        "buyer_email": "noa@example.com",
        "buyer_tax_id": None,
        "buyer_address": None,
        "notes": None,
        "allocation_number": None,
        "tax_inclusive": False,
        "tax_on_payment": False,
        "credit_of": None,
        "paid": None,
        "discount_cents": 0,
        "subtotal_cents": 35000 * count,
        "tax_rate_bp": 1800,
        "tax_cents": 6300 * count,
        "total_cents": 41300 * count,
        "taxed_elsewhere_cents": 0,
        "untaxed_cents": 0,
        "lines": lines(count),
    }
    return Document.model_validate(said | more)
