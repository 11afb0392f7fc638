"""The job queue's tables in schema `jobs`, installed and upgraded from procrastinate's own SQL."""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.resources import files
from typing import LiteralString, cast

import psycopg
from psycopg import Connection

from loom.core.errors import OperatorError

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def _parse(text: str) -> tuple[int, int, int]:
    match = _VERSION.search(text)
    if match is None:
        raise OperatorError(f"The comment of schema jobs names no version of procrastinate: {text!r}.")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def has_queue(conn: Connection[tuple[object, ...]]) -> bool:
    """Whether the job queue is there, of whatever version."""
    return _installed(conn)[0]


def _installed(conn: Connection[tuple[object, ...]]) -> tuple[bool, str]:
    # Not by to_regclass, which fails where the schema is closed to whoever asks.
    row = conn.execute(
        "select exists (select from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
        " where n.nspname = 'jobs' and c.relname = 'procrastinate_jobs'),"
        " obj_description((select oid from pg_namespace where nspname = 'jobs'), 'pg_namespace')"
    ).fetchone()
    assert row is not None  # noqa: S101 - a select without from has one row
    return bool(row[0]), str(row[1] or "")


def install_queue(conn: Connection[tuple[object, ...]]) -> None:
    """Brings schema `jobs` to the installed procrastinate; the schema's comment says which version it is.

    psycopg.OperationalError when the connection ends or a lock is not to be had; nothing of it is there then.
    """
    wanted = version("procrastinate")
    installed, comment = _installed(conn)
    if installed and _parse(comment) >= _parse(wanted):
        return
    scripts = _upgrades(_parse(comment), _parse(wanted)) if installed else [_read("schema.sql")]
    try:
        with conn.transaction():
            conn.execute("create schema if not exists jobs")
            conn.execute("select set_config('search_path', 'jobs', true), set_config('lock_timeout', '10s', true)")
            for script in scripts:
                conn.execute(cast("LiteralString", script))
            conn.execute(cast("LiteralString", _GRANTS))
            conn.execute(cast("LiteralString", f"comment on schema jobs is 'Job queue: procrastinate {wanted}'"))
    except psycopg.OperationalError:
        raise
    except psycopg.Error as exc:
        raise OperatorError(f"The job queue could not be installed: {exc}") from exc


# service_role drains the queue; users of the API never see it. Triggers and functions of the queue are pinned to its
# schema, since they also run inside transactions that have another search path.
_GRANTS = """
revoke all on schema jobs from public, anon, authenticated;
grant usage on schema jobs to service_role;
revoke all on all tables in schema jobs from public, anon, authenticated;
grant select, insert, update, delete on all tables in schema jobs to service_role;
grant usage, select on all sequences in schema jobs to service_role;
do $grants$
declare
  v_function regprocedure;
begin
  for v_function in
    select p.oid::regprocedure from pg_catalog.pg_proc p
     where p.pronamespace = 'jobs'::regnamespace and p.prokind = 'f'
  loop
    execute format('alter function %s set search_path = jobs, pg_temp', v_function);
    execute format('revoke all on function %s from public, anon, authenticated', v_function);
    execute format('grant execute on function %s to service_role', v_function);
  end loop;
end
$grants$;
do $rls$
declare
  v_table regclass;
begin
  for v_table in
    select c.oid::regclass from pg_catalog.pg_class c
     where c.relnamespace = 'jobs'::regnamespace and c.relkind = 'r'
  loop
    execute format('alter table %s enable row level security', v_table);
  end loop;
end
$rls$;
"""


def _read(name: str) -> str:
    return files("procrastinate.sql").joinpath(name).read_text("utf-8")


def _upgrades(installed: tuple[int, int, int], wanted: tuple[int, int, int]) -> list[str]:
    folder = files("procrastinate.sql").joinpath("migrations")
    scripts = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [
        folder.joinpath(name).read_text("utf-8")
        for name in scripts
        if _VERSION.match(name) and installed < _parse(name) <= wanted
    ]
