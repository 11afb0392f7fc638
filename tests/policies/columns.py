"""The cells of columns: which columns of a table each API role may read, insert and update.

`columns.csv` has one line per table and role; `*` is every column, `-` none, and `delete` says yes or no.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from tests.policies.cells import ROLES

PRIVILEGES = ("select", "insert", "update")

QUERY = """
select r, p.privilege, array_agg(a.attname::text order by a.attnum)
  filter (where has_column_privilege(r, a.attrelid, a.attnum, p.privilege)), count(*)
from pg_catalog.pg_attribute a, unnest(%s::text[]) r, unnest(%s::text[]) p (privilege)
where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
group by r, p.privilege
"""


def column_cells(conn: psycopg.Connection[Any], table: str) -> dict[str, dict[str, str]]:
    """By role, the columns of `table` that it may select, insert and update, and whether it may delete rows."""
    cells: dict[str, dict[str, str]] = {role: {} for role in ROLES}
    for role, privilege, columns, total in conn.execute(QUERY, (list(ROLES), list(PRIVILEGES), table)).fetchall():
        cells[role][privilege] = column_names(columns or [], total)
    for role in ROLES:
        row = conn.execute("select has_table_privilege(%s, %s, 'delete')", (role, table)).fetchone()
        cells[role]["delete"] = "yes" if row and row[0] else "-"
    return cells


def column_names(columns: Sequence[str], total: int) -> str:
    return "*" if len(columns) == total else " ".join(columns) or "-"


def load_columns() -> dict[tuple[str, str], dict[str, str]]:
    """`columns.csv` by (table, role)."""
    with Path(__file__).with_name("columns.csv").open(encoding="utf-8", newline="") as lines:
        return {
            (row["table"], row["role"]): {privilege: row[privilege] for privilege in (*PRIVILEGES, "delete")}
            for row in csv.DictReader(lines)
        }
