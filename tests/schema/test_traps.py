"""docs/reference: all 41 traps are answered, only what the database has is named, and the picture is of today."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
from psycopg.rows import DictRow

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "traps.md"

# Words of PostgreSQL and of the story, not names of Loom's.
PLAIN = {"authenticated", "anon", "search_path", "security_invoker", "lock_timeout", "no_show", "updated_at", "_touch"}
GONE = {"sessions_future_or_current"}


def rows() -> list[list[str]]:
    lines = PAGE.read_text("utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\| \d", line)]


def test_every_trap_has_its_answer() -> None:
    assert [int(row[0]) for row in rows()] == list(range(1, 42))
    assert [row[0] for row in rows() if not row[2].startswith(("Fixed", "Left", "Partly left"))] == []


def test_the_answers_name_only_what_is_there(owner: psycopg.Connection[DictRow]) -> None:
    there = {
        row["name"]
        for row in owner.execute(
            """
            with ours as (select oid from pg_namespace where nspname in ('public', 'private'))
            select relname::text as name from pg_class where relnamespace in (select oid from ours)
            union select nspname || '.' || relname from pg_class join pg_namespace as n on n.oid = relnamespace
            union select c.relname || '.' || a.attname from pg_attribute as a join pg_class as c on c.oid = a.attrelid
              where c.relnamespace in (select oid from ours)
            union select conname from pg_constraint where connamespace in (select oid from ours)
            union select tgname from pg_trigger
            union select polname from pg_policy
            union select typname from pg_type where typnamespace in (select oid from ours)
            union select nspname::text from pg_namespace
            union select n.nspname || '.' || proname from pg_proc join pg_namespace as n on n.oid = pronamespace
              where n.oid in (select oid from ours)
            """
        ).fetchall()
    }
    named = {
        name
        for row in rows()
        for name in re.findall(r"`([^`]+)`", row[2])
        if re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)?", name)
    }
    assert len(named) > 60
    assert named - there - PLAIN - GONE == set()
    assert GONE & there == set()


def test_the_picture_of_the_schema_shows_every_table(owner: psycopg.Connection[DictRow]) -> None:
    picture = PAGE.with_name("schema.svg").read_text("utf-8")
    tables = owner.execute(
        "select relname::text as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    ).fetchall()
    missing = {t["name"] for t in tables if f">{t['name']}<" not in picture}
    assert missing == set()
