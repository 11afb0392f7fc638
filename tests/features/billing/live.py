"""Loom, its worker and the sandbox gateway, each really listening, for one test module."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import uvicorn

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.billing import tasks as billing_tasks
from loom.jobs.registry import TASKS, JobContext
from loom.jobs.worker import run_worker
from loom.web.app import create_app
from tests.support.sandbox import Sandbox
from tests.support.waiting import until

assert billing_tasks is not None


@dataclass
class Live:
    """Loom on a real port. `call` answers with the body, or with `code` and `status` of the problem."""

    url: str
    issuer: Any
    sandbox: Sandbox
    settings: Settings

    def call(self, user: UUID | None, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        signed = (
            {"Authorization": f"Bearer {self.issuer.access_token(user, uuid4(), second_factor=False)}"} if user else {}
        )
        answer = httpx.request(method, f"{self.url}/v1{path}", json=body, headers=signed | headers, timeout=20)
        said = answer.json() if answer.content else {}
        return said | {"http_status": answer.status_code, "replayed": answer.headers.get("idempotent-replayed")}


@contextmanager
def running_loom(api_url: str, sandbox: Sandbox, folder: Path) -> Generator[Live]:
    """Serves the API and runs the worker in a thread until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = Settings(
            data_dir=folder,
            rate_limits=False,
            public_url=url,
            sandbox_url=sandbox.url,
            tranzila_url=f"{sandbox.url}/tranzila",
        )
        started: list[Any] = []

        async def serve() -> None:
            async with await Database.open(api_url, max_size=8) as database:
                app = create_app(settings, database)
                server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
                stop = asyncio.Event()
                tasks = {name: spec for name, spec in TASKS.items() if name.startswith("billing.")}
                worker = asyncio.create_task(run_worker(JobContext(database, settings), stop, tasks=tasks, loops={}))
                started.extend([server, app])
                await server.serve(sockets=[listener])
                stop.set()
                await worker

        thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        thread.start()
        until(lambda: started and started[0].started, "Loom has started")
        try:
            yield Live(url, started[1].state.issuer, sandbox, settings)
        finally:
            started[0].should_exit = True
            thread.join(30)
