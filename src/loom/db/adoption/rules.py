"""Rules that the older application's tables always had, and that somebody has dropped from this database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, LiteralString, cast

from psycopg import Connection

from loom.db.adoption.reader import SQL, Reader
from loom.db.adoption.shape import added_constraints, base_columns, base_tables
from loom.db.catalogue import expected_facts, read_facts

_KEY = re.compile(r"FOREIGN KEY \((\w+)\) REFERENCES ([\w.]+)\((\w+)\)")
_UNIQUE = re.compile(r"(?:UNIQUE|PRIMARY KEY) \(([\w, ]+)\)")
# The migration fills these itself before it asks for them.
_FILLED = frozenset({"created_at", "updated_at", "metadata"})


@dataclass(frozen=True, slots=True)
class Rule:
    """`breaks` finds the rows against it, of the table as r; `statement` brings it back."""

    table: str
    what: str
    breaks: str
    statement: str


@cache
def _constraints() -> list[tuple[str, str, str]]:
    """(table, name, definition) of those that speak of the older application's columns alone."""
    found: list[tuple[str, str, str]] = []
    for (kind, full), definition in expected_facts().items():
        _, table, name = full.split(".", 2) if kind == "constraint" else ("", "", "")
        if table not in base_tables() or (table, name) in added_constraints() or definition.startswith("TRIGGER"):
            continue
        words = re.findall(r"\w+", definition.partition(" REFERENCES ")[0])
        columns = {word for word in words if ("column", f"public.{table}.{word}") in expected_facts()}
        if all((table, column) in base_columns() and column not in _FILLED for column in columns):
            found.append((table, name, definition))
    return found


def _breaks(table: str, definition: str) -> str:
    if key := _KEY.match(definition):
        column, target, other = key.groups()
        return f"r.{column} is not null and not exists (select from {target} as t where t.{other} = r.{column})"
    if unique := _UNIQUE.match(definition):
        return SQL["broken_unique"].replace("@table", table).replace("@columns", unique[1])
    return f"not {definition.removeprefix('CHECK ')}"


def missing_rules(conn: Connection[Any]) -> list[Rule]:
    """What a database of the older application has, and this one has not."""
    there = read_facts(conn)
    names: dict[tuple[str, str], str] = {}
    for (kind, full), definition in there.items():
        if kind == "constraint":
            _, table, name = full.split(".", 2)
            names[table, definition] = name
    found: list[Rule] = []
    for table, name, definition in _constraints():
        if ("constraint", f"public.{table}.{name}") in there:
            continue
        other = names.get((table, definition))
        change = f"rename constraint {other} to {name}" if other else f"add constraint {name} {definition}"
        what = f"the name {name} for {definition}" if other else definition
        found.append(Rule(table, what, "false" if other else _breaks(table, definition), change))
    for table, column in base_columns():
        key = ("column", f"public.{table}.{column}")
        wanted = " not null" in expected_facts().get(key, "") and column not in _FILLED
        if wanted and (table, column) != ("payments", "status") and " not null" not in there.get(key, " not null"):
            found.append(
                Rule(table, f"NOT NULL of {column}", f"r.{column} is null", f"alter column {column} set not null")
            )
    return found


def rows_against(reader: Reader, rule: Rule) -> tuple[int, list[str]]:
    """How many rows break it, and the first twenty ids."""
    query = SQL["broken_rows"].replace("@table", rule.table).replace("@breaks", rule.breaks.replace("%", "%%"))
    row = reader.run(cast("LiteralString", query))[0]
    return row["rows"], row["ids"]
