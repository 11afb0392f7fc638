"""Brings a database to this version of Loom, keeping the Supabase CLI's own books.

`loom db migrate` and `supabase db push` may be used in turn on the same database: both read and write
`supabase_migrations.schema_migrations`, apply one file per transaction and refuse what they do not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, cast

import psycopg
from psycopg import Connection, sql

from loom.core.errors import ExitCode, OperatorError
from loom.db.queue_schema import install_queue
from loom.db.schema_files import supabase_dir
from loom.db.statements import split_statements

PLATFORM = ("roles", "auth", "extensions")
_FILE = re.compile(r"^(\d+)_(.*)\.sql$")
_BOOKS: LiteralString = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
"""


class NewerDatabase(OperatorError):
    """A newer Loom has been here."""

    exit_code = ExitCode.NEWER

    def __init__(self, version: str) -> None:
        super().__init__(
            f"This database belongs to a newer Loom: it is at {version}, which this version does not know. "
            "Install the newer Loom, or restore a backup made by this one into another folder (loom db restore)."
        )


class Unreachable(OperatorError):
    """There is no connection to be had."""

    exit_code = ExitCode.UNREACHABLE


class NoRights(OperatorError):
    """The login may not do what was asked."""

    exit_code = ExitCode.NO_RIGHTS


@contextmanager
def saying_rights() -> Generator[None]:
    """A refusal of PostgreSQL's becomes NoRights."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as exc:
        raise NoRights(
            f"The login may not do this ({exc.diag.message_primary}): sign in as the owner of the tables of schemas"
            " public and private, or as a member of that role."
        ) from exc


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of supabase/migrations."""

    version: str
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Status:
    """Where a database stands.

    `foreign` are versions in the books that are not Loom's: of the application whose database Loom took over.
    `newer` is the version of a newer Loom, if the database belongs to one.
    """

    applied: list[Migration]
    pending: list[Migration]
    foreign: list[str]
    newer: str | None


def migrations(root: Path | None = None) -> list[Migration]:
    """Files in order of version."""
    paths = ((root or supabase_dir()) / "migrations").glob("*.sql")
    found = [Migration(match[1], match[2], path) for path in paths if (match := _FILE.match(path.name))]
    return sorted(found, key=lambda migration: int(migration.version))


def connect(conninfo: str) -> Connection[tuple[object, ...]]:
    """An autocommit connection. OperatorError when there is none to be had."""
    try:
        return psycopg.connect(conninfo, autocommit=True, application_name="loom db", connect_timeout=10)
    except psycopg.Error as exc:
        raise Unreachable(f"The database cannot be reached: {str(exc).strip()}") from exc


def status(conn: Connection[tuple[object, ...]], root: Path | None = None) -> Status:
    """Reads the books; an empty database has nothing applied."""
    versions: list[str] = []
    if _scalar(conn, "select to_regclass('supabase_migrations.schema_migrations')") is not None:
        rows = conn.execute("select version from supabase_migrations.schema_migrations").fetchall()
        versions = [cast("str", row[0]) for row in rows]
    known = migrations(root)
    ours = {migration.version for migration in known}
    return Status(
        applied=[migration for migration in known if migration.version in versions],
        pending=[migration for migration in known if migration.version not in versions],
        foreign=sorted(set(versions) - ours, key=int),
        newer=_newer(conn, known),
    )


def _newer(conn: Connection[tuple[object, ...]], known: list[Migration]) -> str | None:
    if _scalar(conn, "select to_regprocedure('private.schema_version()')") is None:
        return None
    found = str(_scalar(conn, "select private.schema_version()"))
    return found if int(found) > int(known[-1].version) else None


def migrate(
    conninfo: str, *, root: Path | None = None, report: Callable[[str], None] = lambda _text: None
) -> list[Migration]:
    """Applies what is missing and returns it. Each file is all or nothing. OperatorError says what to put right."""
    with connect(conninfo) as conn:
        lock_migrations(conn)
        become_migrator(conn, root)
        state = status(conn, root)
        _check_order(state)
        for migration in state.pending:
            report(f"{migration.version}_{migration.name}")
            conn.execute("reset all")  # what an earlier file set for its session, as the Supabase CLI does
            with conn.transaction():
                apply_migration(conn, migration)
        try:
            install_queue(conn)
        except psycopg.OperationalError as exc:
            reason = str(exc).strip().splitlines()[0]
            raise OperatorError(f"The job queue could not be installed ({reason}): run this again.") from exc
        return state.pending


def lock_migrations(conn: Connection[tuple[object, ...]]) -> None:
    """Waits until no other migration runs, and keeps others waiting until the connection ends."""
    _check_server(conn)
    conn.execute("select pg_advisory_lock(hashtext('loom.migrate'))")


def become_migrator(conn: Connection[tuple[object, ...]], root: Path | None = None) -> None:
    """Brings the platform where it is missing, takes the role that owns the tables, and opens the books."""
    hosted = _has_role(conn, "supabase_admin")
    if not hosted:
        _apply_platform(conn, root or supabase_dir())
    _become_owner(conn, hosted=hosted)
    conn.execute(_BOOKS)


def check_version(conn: Connection[tuple[object, ...]], root: Path | None = None) -> None:
    """For the application, which may not read the books: OperatorError unless the newest migration is this Loom's."""
    newest = migrations(root)[-1].version
    try:
        with conn.transaction():
            conn.execute("set local role service_role")
            found = _scalar(conn, "select private.schema_version()")
    except psycopg.Error as exc:
        raise OperatorError(
            f"This is no database of Loom's yet, or {conn.info.user} may not use it ({exc.diag.message_primary}). "
            "Run `loom db migrate` as its owner first."
        ) from exc
    if found is None or int(str(found)) < int(newest):
        raise OperatorError("The database is not up to date: run `loom db migrate` as its owner first.")
    if int(str(found)) > int(newest):
        raise NewerDatabase(str(found))


