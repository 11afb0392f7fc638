"""Runs the queries of `plan.sql` and `objects.sql`."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, LiteralString

from psycopg import Connection, sql
from psycopg.rows import DictRow, dict_row

from loom.db.sql import parse_queries

_HERE = files(__package__ or "loom.db.adoption")
SQL: dict[str, LiteralString] = {
    name: query
    for file in ("plan.sql", "objects.sql")
    for name, query in parse_queries(_HERE.joinpath(file).read_text("utf-8"), file).items()
}


class Reader:
    """Rows as dicts, on a connection that is in the plan's transaction."""

    def __init__(self, conn: Connection[Any]) -> None:
        self.conn = conn

    def ask(self, name: str, **params: Any) -> list[DictRow]:
        """A named query."""
        return self.run(SQL[name], **params)

    def run(self, query: LiteralString | sql.Composed, **params: Any) -> list[DictRow]:
        """A query written elsewhere."""
        with self.conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, params).fetchall()

    def has(self, table: str) -> bool:
        """Whether there is a table of that name in schema public."""
        return bool(self.run("select where to_regclass(format('public.%%I', %(name)s::text)) is not null", name=table))

    def is_empty(self, table: str) -> bool:
        """Whether a table of schema public has no row."""
        return not self.run(sql.SQL("select 1 from public.{} limit 1").format(sql.Identifier(table)))
