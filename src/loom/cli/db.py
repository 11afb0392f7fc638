"""loom db: migrations, dumps, backups."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from loom.cli.adopt import adopt
from loom.cli.backup import read_backup, write_backup
from loom.cli.options import DatabaseUrl, DataDir, load_settings
from loom.cli.target import open_target
from loom.core.errors import ExitCode, OperatorError
from loom.db import tools
from loom.db.adoption.files import add_migrations
from loom.db.catalogue import write_catalogue
from loom.db.check import check as run_check
from loom.db.migrate import NewerDatabase, connect, saying_rights
from loom.db.migrate import migrate as run_migrations
from loom.db.migrate import status as read_status
from loom.db.schema_files import write_draft

app = typer.Typer(no_args_is_help=True, help="Migrate, inspect, back up and restore the database.")
_console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 400)


@app.command()
def migrate(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database to this version of Loom."""
    with open_target(load_settings(data_dir=data_dir, database_url=database_url), make=True) as target:
        done = run_migrations(target.admin_url, report=lambda name: _console.print(f"applying {name}"))
    _console.print(f"{len(done)} applied." if done else "Up to date.")


@app.command()
def status(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show which migrations the database has. Exits 1 when it is not at this version."""
    settings = load_settings(data_dir=data_dir, database_url=database_url)
    with open_target(settings) as target, saying_rights(), connect(target.admin_url) as conn:
        state = read_status(conn)
    table = Table("version", "name", "state", box=None)
    for migration in state.applied:
        table.add_row(migration.version, migration.name, "applied")
    for version in state.foreign:
        table.add_row(version, "", "not Loom's")
    if state.newer:
        table.add_row(state.newer, "", "of a newer Loom")
    for migration in state.pending:
        table.add_row(migration.version, migration.name, "pending")
    _console.print(table)
    if state.pending or state.newer:
        raise typer.Exit(1)


app.command()(adopt)


@app.command()
def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print for programs.")] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Say whether the database is as Loom expects. Exits 0 when it is, 10 when anything is found, 4 without rights."""
    settings = load_settings(data_dir=data_dir, database_url=database_url)
    with open_target(settings) as target, saying_rights(), connect(target.admin_url) as conn:
        state = read_status(conn)
        if state.newer is not None:
            raise NewerDatabase(state.newer)
        if state.pending:
            raise OperatorError(
                "The database is not at this version: run `loom db migrate`, or `loom db adopt`, first."
            )
        found = run_check(conn)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found], ensure_ascii=False, indent=2))
    elif found:
        table = Table("where", "what", "found", "expected", box=None)
        for finding in found:
            table.add_row(finding.where, finding.what, finding.found, finding.expected)
        _console.print(table)
        _console.print(f"{len(found)} findings.")
    else:
        _console.print("The database is as Loom expects.")
    if found:
        raise typer.Exit(ExitCode.DRIFT)


@app.command(name="files")
def copy_files(
    into: Annotated[Path, typer.Option("--into", help="Their supabase/migrations folder.", show_default=False)],
) -> None:
    """Add Loom's migrations to a Supabase project that has a history of its own, for `supabase db push`."""
    for path in add_migrations(into):
        _console.print(f"wrote {path}")


@app.command()
def dump(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write. Default: standard output.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write the database as plain SQL."""
    with open_target(load_settings(data_dir=data_dir, database_url=database_url)) as target:
        tools.dump(target.admin_url, output, custom=False)


@app.command()
def backup(
    archive: Annotated[Path, typer.Argument(help="File to write, e.g. loom.tar.gz.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write one file with the database, keys, files and outbox. Keep it safe: it holds the keys."""
    _console.print(f"wrote {write_backup(load_settings(data_dir=data_dir, database_url=database_url), archive)}")


@app.command()
def restore(
    archive: Annotated[Path, typer.Argument(help="A file that `loom db backup` wrote.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make a new data folder (or fill an empty database) from a backup."""
    settings = load_settings(data_dir=data_dir, database_url=database_url)
    read_backup(settings, archive)
    _console.print(f"restored into {settings.data_dir}")


@app.command()
def draft() -> None:
    """Write the generated migration and the expected catalogue anew (for developers)."""
    _console.print(f"wrote {write_draft()}")
    _console.print(f"wrote {write_catalogue()}")
