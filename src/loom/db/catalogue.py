"""What a database is, as facts of its catalogue, and what Loom expects it to be (`supabase/catalogue.csv`).

A fact is a kind (relation, column, constraint, index, trigger, policy, function, grant …), an object's name and its
definition. The same facts come out on PostgreSQL 15 to 18, so one file serves all.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import cast

from psycopg import Connection

from loom.db.embedded import EmbeddedServer
from loom.db.migrate import connect, migrate
from loom.db.schema_files import supabase_dir
from loom.db.sql import parse_queries

Facts = Mapping[tuple[str, str], str]
"""(kind, object) to definition."""

_READ = parse_queries(files(__package__ or "loom.db").joinpath("catalogue.sql").read_text("utf-8"), "catalogue.sql")


def read_facts(conn: Connection[tuple[object, ...]]) -> Facts:
    """The facts of schemas public and private, and of the triggers on auth.users."""
    with conn.transaction():
        # Names come out qualified only when nothing is on the path.
        conn.execute("select set_config('search_path', '', true)")
        rows = conn.execute(_READ["read_facts"]).fetchall()
    return {(cast("str", kind), cast("str", name)): cast("str", definition) for kind, name, definition in rows}


def _path(root: Path | None) -> Path:
    return (root or supabase_dir()) / "catalogue.csv"


@cache
def expected_facts(root: Path | None = None) -> Facts:
    """What a fresh database of this version says."""
    with _path(root).open(encoding="utf-8", newline="") as file:
        return {(kind, name): definition for kind, name, definition in csv.reader(file)}


def write_catalogue(root: Path | None = None) -> Path:
    """Migrates a throwaway server and writes down what came out."""
    path = _path(root)
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer.start(Path(folder)) as server:
        migrate(server.url("postgres"), root=root)
        with connect(server.url("postgres")) as conn:
            facts = read_facts(conn)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows((*key, facts[key]) for key in sorted(facts))
    expected_facts.cache_clear()
    return path
