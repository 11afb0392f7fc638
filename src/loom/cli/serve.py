"""loom serve and loom worker."""

from __future__ import annotations

from types import ModuleType
from typing import Annotated

import typer
from rich.console import Console

from loom.cli import logs
from loom.cli.listener import bind
from loom.cli.options import DatabaseUrl, DataDir, Host, Port, load_settings
from loom.cli.target import Target, open_target, own_target
from loom.core.errors import OperatorError
from loom.db.migrate import check_version, connect, migrate

_console = Console(stderr=True, highlight=False)


def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Also run the worker in this process.")] = True,
) -> None:
    """Serve the HTTP API, by default together with its worker."""
    settings = load_settings(host=host, port=port, data_dir=data_dir, database_url=database_url)
    logs.configure(settings)
    # Before anything is started, so that a taken port costs nothing.
    with bind(settings.host, settings.port) as listener, own_target(settings, _load) as target:
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
        prepare(target)
        _console.print(f"Loom serves {settings.base_url} (API pages: {settings.base_url}/docs). Ctrl-C stops it.")
        process = _load()
        parts = [process.http(listener)]
        if worker:
            parts.append(process.worker)
        if target.embedded is not None:
            parts.append(process.keep_alive(target.embedded))
        process.run(settings, target.app_url, parts)


def worker(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Run a worker by itself: background jobs and message deliveries."""
    settings = load_settings(data_dir=data_dir, database_url=database_url)
    logs.configure(settings)
    with open_target(settings) as target:
        prepare(target)
        _console.print("Loom's worker runs. Ctrl-C stops it.")
        process = _load()
        process.run(settings, target.app_url, [process.worker])


def _load() -> ModuleType:
    """The application is much to import: not for every command, and while PostgreSQL gets ready."""
    from loom.cli import process

    return process


def prepare(target: Target) -> None:
    """Brings the embedded database up to date; another one only gets looked at.

    A database that can't be reached now is no reason not to start: requests answer 503 until it is there.
    """
    if target.embedded is not None:
        migrate(target.admin_url)
        return
    try:
        connection = connect(target.app_url)
    except OperatorError as exc:
        _console.print(f"loom: {exc} Serving nevertheless; it will be found when it is there.", style="yellow")
        return
    with connection:
        check_version(connection)
