"""What must hold for every table, policy and function, read from the catalogue: the next one is held to it too."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow

Owner = psycopg.Connection[DictRow]

REVIEWED: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("reviewed.toml").read_text("utf-8"))

TABLES: LiteralString = """
  select c.oid, c.oid::regclass::text as name, c.relrowsecurity as guarded, n.nspname as schema
  from pg_class as c
  join pg_namespace as n on n.oid = c.relnamespace
  where n.nspname in ('public', 'private') and c.relkind in ('r', 'p')
    and not exists (select from pg_depend as d where d.objid = c.oid and d.deptype = 'e')
  order by 2
"""

FUNCTIONS: LiteralString = """
  select
    p.oid, p.oid::regprocedure::text as signature, p.prosecdef as definer, p.proconfig as settings,
    p.prorettype = 'trigger'::regtype as is_trigger, obj_description(p.oid, 'pg_proc') as comment,
    p.proowner::regrole::text as owner
  from pg_proc as p
  join pg_namespace as n on n.oid = p.pronamespace
  where n.nspname in ('public', 'private')
    and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
  order by 2
"""

# Who may do what with a table, whole or by column; public is grantee 0.
TABLE_GRANTS: LiteralString = """
  select t.name, t.schema, g.grantee, g.privilege, g.column_name
  from (
    select c.oid, c.oid::regclass::text as name, n.nspname as schema, c.relowner
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm', 'S')
  ) as t
  cross join lateral (
    select coalesce(nullif(a.grantee, 0)::regrole::text, 'public') as grantee, a.privilege_type as privilege,
      null as column_name
    from pg_class as c, aclexplode(c.relacl) as a
    where c.oid = t.oid and a.grantee <> t.relowner
    union all
    select coalesce(nullif(a.grantee, 0)::regrole::text, 'public'), a.privilege_type, at.attname
    from pg_attribute as at, aclexplode(at.attacl) as a
    where at.attrelid = t.oid and a.grantee <> t.relowner
  ) as g
