"""Every way to weaken the database's guards that the runner tries, read from the catalogue."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from tests.policies.cells import API_SCHEMAS, ROLES

Kind = Literal["policy", "grant", "execute", "guard"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """`statement` makes it; `subject` is the table, function or guard whose tests must notice."""

    kind: Kind
    subject: str
    name: str
    statement: str


POLICIES = """
select format('%%I.%%I', n.nspname, c.relname), p.polname, p.polqual is not null, p.polwithcheck is not null, p.polcmd
from pg_catalog.pg_policy p
join pg_catalog.pg_class c on c.oid = p.polrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = any (%s)
order by 1, 2
"""


def policy_mutants(conn: psycopg.Connection[Any]) -> Iterator[Mutant]:
    """Each policy dropped, and each of its two conditions made true; RLS off for each table."""
    for table, policy, using, check, command in conn.execute(POLICIES, (list(API_SCHEMAS),)).fetchall():
        yield Mutant("policy", table, f"{table}: drop {policy}", f"drop policy {policy} on {table}")
        if using:
            # Without a check of its own, the condition is the check of what an update writes too.
            yield Mutant(
                "policy", table, f"{table}: {policy} using (true)", f"alter policy {policy} on {table} using (true)"
            )
        if check or (using and command in {"w", "*"}):
            yield Mutant(
                "policy",
                table,
                f"{table}: {policy} with check (true)",
                f"alter policy {policy} on {table} with check (true)",
            )
    query = """
        select format('%%I.%%I', n.nspname, c.relname)
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = any (%s) and c.relrowsecurity order by 1
    """
    for (table,) in conn.execute(query, (list(API_SCHEMAS),)).fetchall():
        yield Mutant("policy", table, f"{table}: row security off", f"alter table {table} disable row level security")


GRANTS = """
select format('%%I.%%I', n.nspname, c.relname), r, v,
  has_table_privilege(r, c.oid, v)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace,
  unnest(%s::text[]) r, unnest(array['select', 'insert', 'update', 'delete']) v
where n.nspname = any (%s) and c.relkind in ('r', 'p', 'v')
order by 1, 2, 3
"""


def grant_mutants(conn: psycopg.Connection[Any]) -> Iterator[Mutant]:
    """Each whole-table privilege given to each API role that lacks it: all columns, in other words."""
    for table, role, verb, granted in conn.execute(GRANTS, (list(ROLES), list(API_SCHEMAS))).fetchall():
        if not granted:
            yield Mutant("grant", table, f"{table}: grant {verb} to {role}", f"grant {verb} on {table} to {role}")


EXECUTES = """
select p.oid::regprocedure::text, r
from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace, unnest(%s::text[]) r
where n.nspname = any (%s) and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
  and not has_function_privilege(r, p.oid, 'execute')
  and not exists (select from pg_catalog.pg_depend d where d.objid = p.oid and d.deptype = 'e')
order by 1, 2
"""


def execute_mutants(conn: psycopg.Connection[Any]) -> Iterator[Mutant]:
    """Each function made executable by each API role that may not run it."""
    for signature, role in conn.execute(EXECUTES, (list(ROLES), list(API_SCHEMAS))).fetchall():
        yield Mutant(
            "execute",
            signature,
            f"{signature}: grant execute to {role}",
            f"grant execute on function {signature} to {role}",
        )


TRIGGERS = """
select format('%%I.%%I', n.nspname, c.relname), t.tgname
from pg_catalog.pg_trigger t
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = any (%s) and not t.tgisinternal
order by 1, 2
"""

CONSTRAINTS = """
select format('%%I.%%I', n.nspname, c.relname), k.conname, k.contype
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = any (%s) and k.contype in ('c', 'u', 'x')
order by 1, 2
"""

UNIQUE_INDEXES = """
select format('%%I.%%I', n.nspname, c.relname), format('%%I.%%I', n.nspname, i.relname)
from pg_catalog.pg_index x
join pg_catalog.pg_class c on c.oid = x.indrelid
join pg_catalog.pg_class i on i.oid = x.indexrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = any (%s) and x.indisunique and not x.indisprimary
  and not exists (
    select from pg_catalog.pg_constraint k where k.conindid = x.indexrelid and k.contype in ('u', 'x', 'p')
  )
order by 1, 2
"""


def guard_mutants(conn: psycopg.Connection[Any]) -> Iterator[Mutant]:
    """Each trigger off; each check, unique and exclusion constraint and each unique index gone."""
    schemas = (list(API_SCHEMAS),)
    for table, trigger in conn.execute(TRIGGERS, schemas).fetchall():
        name = f"{table}.{trigger}"
        yield Mutant("guard", name, f"{name}: off", f"alter table {table} disable trigger {trigger}")
    for table, constraint, _kind in conn.execute(CONSTRAINTS, schemas).fetchall():
        name = f"{table}.{constraint}"
        yield Mutant("guard", name, f"{name}: gone", f"alter table {table} drop constraint {constraint} cascade")
    for table, index in conn.execute(UNIQUE_INDEXES, schemas).fetchall():
        name = f"{table}.{index.partition('.')[2]}"
        yield Mutant("guard", name, f"{name}: gone", f"drop index {index}")
