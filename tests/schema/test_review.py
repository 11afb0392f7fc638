"""The schema holds the review whole: every column, type, default, check, unique, foreign key and enum label of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from loom.db.schema_files import supabase_dir
from tests.support.cluster import Cluster

REVIEW = Path(__file__).with_name("review.sql")

COLUMNS: LiteralString = """
  select c.relname as table, a.attname as column,
    format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as required,
    pg_get_expr(d.adbin, d.adrelid) as default
  from pg_attribute as a
  join pg_class as c on c.oid = a.attrelid and c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
  left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attnum > 0 and not a.attisdropped
"""

CONSTRAINTS: LiteralString = """
  select k.conrelid::regclass::text as table, k.contype as kind, pg_get_constraintdef(k.oid) as definition
  from pg_constraint as k
  where k.connamespace = 'public'::regnamespace and k.contype in ('c', 'u', 'f', 'p')
"""

ENUMS: LiteralString = """
  select t.typname as name, array_agg(e.enumlabel::text order by e.enumsortorder) as labels
  from pg_type as t
  join pg_enum as e on e.enumtypid = t.oid
  where t.typnamespace = 'public'::regnamespace
  group by t.typname
"""


@pytest.fixture(scope="module")
def review(cluster: Cluster) -> Iterator[psycopg.Connection[DictRow]]:
    """The base tables with the review's own statements on top."""
    name = cluster.create()
    cluster.platform(name)
    base = supabase_dir() / "migrations" / "20261101000000_create_base_tables.sql"
    with psycopg.connect(cluster.url(name), autocommit=True, row_factory=dict_row) as conn:
        for file in (base, REVIEW):
            conn.execute(cast("LiteralString", file.read_text("utf-8")))
        conn.execute("set search_path = ''")
        yield conn
    cluster.drop(name)


@pytest.fixture
def loom(owner: psycopg.Connection[DictRow]) -> psycopg.Connection[DictRow]:
    """Loom's own database; names are printed with their schema in both, so that definitions compare."""
    owner.execute("set search_path = ''")
    return owner


def columns(conn: psycopg.Connection[DictRow]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(r["table"], r["column"]): r for r in conn.execute(COLUMNS).fetchall()}


def test_every_column_of_the_review_is_there_with_its_type_and_default(
    review: psycopg.Connection[DictRow], loom: psycopg.Connection[DictRow]
) -> None:
    wanted, there = columns(review), columns(loom)
    assert len({table for table, _ in wanted}) == 26
    missing = sorted(wanted.keys() - there.keys())
    assert missing == []
    for key, column in wanted.items():
        assert there[key]["type"] == column["type"], key
        assert there[key]["default"] == column["default"], key


def test_what_the_review_requires_stays_required(
    review: psycopg.Connection[DictRow], loom: psycopg.Connection[DictRow]
) -> None:
    there = columns(loom)
    # sessions.client_id alone may be empty: a group session has no client of its own.
    loosened = {key for key, column in columns(review).items() if column["required"] and not there[key]["required"]}
    assert loosened == {("sessions", "client_id")}


def test_every_check_unique_and_foreign_key_of_the_review_is_there(
    review: psycopg.Connection[DictRow], loom: psycopg.Connection[DictRow]
) -> None:
    wanted = {(r["table"], r["definition"]) for r in review.execute(CONSTRAINTS).fetchall()}
    there = {(r["table"], r["definition"]) for r in loom.execute(CONSTRAINTS).fetchall()}
    assert sorted(wanted - there) == []


def test_enum_labels_are_neither_added_to_nor_renamed(
    review: psycopg.Connection[DictRow], loom: psycopg.Connection[DictRow]
) -> None:
    wanted = {r["name"]: r["labels"] for r in review.execute(ENUMS).fetchall()}
    assert len(wanted) == 20
    assert {r["name"]: r["labels"] for r in loom.execute(ENUMS).fetchall()} == wanted