"""


def rows(owner: Owner, query: LiteralString) -> list[dict[str, Any]]:
    return owner.execute(query).fetchall()


def test_every_table_has_row_level_security(owner: Owner) -> None:
    tables = rows(owner, TABLES)
    assert len(tables) > 20
    assert [t["name"] for t in tables if not t["guarded"]] == []


def test_every_table_says_what_it_is_for(owner: Owner) -> None:
    silent = [
        t["name"]
        for t in rows(owner, TABLES)
        if not owner.execute("select obj_description(%s, 'pg_class') as comment", [t["oid"]]).fetchone()["comment"]
    ]  # type: ignore[index]
    assert silent == []


def test_every_policy_is_for_signed_in_users_only_and_says_what_it_gives(owner: Owner) -> None:
    policies = rows(
        owner,
        """
        select p.polrelid::regclass || '.' || p.polname as name,
          array(select unnest(p.polroles)::regrole::text) as roles,
          p.polpermissive as permissive, obj_description(p.oid, 'pg_policy') as comment,
          starts_with(p.polname, c.relname || '_') as named
        from pg_policy as p
        join pg_class as c on c.oid = p.polrelid
        where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
        """,
    )
    assert len(policies) > 20
    assert [p["name"] for p in policies if p["roles"] != ["authenticated"]] == []
    assert [p["name"] for p in policies if not p["comment"]] == []
    assert [p["name"] for p in policies if not p["permissive"] or not p["named"]] == []


def test_nobody_without_an_account_holds_a_right_on_a_table(owner: Owner) -> None:
    grants = rows(owner, TABLE_GRANTS)
    assert [g for g in grants if g["grantee"] in ("public", "anon")] == []


def test_signed_in_users_hold_exactly_the_rights_that_a_policy_uses(owner: Owner) -> None:
    granted = {
        (g["name"], g["privilege"].lower()) for g in rows(owner, TABLE_GRANTS) if g["grantee"] == "authenticated"
    }
    used: set[tuple[str, str]] = set()
    for policy in rows(owner, "select polrelid::regclass::text as name, polcmd::text as command from pg_policy"):
        commands = {"r": ["select"], "a": ["insert"], "w": ["update"], "d": ["delete"]}.get(
            policy["command"], ["select", "insert", "update", "delete"]
        )
        used.update((policy["name"], command) for command in commands)
    tables = {t["name"] for t in rows(owner, TABLES)}
    assert {g for g in granted if g[0] in tables} == {u for u in used if u[0] in tables}


def test_signed_in_users_touch_no_table_of_the_private_schema(owner: Owner) -> None:
    assert [g for g in rows(owner, TABLE_GRANTS) if g["schema"] == "private" and g["grantee"] == "authenticated"] == []


def test_the_service_role_is_granted_what_it_needs_by_name_and_no_more(owner: Owner) -> None:
    held: dict[str, set[str]] = {t["name"]: set() for t in rows(owner, TABLES)}
    for grant in rows(owner, TABLE_GRANTS):
        if grant["grantee"] == "service_role" and grant["name"] in held:
            held[grant["name"]].add(grant["privilege"])
    # What is private may be for definer functions alone.
    open_tables = {name: held[name] for name in held if not name.startswith("private.")}
    assert [name for name, privileges in open_tables.items() if "SELECT" not in privileges] == []
    assert {n: p for n, p in held.items() if not p <= {"SELECT", "INSERT", "UPDATE", "DELETE"}} == {}


def test_an_index_leads_with_every_foreign_key(owner: Owner) -> None:
    bare = rows(
        owner,
        """
        select f.conrelid::regclass || '.' || f.conname as name
        from pg_constraint as f
        where f.contype = 'f' and f.connamespace in ('public'::regnamespace, 'private'::regnamespace)
          and not exists (
            select from pg_index as i
            where i.indrelid = f.conrelid and i.indisvalid
              and (i.indkey::int2[])[0:cardinality(f.conkey) - 1] @> f.conkey
              -- A partial one serves as well when all it leaves out is rows that point at nothing.
              and (
                i.indpred is null
                or pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', (
                  select a.attname from pg_attribute as a where a.attrelid = f.conrelid and a.attnum = f.conkey[1]
                ))
              )
          )
        order by 1
        """,
    )
    assert [b["name"] for b in bare] == []


def test_a_trigger_keeps_updated_at_wherever_there_is_one(owner: Owner) -> None:
    kept_by_nobody = rows(
        owner,
        """
        select a.attrelid::regclass::text as name
        from pg_attribute as a
        join pg_class as c on c.oid = a.attrelid and c.relkind in ('r', 'p')
        where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and a.attname = 'updated_at'
          and not exists (
            select from pg_trigger as t
            where t.tgrelid = c.oid and t.tgname = c.relname || '_touch' and t.tgenabled = 'O'
              and t.tgfoid = 'private.touch_updated_at()'::regprocedure
          )
        """,
    )
    assert [k["name"] for k in kept_by_nobody] == []


def test_metadata_is_always_an_object_and_never_null(owner: Owner) -> None:
    loose = rows(
        owner,
        """
        select c.oid::regclass::text as name
        from pg_attribute as a
        join pg_class as c on c.oid = a.attrelid and c.relkind in ('r', 'p')
        where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and a.attname = 'metadata'
          and not (
            a.attnotnull
            and exists (
              select from pg_constraint as k
              where k.conrelid = c.oid and k.contype = 'c'
                and pg_get_constraintdef(k.oid) ~ 'jsonb_typeof\\(metadata\\) = ''object'''
            )
          )
        """,
    )
    assert [x["name"] for x in loose] == []


def test_every_function_has_a_fixed_search_path(owner: Owner) -> None:
    functions = rows(owner, FUNCTIONS)
    assert [f["signature"] for f in functions if 'search_path=""' not in (f["settings"] or [])] == []


def test_every_function_says_what_it_does(owner: Owner) -> None:
    assert [f["signature"] for f in rows(owner, FUNCTIONS) if not f["comment"]] == []


def test_security_definer_stands_only_where_it_was_reviewed(owner: Owner) -> None:
    definers = {f["signature"]: f for f in rows(owner, FUNCTIONS) if f["definer"]}
    reviewed = REVIEWED["security_definer"]
    assert sorted(definers.keys() - reviewed.keys()) == [], "not reviewed: add each with its reason to reviewed.toml"
    assert sorted(reviewed.keys() - definers.keys()) == [], "reviewed, but gone: remove from reviewed.toml"
    assert [s for s, f in definers.items() if not f["comment"].startswith("security definer: ")] == []
    assert [s for s, reason in reviewed.items() if len(reason) < 10] == []


def test_functions_are_executable_only_by_grant(owner: Owner) -> None:
    grants = rows(
        owner,
        """
        select p.oid::regprocedure::text as signature, p.prorettype = 'trigger'::regtype as is_trigger,
          coalesce(nullif(a.grantee, 0)::regrole::text, 'public') as grantee
        from pg_proc as p
        cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
        where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace) and a.grantee <> p.proowner
          and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
        """,
    )
    assert [g["signature"] for g in grants if g["grantee"] == "public"] == []
    assert [g["signature"] for g in grants if g["is_trigger"]] == []
    anon = {g["signature"] for g in grants if g["grantee"] == "anon"}
    assert anon == set(REVIEWED["anon_functions"])


def test_everything_belongs_to_the_owner_role_and_application_roles_own_nothing(owner: Owner) -> None:
    assert {f["owner"] for f in rows(owner, FUNCTIONS)} == {"loom_owner"}
    owned = rows(
        owner,
        """
        select c.oid::regclass::text as name
        from pg_class as c
        where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
          and c.relowner <> 'loom_owner'::regrole
        """,
    )
    assert owned == []
    roles = rows(
        owner,
        """
        select rolname as name, rolsuper as super, rolbypassrls as past from pg_roles
        where rolname in ('anon', 'authenticated', 'loom_api', 'loom_owner')
        """,
    )
    assert [r for r in roles if r["super"] or r["past"]] == []


def test_every_view_reads_as_its_reader(owner: Owner) -> None:
    views = rows(
        owner,
        """
        select c.oid::regclass::text as name
        from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('v', 'm')
          and not coalesce(c.reloptions @> array['security_invoker=true'], false)
          and not exists (select from pg_depend as d where d.objid = c.oid and d.deptype = 'e')
        """,
    )
    assert views == []
