"""Fixtures that several features' tests share."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from loom.providers.push.sink import PushSink


@pytest.fixture(scope="module")
def sink() -> Iterator[PushSink]:
    """A push service."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = PushSink(f"http://127.0.0.1:{listening.getsockname()[1]}")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield app
    server.should_exit = True
    thread.join()
    listening.close()
