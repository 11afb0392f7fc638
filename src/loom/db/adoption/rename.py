"""Moves a table of somebody else's out of the way, with everything that carries its name."""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import Connection, sql

from loom.core.errors import OperatorError
from loom.db.adoption.shape import base_tables

_POINTERS: LiteralString = """
  select c.conrelid::regclass::text, c.conname::text, a.attname::text
  from pg_constraint as c
  join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
  where c.contype = 'f' and c.confrelid = to_regclass(%(table)s) and c.conrelid::regclass::text = any (%(base)s)
"""
_NAMES: LiteralString = """
  select 'constraint', c.conname::text from pg_constraint as c
  where c.conrelid = to_regclass(%(table)s) and c.contype <> 'n' and c.conparentid = 0
  union all
  select 'index', i.relname::text
  from pg_index as x join pg_class as i on i.oid = x.indexrelid
  where x.indrelid = to_regclass(%(table)s)
    and not exists (select from pg_constraint as c where c.conindid = x.indexrelid)
"""


def rename_table(conn: Connection[Any], old: str, new: str) -> None:
    """Renames a table of schema public with its constraints and indexes. Base tables no longer point to it."""
    _untie(conn, old)
    names = conn.execute(_NAMES, {"table": f"public.{old}"}).fetchall()
    conn.execute(sql.SQL("alter table public.{} rename to {}").format(sql.Identifier(old), sql.Identifier(new)))
    for kind, name in names:
        moved = sql.Identifier(f"{name.removeprefix(old)}_of_{new}"[:63].lstrip("_"))
        if kind == "constraint":
            conn.execute(
                sql.SQL("alter table public.{} rename constraint {} to {}").format(
                    sql.Identifier(new), sql.Identifier(name), moved
                )
            )
        else:
            conn.execute(sql.SQL("alter index public.{} rename to {}").format(sql.Identifier(name), moved))


def drop_table(conn: Connection[Any], table: str) -> None:
    """Drops a table that has no row, if it is there."""
    found = conn.execute("select to_regclass(%s) is not null", [f"public.{table}"]).fetchone()
    if not found or not found[0]:
        return
    rows = conn.execute(sql.SQL("select from public.{} limit 1").format(sql.Identifier(table))).rowcount
    if rows:
        raise OperatorError(f"Nothing was changed: table {table} is no longer empty.")
    _untie(conn, table)
    conn.execute(sql.SQL("drop table public.{} cascade").format(sql.Identifier(table)))


def _untie(conn: Connection[Any], table: str) -> None:
    base = [*base_tables(), *(f"public.{name}" for name in base_tables())]
    for pointing, constraint, column in conn.execute(_POINTERS, {"table": f"public.{table}", "base": base}).fetchall():
        name = sql.SQL(".").join(sql.Identifier(part) for part in pointing.split("."))
        used = conn.execute(
            sql.SQL("select count(*) from {} where {} is not null").format(name, sql.Identifier(column))
        ).fetchone()
        if used and used[0]:
            raise OperatorError(
                f"Nothing was changed: {used[0]} rows of {pointing} point to {table} by {column}. "
                "Say first what they mean: move what they say elsewhere, and set the column to null."
            )
        conn.execute(sql.SQL("alter table {} drop constraint {}").format(name, sql.Identifier(constraint)))
