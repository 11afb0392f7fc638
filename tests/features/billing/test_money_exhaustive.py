"""Arithmetic in full: every total, every exponent, the edges of what a column holds; and numbers under many issuers."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from loom.features.books.service import major
from tests.features.billing.world import World, addon, code_of, one


@pytest.mark.parametrize("rate", [1700, 1800])
def test_net_and_tax_make_up_the_gross_for_every_total(world: World, rate: int) -> None:
    """Every amount from 1 to 1,000,000, with the tax in it and on top, against arithmetic of whole numbers."""
    wrong = one(
        world.owner,
        """
        select count(*) as v from (
          select n, private.tax_in(n, %(rate)s, true) as within, private.tax_in(n, %(rate)s, false) as on_top
          from generate_series(1::bigint, 1000000) n) t
        where within <> (2 * n * %(rate)s + 10000 + %(rate)s) / (2 * (10000 + %(rate)s))
          or on_top <> (2 * n * %(rate)s + 10000) / 20000 or within not between 0 and n
        """.replace("%(rate)s", str(rate)),
    )
    assert wrong == 0


def test_the_same_sum_sees_arithmetic_that_rounds_binary_fractions(world: World) -> None:
    """The negative control: the usual mistake, a float, is found among the first million totals."""
    wrong = one(
        world.owner,
        "select count(*) as v from generate_series(1::bigint, 1000000) n"
        " where round(n * 0.15::float8) <> (2 * n * 1500 + 10000) / 20000",
    )
    assert wrong > 0


@pytest.mark.parametrize(("currency", "digits"), [("JPY", 0), ("ILS", 2), ("KWD", 3)])
def test_major_units_are_exact_in_every_exponent(world: World, currency: str, digits: int) -> None:
    assert one(world.owner, "select private.currency_exponent(%s) as v", currency) == digits
    for cents in (0, 1, 9, 10, 99, 100, 999, 1000, 2**31 - 1, -(2**31), 2**53 + 1):
        shown = major(cents, digits)
        assert int(shown.replace(".", "")) == cents
        assert len(shown.partition(".")[2]) == digits


@pytest.mark.parametrize(
    ("quantity", "amount", "fits"), [(1, 2**31 - 1, True), (2, 2**30, False), (10_000, 2**31 - 1, False)]
)
def test_the_edge_of_what_an_invoice_holds(world: World, quantity: int, amount: int, fits: bool) -> None:
    """Products are in bigint, so that what is too large is refused by name and never wraps around."""
    if fits:
        world.finalize(world.draft(addon(amount, quantity=quantity)))
        return
    with pytest.raises(psycopg.Error) as refused:
        world.draft(addon(amount, quantity=quantity))
    assert code_of(refused) == "amount_out_of_range"


KINDS = ("invoice", "tax_invoice", "receipt", "tax_invoice_receipt", "credit_note")


def give_numbers(world: World, url: str, take: str, practices: list[object], times: int) -> tuple[int, int]:
    """Eight clients taking numbers of every kind in two years, a tenth rolled back: gaps and doubles that are left."""
    world.owner.execute("drop table if exists given")
    world.owner.execute("create table given (practice uuid, kind text, year integer, number bigint)")

    def work(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - the same dice in every run
        with psycopg.connect(url) as conn:
            for turn in range(times):
                key = (dice.choice(practices), dice.choice(KINDS), 2031 + turn * 2 // times)
                row = conn.execute(take, key).fetchone()
                assert row is not None
                conn.execute("insert into given values (%s, %s, %s, %s)", (*key, row[0]))
                if dice.random() < 0.1:
                    conn.rollback()
                else:
                    conn.commit()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    row = world.row(
        "select sum(last - kept)::bigint as gaps, sum(rows - kept)::bigint as doubles from (select max(number) as last,"
        " count(distinct number) as kept, count(*) as rows from given group by practice, kind, year) s"
    )
    return row["gaps"], row["doubles"]


@pytest.fixture
def issuers(world: World) -> list[object]:
    """Fifty practices."""
    rows = world.owner.execute(
        "insert into public.practices (name) select 'Issuer ' || n from generate_series(1, 50) n returning id"
    ).fetchall()
    return [row["id"] for row in rows]


def test_fifty_issuers_of_five_kinds_get_numbers_without_gaps_or_doubles(
    world: World, database_url: str, issuers: list[object]
) -> None:
    assert give_numbers(world, database_url, "select private.take_number(%s, %s, %s)", issuers, 250) == (0, 0)


def test_the_same_campaign_sees_the_gaps_of_a_sequence(world: World, database_url: str, issuers: list[object]) -> None:
    """The negative control: what a rollback does not give back is missing."""
    world.owner.execute("create sequence if not exists numbers_with_gaps")
    take = "select nextval('numbers_with_gaps'), %s::uuid, %s::text, %s::integer"
    gaps, _ = give_numbers(world, database_url, take, issuers[:1], 100)
    assert gaps > 0
