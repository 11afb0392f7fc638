"""Tranzila's wire: signed headers, sums in major units, and the lines of its report."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from zoneinfo import ZoneInfo

from loom.core.money import Money, exponent, from_major
from loom.providers.payments.protocol import WebhookRefusedError
from loom.providers.payments.tranzila_codes import Meaning, meaning_of

ZONE = ZoneInfo("Asia/Jerusalem")
"""Reports tell times without a zone, as they are in Israel."""
CURRENCIES = {"ILS": "1", "USD": "2", "EUR": "978", "GBP": "826"}
_LARGEST = 2**31 - 1
"""Of what the books hold."""
_CODES = {number: code for code, number in CURRENCIES.items()}

TimeUnit = Literal["seconds", "milliseconds"]


@dataclass(frozen=True, slots=True)
class Terminal:
    """An account at Tranzila. `reference_field` is the field of the terminal that carries our reference."""

    name: str
    app_key: str
    secret: str
    reference_field: str = "user_defined_1"
    handshake: bool = True
    report_in_minor: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the report."""

    index: str
    at: datetime
    amount_cents: int
    currency: str
    kind: Literal["debit", "credit", "verify", "cancel"]
    code: str
    tranmode: str
    reference: str | None
    approval: str
    token: str | None
    exp_month: int | None
    exp_year: int | None

    @property
    def meaning(self) -> Meaning:
        """What its code says."""
        return meaning_of(self.code)

    @property
    def parent(self) -> str | None:
        """The transaction that it gives back, captures or cancels: a mode such as C123456 carries it."""
        digits = self.tranmode.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        return digits if digits.isdigit() else None


def headers(terminal: Terminal, now: float, *, unit: TimeUnit, nonce_bytes: int) -> dict[str, str]:
    """Who asks, and that the asker knows the secret. The body is not covered, so it proves nothing about itself."""
    at = str(int(now * 1000) if unit == "milliseconds" else int(now))
    nonce = secrets.token_hex(nonce_bytes)
    token = hmac.new((terminal.secret + at + nonce).encode(), terminal.app_key.encode(), hashlib.sha256).hexdigest()
    return {
        "X-tranzila-api-app-key": terminal.app_key,
        "X-tranzila-api-request-time": at,
        "X-tranzila-api-nonce": nonce,
        "X-tranzila-api-access-token": token,
    }


def to_major(amount_cents: int, currency: str) -> str:
    """Minor units as the decimal string that Tranzila takes."""
    return str(Money(amount_cents, currency).major())


def from_report(amount: object, currency: str, *, minor: bool = False) -> int:
    """A sum of Tranzila's in minor units. Raises ValueError for what is none."""
    decimals = exponent(currency)
    try:
        value = Decimal(str(amount).strip())
        if not value.is_finite():
            raise ValueError(f"{amount!r} is no sum")
        if minor:
            value = value.scaleb(-decimals)
        cents = from_major(value.quantize(Decimal(1).scaleb(-decimals)), currency).amount_cents
    except InvalidOperation as exc:
        raise ValueError(f"{amount!r} is no sum") from exc
    if not 0 <= cents <= _LARGEST:
        raise ValueError(f"{amount!r} is no sum")
    return cents


def currency_of(said: object) -> str:
    """Cards say 1, the bit wallet says ILS; both mean the shekel. Raises ValueError for what is neither."""
    text = str(said).strip().upper()
    code = _CODES.get(text, text)
    if code not in CURRENCIES:
        raise ValueError(f"{said!r} is no currency of Tranzila's")
    return code


def line_of(said: Mapping[str, Any], terminal: Terminal) -> Line:
    """A line of the report. Raises KeyError or ValueError where it has not that form."""
    currency = currency_of(said["currency"])
    mode = str(said.get("tranmode") or "").upper()
    day, time = str(said["transaction_date"]), str(said.get("transaction_time") or "00:00:00")
    return Line(
        index=str(said["index"]),
        at=datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=ZONE),
        amount_cents=from_report(said["amount"], currency, minor=terminal.report_in_minor),
        currency=currency,
        kind=_kind(str(said.get("txn_type") or "").upper(), mode),
        code=str(said.get("processor_response_code") or ""),
        tranmode=mode,
        reference=str(said.get(terminal.reference_field) or "") or None,
        approval=str(said.get("authorization_number") or ""),
        token=str(said.get("credit_card_token") or "") or None,
        exp_month=_number(said.get("expiration_month")),
        exp_year=_year(said.get("expiration_year")),
    )


def _kind(txn_type: str, mode: str) -> Literal["debit", "credit", "verify", "cancel"]:
    if txn_type in ("CANCEL", "REVERSAL") or mode.startswith("D"):
        return "cancel"
    if txn_type == "CREDIT" or mode.startswith("C"):
        return "credit"
    # J5 and J2 hold and check; K makes a token. None of them is a charge.
    if txn_type == "VERIFY" or mode.startswith(("V", "N", "K")):
        return "verify"
    return "debit"


def _number(said: object) -> int | None:
    text = str(said or "")
    return int(text) if text.isdigit() else None


def _year(said: object) -> int | None:
    year = _number(said)
    return None if year is None else year if year > 99 else 2000 + year


def proof_of(reference: str, secret: str) -> str:
    """What the address of a notice carries: that we made it, and for which of our references."""
    return f"{reference}.{hmac.new(secret.encode(), reference.encode(), hashlib.sha256).hexdigest()[:40]}"


def proven(carried: str | None, secret_list: list[str]) -> str:
    """The reference out of the address of a notice. Raises WebhookRefusedError."""
    if not carried:
        raise WebhookRefusedError("The address carries no proof.", reason="signature_missing")
    reference = carried.rpartition(".")[0]
    if not sum(hmac.compare_digest(proof_of(reference, one).encode(), carried.encode()) for one in secret_list if one):
        raise WebhookRefusedError("The address was not made here.", reason="signature_invalid")
    return reference
