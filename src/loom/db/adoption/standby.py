"""Indexes, constraints and NOT NULLs that old tables will need, made while everybody goes on writing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, LiteralString, cast

from psycopg import Connection, sql

from loom.db.adoption.shape import (
    added_constraints,
    base_tables,
    beside_tables,
    expected_not_null,
    missing_key_indexes,
)
from loom.db.adoption.short import run_short
from loom.db.catalogue import expected_facts, read_facts

Report = Callable[[str], None]


def build_indexes(
    conn: Connection[Any],
    report: Report,
    *,
    only: str | None = None,
    column: str | None = None,
    name: str | None = None,
) -> None:
    """Builds the expected indexes of base tables that are missing or invalid, concurrently.

    `only` names one; with `column` it is built over that one instead of status, under another `name`.
    """
    base = {f"public.{table}" for table in base_tables()}
    there = read_facts(conn)
    for (kind, full), definition in expected_facts().items():
        table, _, index = full.rpartition(".")
        if kind != "index" or table not in base or (only is not None and index != only):
            continue
        if name is None and there.get((kind, full)) == definition:
            continue
        taken = (kind, full) in there and name is None
        built = name or (f"loom_{index}" if taken else index)
        text = definition.replace(f"INDEX {index} ON", f"INDEX CONCURRENTLY IF NOT EXISTS {built} ON")
        if column is not None:
            text = text.replace("(status)", f"({column})")
        _drop_invalid(conn, built)
        conn.execute(cast("LiteralString", text))
        if taken:
            run_short(conn, f"drop index public.{index}; alter index public.{built} rename to {index}")
        report(f"  index {index}")


def _drop_invalid(conn: Connection[Any], index: str) -> None:
    """What a build that was cut off leaves behind."""
    found = conn.execute(
        "select 1 from pg_index where indexrelid = to_regclass(%s) and not indisvalid", [f"public.{index}"]
    ).fetchone()
    if found:
        conn.execute(sql.SQL("drop index concurrently public.{}").format(sql.Identifier(index)))


def build_status_indexes(conn: Connection[Any], report: Report) -> None:
    """Builds the older application's own indexes over payments.status anew over the column that takes its place.

    The swap drops the old ones and gives these their names. Those with an expression or a condition are a question
    of the plan, in either way.
    """
    for number, name, definition in conn.execute(
        "select i.indexrelid::bigint, c.relname::text, pg_get_indexdef(i.indexrelid) from pg_index as i"
        " join pg_class as c on c.oid = i.indexrelid"
        " join pg_attribute as a on a.attrelid = i.indrelid and a.attname = 'status'"
        " where i.indrelid = 'public.payments'::regclass and a.attnum = any (i.indkey::smallint[])"
        " and i.indexprs is null and i.indpred is null and c.relname <> 'payments_status_idx'"
        " and not starts_with(c.relname, 'loom_') order by 2"
    ).fetchall():
        built = f"loom_status_of_{number}"
        head, using, columns = definition.partition(" USING ")
        unique = "UNIQUE " if head.startswith("CREATE UNIQUE") else ""
        _drop_invalid(conn, built)
        conn.execute(
            sql.SQL("create {}index concurrently if not exists {} on public.payments").format(
                sql.SQL(unique), sql.Identifier(built)
            )
            + sql.SQL(cast("LiteralString", using + re.sub(r"\bstatus\b", "loom_status", columns)))
        )
        report(f"  index {name}")


def build_key_indexes(conn: Connection[Any], report: Report) -> None:
    """Indexes of foreign keys of the tables beside, which the migration would build while everybody waits."""
    for _table, table, column in conn.execute(
        cast("LiteralString", missing_key_indexes()), {"tables": beside_tables()}
    ).fetchall():
        name = f"{table}_{column}_fk"
        _drop_invalid(conn, name)
        conn.execute(
            sql.SQL("create index concurrently if not exists {} on public.{} ({})").format(
                sql.Identifier(name), sql.Identifier(table), sql.Identifier(column)
            )
        )
        report(f"  index {name}")


def build_constraints(conn: Connection[Any], report: Report) -> None:
    """Adds checks, and foreign keys between tables that are there, without looking at old rows; then looks at them.

    One that an earlier run added and was stopped from validating is validated.
    """
    there = read_facts(conn)
    for (table, name), definition in added_constraints().items():
        if table not in base_tables():
            continue
        target = re.search(r"references ([\w.]+)", definition)
        if target and ("relation", target[1]) not in there:
            continue  # the migration makes that table first
        stays_unproved = definition.endswith(" not valid")
        found = there.get(("constraint", f"public.{table}.{name}"))
        if found is not None and (stays_unproved or not found.endswith(" NOT VALID")):
            continue
        if found is None:
            text = definition if stays_unproved else f"{definition} not valid"
            run_short(conn, f"alter table public.{table} add constraint {name} {text}")
        if not stays_unproved:
            _validate(conn, table, name)
        report(f"  constraint {name}")


def _validate(conn: Connection[Any], table: str, name: str) -> None:
    conn.execute(
        sql.SQL("alter table public.{} validate constraint {}").format(sql.Identifier(table), sql.Identifier(name))
    )


def set_not_null(conn: Connection[Any], report: Report, *, only: tuple[str, str] | None = None) -> None:
    """NOT NULL where it is expected, proved beforehand so that it needs no scan under its lock."""
    proof: LiteralString = "loom_not_null"
    for table, columns in expected_not_null(conn).items():
        for column in columns:
            if only is not None and (table, column) != only:
                continue
            run_short(
                conn,
                f"alter table public.{table} drop constraint if exists {proof}_{column};"
                f"alter table public.{table} add constraint {proof}_{column} check ({column} is not null) not valid",
            )
            _validate(conn, table, f"{proof}_{column}")
            run_short(
                conn,
                f"alter table public.{table} alter column {column} set not null;"
                f"alter table public.{table} drop constraint {proof}_{column}",
            )
            report(f"  {table}.{column} not null")
