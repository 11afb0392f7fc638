"""Rows and money counted before and after: what an adoption may not lose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from loom.db.adoption.shape import base_tables

# By what a status means and what a currency is called afterwards, so that both counts can be laid side by side.
_MONEY: LiteralString = """
  select
    coalesce(%(statuses)s ->> p.status::text, p.status::text) as status,
    coalesce(%(currencies)s ->> p.currency, upper(btrim(p.currency))) as currency,
    count(*) as rows, sum(p.amount_cents)::bigint as cents
  from public.payments as p
  group by 1, 2
  order by 1, 2
"""


@dataclass(frozen=True, slots=True)
class Count:
    """`cents` is a sum in minor units, for money only."""

    what: str
    rows: int
    cents: int | None = None


def count(conn: Connection[Any], statuses: dict[str, str], currencies: dict[str, str]) -> list[Count]:
    """Rows of each base table, then payments by status and currency."""
    counts = [
        Count(table, _number(conn, sql.SQL("select count(*) from public.{}").format(sql.Identifier(table))))
        for table in base_tables()
    ]
    rows = conn.execute(_MONEY, {"statuses": Jsonb(statuses), "currencies": Jsonb(currencies)}).fetchall()
    return [*counts, *(Count(f"payments {status}, {currency}", rows, cents) for status, currency, rows, cents in rows)]


def losses(before: list[Count], after: list[Count], may_grow: frozenset[str]) -> list[str]:
    """What differs, in words. Tables of `may_grow` may have more rows afterwards."""
    then = {item.what: item for item in after}
    found: list[str] = []
    for item in before:
        now = then.pop(item.what, Count(item.what, 0, None if item.cents is None else 0))
        if (now.rows, now.cents) != (item.rows, item.cents) and not (
            item.what in may_grow and now.rows > item.rows and item.cents is None
        ):
            found.append(f"{item.what}: {item.rows} rows, {item.cents} cents before and {now.rows}, {now.cents} after")
    return found + [f"{item.what}: nothing before and {item.rows} rows after" for item in then.values()]


def _number(conn: Connection[Any], query: sql.Composed) -> int:
    row = conn.execute(query).fetchone()
    return int(row[0]) if row else 0
