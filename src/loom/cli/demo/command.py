"""loom demo: everything of Loom in one process, with a sample practice; `--check` plays the story on it."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from loom.cli import logs
from loom.cli.listener import bind
from loom.cli.options import DataDir, Host, Port, load_settings
from loom.cli.sandbox import sandbox_url
from loom.core.errors import OperatorError
from loom.core.settings import Settings
from loom.db.data_folder import LOCK, FolderLock
from loom.db.embedded import EmbeddedServer
from loom.db.migrate import migrate

PORTS = "demo-ports.json"


def demo(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    reset: Annotated[bool, typer.Option("--reset", help="Begin anew: delete the data folder's content first.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Play the story in a throwaway folder on free ports; exit 0 or 1.")
    ] = False,
) -> None:
    """Start a practice with sample data: embedded PostgreSQL, API, worker, sandbox gateway and push service."""
    if check:
        if port is not None or data_dir is not None or reset:
            raise OperatorError("--check takes a throwaway folder and free ports: no --port, --data-dir or --reset.")
        with tempfile.TemporaryDirectory(prefix="loom-check-") as folder:
            settings = load_settings(host=host, port=0, data_dir=Path(folder) / "data", log_level="warning")
            held = _run(settings, check=True)
        sys.exit(0 if held else 1)
    settings = load_settings(host=host, port=port, data_dir=data_dir)
    if reset:
        reset_folder(settings.data_dir)
    _run(settings, check=False)


def _run(settings: Settings, *, check: bool) -> bool:
    logs.configure(settings)
    # Before anything is started, so that a taken port costs nothing.
    with (
        bind(settings.host, settings.port) as listener,
        EmbeddedServer.start(settings.data_dir, meanwhile=_load) as server,
        _side_ports(settings) as side,
    ):
        migrate(server.url("postgres"))
        settings = settings.model_copy(
            update={
                "database_url": None,
                "port": listener.getsockname()[1],
                "sandbox_url": sandbox_url(side[0]),
                "tranzila_url": f"{sandbox_url(side[0])}/tranzila",
                "push_allow_private": True,
                "missed_message_seconds": 1.0,
            }
        )
        return _load().run(settings, server, listener, side, check=check)


def _load() -> ModuleType:
    """The application is much to import: while PostgreSQL gets ready."""
    from loom.cli.demo import process

    return process


@contextmanager
def _side_ports(settings: Settings) -> Generator[tuple[socket.socket, socket.socket]]:
    """Sockets for the gateway and the push service; the same ports as last time, since addresses with them are kept."""
    note = settings.data_dir / PORTS
    wanted = [0, 0]
    with suppress(OSError, ValueError, KeyError):
        wanted = [int(port) for port in json.loads(note.read_text("utf-8"))]
    with _bind_or_any(wanted[0]) as gateway, _bind_or_any(wanted[1]) as push:
        note.write_text(json.dumps([gateway.getsockname()[1], push.getsockname()[1]]), "utf-8")
        yield gateway, push


def _bind_or_any(port: int) -> socket.socket:
    try:
        return bind("127.0.0.1", port)
    except OperatorError:
        return bind("127.0.0.1", 0)


def reset_folder(folder: Path) -> None:
    """Empties a data folder that nobody uses. OperatorError when it does not look like one."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / LOCK).exists():
        raise OperatorError(f"{folder} is not a data folder of Loom's: nothing was deleted.")
    lock = FolderLock.take(folder)
    try:
        for path in folder.iterdir():
            if path.name == LOCK:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    finally:
        lock.release()
