"""What a template is filled with: formatted, in the document's language, each text with its direction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date

from loom.core.money import Money
from loom.features.documents.schemas import Document, Language
from loom.features.documents.words import KINDS, LABELS, METHODS
from loom.providers.typesetter import direction, has_glyph, printable

Free = list[dict[str, str]]

_LONGEST_FACT = 40


def filled(document: Document, logo: bytes | None, language: Language) -> dict[str, Any]:
    """The data of a template."""
    words = LABELS[language]
    kind = KINDS[language][document.kind]
    number = document.number or ""
    discounted = any(line.discount_cents for line in document.lines)
    return {
        "lang": language,
        "dir": "rtl" if language == "he" else "ltr",
        "title": f"{kind} {number}".strip(),
        "kind": kind,
        "number": number,
        "stamp": _stamp(document, words),
        "logo": list(logo) if logo is not None else None,
        "seller": {"name": free(document.seller_name), "about": _about_seller(document, words)},
        "to": words["to"],
        "buyer": _about_buyer(document, words),
        "facts": _facts(document, words, language),
        "head": _row(words["description"], words["quantity"], words["price"], words["discount"], words["line_total"])
        if discounted
        else _row(words["description"], words["quantity"], words["price"], None, words["line_total"]),
        "rows": [
            _row(
                free(line.description) or [{"text": "–", "dir": "ltr"}],
                str(line.quantity),
                _money(line.amount_cents, document, language),
                _money(-line.discount_cents, document, language) if discounted else None,
                _money(line.total_cents, document, language),
            )
            for line in document.lines
        ],
        "totals": _totals(document, words, language),
        "parts": _parts(document, words),
        "footer": free(" · ".join(filter(None, [words["computerised"], document.footer]))),
        "page": words["page"],
    }


def free(text: str | None) -> Free:
    """A text that somebody typed, line by line, each with the direction that it reads in."""
    lines = printable(text or "").split("\n")
    # What has no letters (a telephone number, an amount) is read from left to right in Hebrew too.
    return [{"text": line, "dir": direction(line) or "ltr"} for line in lines if line]


def day(at: datetime, time_zone: str, language: Language) -> str:
    """A day, by the clock of the practice."""
    return format_date(at.astimezone(ZoneInfo(time_zone)), format="long", locale=language)


def rate(basis_points: int) -> str:
    """1800 is 18%, 1750 is 17.5%."""
    return f"{basis_points / 100:g}%"


def _stamp(document: Document, words: dict[str, str]) -> str | None:
    if document.voided_at is not None:
        return words["void"]
    return words["draft"] if document.issued_at is None else None


def _about_seller(document: Document, words: dict[str, str]) -> list[Free]:
    label = "tax_id" if document.tax_scheme == "own_rate" else f"tax_id_{document.tax_scheme}"
    tax_id = words[label].format(document.tax_id) if document.tax_id else None
    return _present(*(free(text) for text in (tax_id, document.address, document.phone, document.email)))


def _about_buyer(document: Document, words: dict[str, str]) -> list[Free]:
    tax_id = words["tax_id"].format(document.buyer_tax_id) if document.buyer_tax_id else None
    return _present(
        *(free(text) for text in (document.buyer_name, tax_id, document.buyer_address, document.buyer_email))
    )


def _facts(document: Document, words: dict[str, str], language: Language) -> list[list[str]]:
    paid = document.paid
    found = [
        (words["date"], _day(document.issued_at or document.drafted_at, document, language)),
        (words["due"], _day(document.due_date, document, language)),
        (words["credit_of"], _short(document.credit_of)),
        (words["paid_on"], _day(paid.at if paid else None, document, language)),
        (words["paid_by"], METHODS[language][paid.method] if paid and paid.method else None),
        (words["reference"], _short(paid.reference if paid else None)),
        (words["allocation"], document.allocation_number),
    ]
    return [[label, text] for label, text in found if text]


def _totals(document: Document, words: dict[str, str], language: Language) -> list[list[Any]]:
    label = words["received" if document.paid else "total"]
    total = [label, _money(document.total_cents, document, language), True]
    discount = [
        [words["lines_total"], _money(sum(line.total_cents for line in document.lines), document, language), False],
        [words["discount"], _money(-document.discount_cents, document, language), False],
    ]
    found = discount if document.discount_cents else []
    if not document.tax_rate_bp:
        return [*found, total]
    # What the tax is not of stands apart, so that what is before tax is what was taxed.
    elsewhere, untaxed = document.taxed_elsewhere_cents, document.untaxed_cents
    apart = [
        [words[label], _money(cents, document, language), False]
        for label, cents in (("taxed_elsewhere", elsewhere), ("untaxed", untaxed))
        if cents
    ]
    before_tax = document.subtotal_cents - elsewhere - untaxed
    tax = words["vat" if document.country == "IL" else "tax"].format(rate=rate(document.tax_rate_bp))
    return [
        *found,
        *apart,
        [words["subtotal"], _money(before_tax, document, language), False],
        [tax, _money(document.tax_cents, document, language), False],
        total,
    ]


def _parts(document: Document, words: dict[str, str]) -> list[list[Any]]:
    asks = document.kind in ("invoice", "tax_invoice") and document.total_cents > 0
    later = words["tax_later"] if document.tax_on_payment else None
    found = [
        (words["notes"], [*free(later), *free(document.notes)]),
        (words["transfer"], free(document.transfer_details) if asks else []),
    ]
    return [[label, text] for label, text in found if text]


def _money(amount_cents: int, document: Document, language: Language) -> str:
    text = Money(amount_cents, document.currency).text(language)
    return "".join(mark if has_glyph(mark) else document.currency for mark in text)


def _day(at: datetime | None, document: Document, language: Language) -> str | None:
    return day(at, document.timezone, language) if at is not None else None


def _short(text: str | None) -> str:
    """A reference that somebody typed, as one line beside its label."""
    line = " ".join(printable(text or "").split())
    return line if len(line) <= _LONGEST_FACT else line[: _LONGEST_FACT - 1] + "…"


def _row(*cells: Any) -> list[Any]:
    return [cell for cell in cells if cell is not None]


def _present(*texts: Iterable[dict[str, str]]) -> list[Any]:
    return [text for text in texts if text]
