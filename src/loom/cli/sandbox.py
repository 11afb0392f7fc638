"""loom sandbox: the sandbox payment gateway."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from loom.cli import logs
from loom.cli.listener import bind
from loom.cli.options import DataDir, load_settings
from loom.core.settings import Settings
from loom.db.data_folder import private_folder

if TYPE_CHECKING:
    from loom.cli.process import Part
    from loom.providers.payments.sandbox_server import SandboxServer

_console = Console(stderr=True, highlight=False)


def sandbox(
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0 takes a free one.")] = 8010,
    data_dir: DataDir = None,
) -> None:
    """Run the sandbox payment gateway, on this machine only: test cards, signed webhooks, no money."""
    import uvicorn

    settings = load_settings(data_dir=data_dir)
    logs.configure(settings)
    with bind("127.0.0.1", port) as listener:
        url = sandbox_url(listener)
        _console.print(
            f"The sandbox gateway serves {url}. Tell Loom: LOOM_SANDBOX_URL={url}. Ctrl-C stops it.", soft_wrap=True
        )
        config = uvicorn.Config(build(settings), log_config=None, access_log=False, lifespan="on", server_header=False)
        uvicorn.Server(config).run(sockets=[listener])


def sandbox_part(listener: socket.socket) -> Part:
    """The gateway beside other parts of a process; their settings must name `sandbox_url(listener)`."""
    from loom.cli.process import asgi

    return asgi(listener, lambda running: build(running.settings))


def sandbox_url(listener: socket.socket) -> str:
    """Where a gateway on this socket is reached."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def build(settings: Settings) -> SandboxServer:
    """The gateway, with its file in the data folder."""
    from loom.providers.payments.sandbox_server import SandboxServer

    return SandboxServer(private_folder(settings.data_dir) / "sandbox.sqlite3")
