"""What the migrations say about an older application's tables, read from the migrations themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from psycopg import Connection

from loom.db.catalogue import expected_facts
from loom.db.schema_files import schema_sql, supabase_dir

BASELINE = "20261101000000_create_base_tables.sql"
_COLUMN = re.compile(r"\('(\w+)', '(\w+)', '([^']+)'\)")
_ENUM = re.compile(r"\('(\w+)', array\[([^\]]+)\]\)")
_CURRENCY = re.compile(r"'([A-Z]{3})'")


@cache
def _read(folder: str, name: str) -> str:
    return (supabase_dir() / folder / name).read_text("utf-8")


def _between(text: str, start: str, end: str) -> str:
    return text.split(start, 1)[1].split(end, 1)[0]


@cache
def base_columns() -> Mapping[tuple[str, str], list[str]]:
    """(table, column) to the types that Loom can extend."""
    found = _COLUMN.findall(_between(_read("migrations", BASELINE), "select wanted.*", "as wanted (tbl, col, types)"))
    return {(table, column): types.split("|") for table, column, types in found}


def base_tables() -> list[str]:
    """Tables that Loom grew from, in an order in which they can be locked."""
    return list(dict.fromkeys(table for table, _column in base_columns()))


def base_enums() -> dict[str, list[str]]:
    """Enum to the labels that it must have."""
    text = _between(_read("migrations", BASELINE), "from (values", "as wanted (name, labels)")
    return {name: re.findall(r"'(\w+)'", labels) for name, labels in _ENUM.findall(text)}


def replaced_functions() -> list[str]:
    """Functions that API roles may no longer run afterwards."""
    text = _between(_read("drafts", "old_objects.sql"), "old_functions constant text[] := array[", "]")
    return re.findall(r"'(\w+)'", text)


def calling_functions() -> list[str]:
    """Functions that run as their caller afterwards."""
    return re.findall(r"'(\w+)'", _between(_read("drafts", "cures/50_callers.sql"), "p.proname in (", ")"))


def beside_tables() -> list[str]:
    """Tables of the older application beside those that Loom takes over, whose faults it cures."""
    return re.findall(r"'(\w+)'", _read("drafts", "beside_tables.sql"))


def missing_key_indexes() -> str:
    """Foreign keys of those tables that no index serves, asking for the tables as a parameter."""
    text = _read("drafts", "missing_key_indexes.sql").replace("%", "%%")
    return text.replace("any (beside_tables)", "any (%(tables)s::text[])")


def status_query() -> str:
    """The mapping of payment statuses, asking a parameter instead of the table of decisions."""
    return _read("drafts", "payment_statuses.sql").replace(
        "select d.key, d.value from private.adoption_decisions as d where d.kind = 'payments.status'",
        "select d.key, d.value from jsonb_each_text(%(decisions)s) as d",
    )


def time_zone_query() -> str:
    """What becomes of texts that are no names of zones; it takes no parameters."""
    return _read("drafts", "time_zones.sql").replace("%", "%%")


def currency_codes() -> list[str]:
    """What the database will take for a currency."""
    text = (supabase_dir() / "schemas" / "00_foundation" / "50_checks.sql").read_text("utf-8")
    return sorted(set(_CURRENCY.findall(_between(text, "private.currency_exponent", "$$;"))))


@cache
def added_constraints() -> dict[tuple[str, str], str]:
    """(table, constraint) to the definition, of those that schema files add to tables that are there already."""
    found: dict[tuple[str, str], str] = {}
    for table, rest in re.findall(r"ensure_constraints\(\s*'public\.(\w+)',(.*?)\);", schema_sql(), re.DOTALL):
        for name, definition in re.findall(r"^\s*'(\w+) ((?:[^']|'')+)'", rest, re.MULTILINE):
            found[table, name] = definition.replace("''", "'")
    return found


@cache
def loom_columns() -> dict[str, list[str]]:
    """Each table of schema public that Loom makes itself, with its columns."""
    base = set(base_tables())
    tables: dict[str, list[str]] = {}
    for kind, name in expected_facts():
        schema, _, rest = name.partition(".")
        if kind == "column" and schema == "public" and (table := rest.partition(".")[0]) not in base:
            tables.setdefault(table, []).append(rest.partition(".")[2])
    return tables


def expected_not_null(conn: Connection[Any]) -> dict[str, list[str]]:
    """Base table to those of its columns that are nullable now and will not be."""
    rows = conn.execute(
        "select c.relname::text, a.attname::text from pg_class as c"
        " join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and not a.attnotnull"
        " where c.relnamespace = 'public'::regnamespace and c.relname = any (%s) order by 1, 2",
        [base_tables()],
    ).fetchall()
    found: dict[str, list[str]] = {}
    for table, column in rows:
        if " not null" in expected_facts().get(("column", f"public.{table}.{column}"), ""):
            found.setdefault(table, []).append(column)
    return found
