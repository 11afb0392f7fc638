"""The demo's process: API, worker, sandbox gateway and push service in one event loop, and who is on stage."""

from __future__ import annotations

import socket

from rich.console import Console
from rich.table import Table

from loom.cli import process
from loom.cli.demo import people
from loom.cli.demo.actors import PASSWORD
from loom.cli.demo.seed import seed
from loom.cli.demo.stage import Stage
from loom.cli.demo.story import play
from loom.cli.process import Part, Running
from loom.cli.sandbox import sandbox_part, sandbox_url
from loom.core.settings import Settings
from loom.db.embedded import EmbeddedServer
from loom.providers.email import OutboxMailer
from loom.providers.push.sink import PushSink


def run(
    settings: Settings,
    server: EmbeddedServer,
    listener: socket.socket,
    side: tuple[socket.socket, socket.socket],
    *,
    check: bool,
) -> bool:
    """Runs until Ctrl-C, or with `check` until the story is told. Says whether it held."""
    gateway, push = side
    console = Console(highlight=False)
    sink = PushSink(f"http://127.0.0.1:{push.getsockname()[1]}")
    held = not check

    async def stage(running: Running) -> None:
        nonlocal held
        fresh = await seed(running.database, running.settings)
        if not check:
            _welcome(console, running.settings, fresh=fresh)
            await running.stop.wait()
            return
        outbox = OutboxMailer(running.settings.outbox_dir)
        addresses = running.settings.base_url, sandbox_url(gateway)
        held = await play(Stage(*addresses, running.database, outbox, sink, console, running.settings))

    parts: list[Part] = [
        process.http(listener),
        sandbox_part(gateway),
        process.asgi(push, lambda _running: sink),
        process.worker,
        process.keep_alive(server),
        stage,
    ]
    process.run(settings, server.url("loom_api"), parts)
    return held


def _welcome(console: Console, settings: Settings, *, fresh: bool) -> None:
    console.print(f"\n[bold]Loom is ready:[/] {settings.base_url}", soft_wrap=True)
    console.print(f"API pages:     {settings.base_url}/docs", soft_wrap=True)
    console.print(f"mail goes to:  {settings.outbox_dir.absolute()}", soft_wrap=True)
    state = "new" if fresh else "as you left it"
    console.print(f"data lives in: {settings.data_dir.absolute()} ({state})", soft_wrap=True)
    console.print(f"password:      {PASSWORD} (the same for everybody)\n")
    table = Table("sign in as", "who", "role", box=None)
    for account in people.EVERYBODY:
        table.add_row(account.email, account.name, account.role)
    console.print(table)
    console.print("Ctrl-C stops all of it; started again it continues.\n")
