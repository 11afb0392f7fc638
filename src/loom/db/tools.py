"""PostgreSQL's own programs, run against a database: dump and restore."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from loom.core.errors import OperatorError
from loom.db.embedded import programs

_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "options": "PGOPTIONS",
}


def environment(conninfo: str) -> dict[str, str]:
    """Conninfo as variables: a password among the arguments would show in every list of processes."""
    given = conninfo_to_dict(conninfo)
    unknown = sorted(name for name in given if name not in _VARIABLES and name != "application_name")
    if unknown:
        raise OperatorError(f"These connection options can't be passed on to pg_dump: {', '.join(unknown)}.")
    found = {variable: str(given[name]) for name, variable in _VARIABLES.items() if given.get(name) is not None}
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", **found}


def dump(conninfo: str, target: Path | None, *, custom: bool) -> None:
    """Writes a dump, as plain SQL or in pg_dump's own format, to a file or to stdout."""
    arguments = ["--format=custom" if custom else "--format=plain"]
    if target is not None:
        arguments.append(f"--file={target}")
    _run("pg_dump", arguments, conninfo)


def restore(conninfo: str, source: Path) -> None:
    """Loads a dump in pg_dump's own format into an empty database: all of it or nothing."""
    database = conninfo_to_dict(conninfo)["dbname"]
    _run("pg_restore", ["--exit-on-error", "--single-transaction", f"--dbname={database}", str(source)], conninfo)


def _run(program: str, arguments: Sequence[str], conninfo: str) -> None:
    done = subprocess.run(
        [str(programs() / program), *arguments],
        env=environment(conninfo),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise OperatorError(f"{program} failed: {done.stderr.strip()}")