def _check_server(conn: Connection[tuple[object, ...]]) -> None:
    if conn.info.server_version < 150000:
        raise OperatorError(f"PostgreSQL {conn.info.server_version // 10000} is too old: Loom needs 15 or newer.")
    if conn.info.parameter_status("server_encoding") != "UTF8":
        raise OperatorError("The database is not in UTF8. Make one with: createdb --encoding=UTF8 --template=template0")


def _check_order(state: Status) -> None:
    if state.newer is not None:
        raise NewerDatabase(state.newer)
    newest = max((int(m.version) for m in state.applied), default=0)
    late = [m.version for m in state.pending if int(m.version) < newest]
    if late:
        raise OperatorError(
            f"Migrations would run out of order: {', '.join(late)} come before {newest}, applied already."
        )


def apply_migration(conn: Connection[tuple[object, ...]], migration: Migration, *, lock_timeout: str = "10s") -> None:
    """One file and its line in the books, in the caller's transaction.

    OperatorError says what the file refused; psycopg.OperationalError is a lock, a time-out or a connection.
    """
    text = migration.path.read_text("utf-8")
    role = _scalar(conn, "select current_user")
    try:
        conn.execute("select set_config('search_path', '\"$user\", public', true)")
        # Whoever waits longer than this for a lock holds up the practice: better to fail and be run again.
        conn.execute(
            "select set_config('lock_timeout', %(wait)s, true), set_config('loom.lock_timeout', %(wait)s, true),"
            " set_config('statement_timeout', '0', true)",
            {"wait": lock_timeout},
        )
        conn.execute(cast("LiteralString", text))
        conn.execute(
            "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
            [migration.version, migration.name, split_statements(text)],
        )
    except psycopg.OperationalError:
        raise
    except psycopg.Error as exc:
        hint = f"\n{exc.diag.message_hint}" if exc.diag.message_hint else ""
        place = f"\n{exc.diag.context}" if exc.diag.context and not exc.diag.message_hint else ""
        raise OperatorError(
            f"{migration.path.name} failed as {role}, nothing of it was applied: "
            f"{exc.diag.message_primary or str(exc).strip()}{hint}{place}"
        ) from exc


def platform_missing(conn: Connection[tuple[object, ...]]) -> list[str]:
    """What Supabase would have brought and this database lacks."""
    missing = [f"role {role}" for role in ("anon", "authenticated", "service_role") if not _has_role(conn, role)]
    if _scalar(conn, "select to_regprocedure('auth.uid()')") is None:
        missing.append("schema auth")
    elif _scalar(conn, "select to_regclass('auth.users')") is None:
        missing.append("table auth.users")
    return missing


def _apply_platform(conn: Connection[tuple[object, ...]], root: Path) -> None:
    missing = platform_missing(conn)
    if not missing:
        return
    try:
        with conn.transaction():
            for name in PLATFORM:
                conn.execute(cast("LiteralString", (root / "platform" / f"{name}.sql").read_text("utf-8")))
    except psycopg.errors.InsufficientPrivilege as exc:
        files = " ".join(f"-f {root / 'platform' / name}.sql" for name in PLATFORM)
        raise OperatorError(
            f"The database lacks {', '.join(missing)}, and {conn.info.user} may not make them. "
            f"Have a superuser run once:\n  psql -1 -d {conn.info.dbname} {files}"
        ) from exc


def _become_owner(conn: Connection[tuple[object, ...]], *, hosted: bool) -> None:
    """Tables belong to one role: the one that has them already, else loom_owner where Loom brought the platform."""
    owner = _scalar(conn, "select tableowner from pg_tables where schemaname = 'public' and tablename = 'users'")
    if owner is None and not hosted and _has_role(conn, "loom_owner"):
        owner = "loom_owner"
    if owner is None or owner == conn.info.user:
        return
    if not _scalar(conn, "select pg_has_role(%s, 'member')", [owner]):
        if owner == "loom_owner":
            return
        raise OperatorError(
            f"The tables belong to {owner}: run this as {owner} or as a member of it, not as {conn.info.user}."
        )
    if _scalar(conn, "select rolsuper from pg_roles where rolname = current_user"):
        database = sql.Identifier(conn.info.dbname)
        conn.execute(sql.SQL("grant all on database {} to {}").format(database, sql.Identifier(str(owner))))
        conn.execute(sql.SQL("grant all on schema public to {}").format(sql.Identifier(str(owner))))
    conn.execute(sql.SQL("set role {}").format(sql.Identifier(str(owner))))


def _has_role(conn: Connection[tuple[object, ...]], role: str) -> bool:
    return _scalar(conn, "select 1 from pg_roles where rolname = %s", [role]) is not None


def _scalar(
    conn: Connection[tuple[object, ...]], query: LiteralString, params: list[object] | None = None
) -> object | None:
    row = conn.execute(query, params).fetchone()
    return None if row is None else row[0]


def require_empty(conninfo: str) -> None:
    """OperatorError when the database has tables already."""
    with connect(conninfo) as conn:
        found = _scalar(
            conn,
            "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema')"
            " and n.nspname not like 'pg\\_%%'",
        )
    if found:
        raise OperatorError("The database is not empty. Restore into a new one: createdb --template=template0 NAME")


def apply_roles(conninfo: str, root: Path | None = None) -> None:
    """The roles that a dump's owners and grants name; they belong to the server, so no dump has them."""
    with connect(conninfo) as conn:
        if not _has_role(conn, "supabase_admin"):
            text = ((root or supabase_dir()) / "platform" / "roles.sql").read_text("utf-8")
            conn.execute(cast("LiteralString", text))
