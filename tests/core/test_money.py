"""Money is whole minor units, and what a minor unit is depends on the currency."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loom.core.errors import Invalid
from loom.core.money import Money, currencies, exponent, from_major, share


@pytest.mark.parametrize(
    ("currency", "decimals"),
    # UYI and others of four decimals are no tender; HUF and RSD have two, though shops show none.
    [("ILS", 2), ("EUR", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("TND", 3), ("HUF", 2), ("RSD", 2), ("ISK", 0)],
)
def test_decimals_are_those_of_iso_4217(currency: str, decimals: int) -> None:
    assert exponent(currency) == decimals


@pytest.mark.parametrize("currency", ["XXX", "ils", "", "DEM", "ABC", "ILSX"])
def test_a_currency_that_is_not_there_is_refused(currency: str) -> None:
    with pytest.raises(Invalid) as caught:
        exponent(currency)
    assert caught.value.code == "currency_unknown"


def test_amounts_read_as_people_write_them() -> None:
    assert Money(2_500_000, "ILS").text("en") == "₪25,000.00"
    assert Money(25_000, "JPY").text("en") == "¥25,000"
    assert Money(-1_005, "KWD").text("en").replace("\N{NO-BREAK SPACE}", " ") in {"-KWD 1.005", "-KWD1.005"}
    hebrew = Money(25_000, "ILS").text("he")
    assert "250.00" in hebrew
    assert "₪" in hebrew
    # Without the mark a line from right to left shows the minus behind the number.
    assert Money(-4_000, "ILS").text("he") == "\N{LEFT-TO-RIGHT MARK}-40.00\N{NO-BREAK SPACE}₪"


@given(st.integers(-(2**53), 2**53), st.sampled_from(sorted(currencies())))
def test_minor_and_major_units_are_the_same_money(cents: int, currency: str) -> None:
    money = Money(cents, currency)
    assert from_major(money.major(), currency) == money


def test_more_decimals_than_a_currency_has_are_refused() -> None:
    assert from_major(Decimal("250.00"), "ILS") == Money(25_000, "ILS")
    for amount, currency in (("250.005", "ILS"), ("1.5", "JPY")):
        with pytest.raises(Invalid, match="too_many_decimals"):
            from_major(Decimal(amount), currency)


@given(st.integers(0, 10**12), st.integers(0, 10_000))
def test_a_share_is_never_more_than_half_a_unit_off(amount: int, basis_points: int) -> None:
    assert abs(share(amount, basis_points) * 10_000 - amount * basis_points) * 2 <= 10_000


def test_halves_are_rounded_away_from_zero() -> None:
    assert share(50, 100) == 1
    assert share(-50, 100) == -1
    assert share(25_000, 1_800) == 4_500
