"""Whether a database is as Loom expects: its catalogue, and what must be true of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any, LiteralString

from psycopg import Connection, sql

from loom.db.catalogue import Facts, expected_facts, read_facts
from loom.db.queue_schema import has_queue
from loom.db.sql import parse_queries

INVARIANTS = parse_queries(
    files(__package__ or "loom.db").joinpath("invariants.sql").read_text("utf-8"), "invariants.sql"
)

# What an adoption leaves on tables that it takes over, and makes for policies of tables that are not Loom's.
_LEFT = frozenset(
    {
        ("trigger", "public.users.check_mfa_enforcement_trigger"),
        ("function", "private.my_file_ids()"),
        ("function", "private.my_shared_file_ids()"),
    }
)
# An extra one of these opens or changes what Loom guards; an extra column or index does not.
_GUARDS = frozenset({"policy", "trigger", "grant", "constraint"})
# Foreign keys of the older application to tables of its own say nothing about Loom.
_HARMLESS = "FOREIGN KEY"

_FOREIGN_KEYS: LiteralString = """
  select c.conrelid::regclass::text, c.conname::text, c.confrelid::regclass::text,
    array(select a.attname::text from unnest(c.conkey) with ordinality as k (n, o)
      join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.n order by k.o),
    array(select a.attname::text from unnest(c.confkey) with ordinality as k (n, o)
      join pg_attribute as a on a.attrelid = c.confrelid and a.attnum = k.n order by k.o)
  from pg_constraint as c
  where c.contype = 'f' and c.connamespace in ('public'::regnamespace, 'private'::regnamespace)
  order by 1, 2
"""


_ROLES: LiteralString = """
  select r.rolname::text, 'bypasses row-level security'
  from pg_roles as r
  where r.rolname in ('anon', 'authenticated') and (r.rolbypassrls or r.rolsuper)
  union all
  select r.rolname::text, format('is a member of %I', m.rolname)
  from pg_roles as r
  join pg_roles as m on m.oid <> r.oid and pg_has_role(r.oid, m.oid, 'member')
  where r.rolname in ('anon', 'authenticated') and not r.rolsuper
    and (
      m.rolbypassrls or m.rolsuper or m.rolname in ('service_role', 'pg_read_all_data', 'pg_write_all_data')
      or exists (select from pg_tables as t where t.schemaname in ('public', 'private') and t.tableowner = m.rolname))
  order by 1, 2
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """`area` is catalogue or data; `what` is the kind of fact or the invariant, `where` the object or the row's id."""

    area: str
    what: str
    where: str
    found: str
    expected: str = ""


def check(conn: Connection[Any]) -> list[Finding]:
    """Everything that is not as it should be, in one read-only snapshot. Empty is good."""
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read, read only")
        return look(conn)


def look(conn: Connection[Any]) -> list[Finding]:
    """The same in the caller's transaction."""
    drift = [*compare(expected_facts(), read_facts(conn)), *_queue(conn), *_roles(conn)]
    # Rows of tables that are not as expected cannot be asked.
    return drift or [*_invariants(conn), *_orphans(conn)]


def _queue(conn: Connection[Any]) -> list[Finding]:
    if has_queue(conn):
        return []
    return [Finding("catalogue", "schema", "jobs", "missing", "the job queue: loom db migrate brings it")]


def _roles(conn: Connection[Any]) -> list[Finding]:
    """What people reach the database as must be held to the policies."""
    return [
        Finding("catalogue", "role", role, found, "held to the policies")
        for role, found in conn.execute(_ROLES).fetchall()
    ]


def compare(expected: Facts, there: Facts) -> list[Finding]:
    """Drift of the catalogue."""
    found = [
        Finding("catalogue", kind, name, there.get((kind, name), "missing"), definition)
        for (kind, name), definition in expected.items()
        if there.get((kind, name)) != definition
    ]
    ours = {name for kind, name in expected if kind in {"relation", "function"}}
    for (kind, name), definition in there.items():
        if (
            (kind, name) not in expected
            and (kind, name) not in _LEFT
            and not definition.startswith(_HARMLESS)
            and _opens(kind, name, ours)
        ):
            found.append(Finding("catalogue", kind, name, definition, "nothing of that name"))
    return sorted(found, key=lambda finding: (finding.what, finding.where))


def _opens(kind: str, name: str, ours: set[str]) -> bool:
    if kind == "function":
        return name.startswith("private.")
    if kind not in _GUARDS:
        return False
    subject = name.rpartition(" to ")[0] if kind == "grant" else name
    return subject in ours or subject.rpartition(".")[0] in ours or subject.startswith(("auth.users.", "schema "))


def _invariants(conn: Connection[Any]) -> list[Finding]:
    return [
        Finding("data", name, row[0], row[1])
        for name, query in INVARIANTS.items()
        for row in conn.execute(query, {}).fetchall()
    ]


def _orphans(conn: Connection[Any]) -> list[Finding]:
    """Rows whose foreign key points to nothing: a load that switched triggers off leaves such."""
    found: list[Finding] = []
    for table, name, target, columns, keys in conn.execute(_FOREIGN_KEYS).fetchall():
        pairs = list(zip(columns, keys, strict=True))
        query = sql.SQL(
            "select count(*) from {table} as t where {given} and not exists (select from {target} as o where {same})"
        ).format(
            table=_name(table),
            target=_name(target),
            given=sql.SQL(" and ").join(sql.SQL("t.{} is not null").format(sql.Identifier(c)) for c, _key in pairs),
            same=sql.SQL(" and ").join(
                sql.SQL("o.{} = t.{}").format(sql.Identifier(key), sql.Identifier(c)) for c, key in pairs
            ),
        )
        row = conn.execute(query).fetchone()
        if row and row[0]:
            found.append(Finding("data", "orphans", f"{table}.{name}", f"{row[0]} rows point to nothing in {target}"))
    return found


def _name(text: str) -> sql.Composed:
    return sql.SQL(".").join(sql.Identifier(part.strip('"')) for part in text.split("."))
