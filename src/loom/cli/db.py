"""loom db: migrations, dumps, backups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from loom.cli.backup import read_backup, write_backup
from loom.cli.options import DatabaseUrl, DataDir, load_settings
from loom.cli.target import open_target
from loom.db import tools
from loom.db.catalogue import write_catalogue
from loom.db.migrate import connect
from loom.db.migrate import migrate as run_migrations
from loom.db.migrate import status as read_status
from loom.db.schema_files import write_draft

app = typer.Typer(no_args_is_help=True, help="Migrate, inspect, back up and restore the database.")
_console = Console(highlight=False)


@app.command()
def migrate(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database to this version of Loom."""
    with open_target(load_settings(data_dir=data_dir, database_url=database_url)) as target:
        done = run_migrations(target.admin_url, report=lambda name: _console.print(f"applying {name}"))
    _console.print(f"{len(done)} applied." if done else "Up to date.")


@app.command()
def status(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Show which migrations the database has. Exits 1 when it is not at this version."""
    settings = load_settings(data_dir=data_dir, database_url=database_url)
    with open_target(settings) as target, connect(target.admin_url) as conn:
        state = read_status(conn)
    table = Table("version", "name", "state", box=None)
    for migration in state.applied:
        table.add_row(migration.version, migration.name, "applied")
    for version in state.unknown:
        table.add_row(version, "", "unknown to this Loom")
    for migration in state.pending:
        table.add_row(migration.version, migration.name, "pending")
    _console.print(table)
    if state.pending or state.unknown:
        raise typer.Exit(1)


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
