"""The sandbox gateway as a real server on a free port."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from loom.providers.payments.sandbox_server import SandboxServer
from tests.support.secret_search import TRAIL
from tests.support.waiting import until


@dataclass
class Sandbox:
    """A running gateway. `path` is `/v1/…` as Stripe's, or `/sandbox/…`; bodies go as JSON, which both take."""

    url: str

    def call(self, method: str, path: str, body: Any = None, key: str = "", **headers: str) -> dict[str, Any]:
        signed = {"Authorization": f"Bearer {key}"} if key else {}
        answer = httpx.request(method, f"{self.url}{path}", json=body, headers=signed | headers)
        return answer.json() | {"http_status": answer.status_code}


@contextmanager
def running_sandbox(folder: Path) -> Generator[Sandbox]:
    """Serves in a thread until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        servers: list[uvicorn.Server] = []

        def serve() -> None:
            app = SandboxServer(folder / "sandbox.sqlite3")
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
            servers.append(server)
            asyncio.run(server.serve(sockets=[listener]))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        until(lambda: servers and servers[0].started, "the sandbox has started")
        try:
            yield Sandbox(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            servers[0].should_exit = True
            thread.join(10)
            TRAIL.search_gateway(folder / "sandbox.sqlite3")
