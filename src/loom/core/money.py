"""Money: integers in minor units plus a currency. The only module that knows about exponents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

from babel.core import get_global
from babel.numbers import format_currency

from loom.core.errors import Invalid

# ISO 4217. Written out, since CLDR (and so babel) counts the decimals that people write in shops, which for a dozen
# currencies is not the minor unit that banks count in.
_EXPONENTS: dict[str, int] = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}


@cache
def currencies() -> frozenset[str]:
    """Codes of the currencies that are legal tender somewhere today, upper case."""
    territories: Mapping[str, list[tuple[str, object, object, bool]]] = get_global("territory_currencies")
    return frozenset(
        code for rows in territories.values() for code, _start, end, tender in rows if tender and end is None
    )


def exponent(currency: str) -> int:
    """Decimals between the major and the minor unit: 2 for ILS, 0 for JPY, 3 for KWD. Invalid if unknown."""
    if currency not in currencies():
        raise Invalid("currency_unknown", f"There is no currency {currency!r}.", "Use an ISO 4217 code such as ILS.")
    return _EXPONENTS.get(currency, 2)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units, e.g. Money(25000, "ILS") is ₪250."""

    amount_cents: int
    currency: str

    def major(self) -> Decimal:
        """The amount in major units, exactly."""
        return Decimal(self.amount_cents).scaleb(-exponent(self.currency))

    def text(self, locale: str = "en") -> str:
        """As people of the locale (en, he) write it, with all its decimals."""
        number = "".join(("#,##0", ".", "0" * exponent(self.currency))) if exponent(self.currency) else "#,##0"
        pattern = f"\N{CURRENCY SIGN}{number}" if locale == "en" else f"{number}\N{NO-BREAK SPACE}\N{CURRENCY SIGN}"
        text = format_currency(self.major(), self.currency, format=pattern, locale=locale, currency_digits=False)
        # Among Hebrew the minus would otherwise end up behind its number.
        return f"\N{LEFT-TO-RIGHT MARK}{text}" if locale == "he" and self.amount_cents < 0 else text


def from_major(amount: Decimal, currency: str) -> Money:
    """Minor units of a decimal amount. Invalid if it has more decimals than the currency."""
    minor = amount.scaleb(exponent(currency))
    if minor != minor.to_integral_value():
        raise Invalid("too_many_decimals", f"{currency} has {exponent(currency)} decimals.")
    return Money(int(minor), currency)


def share(amount_cents: int, basis_points: int) -> int:
    """Basis points of an amount, half away from zero: the tax of a net amount, say."""
    return int((Decimal(amount_cents) * basis_points / 10_000).quantize(Decimal(1), ROUND_HALF_UP))
