"""Budgets: a hot HTTP read has 12 times the throughput of a conventional one or more, an ordinary one 4 times.

    .venv/bin/python -m bench.http_read [--scale MESSAGES] [--rounds N] [--seconds S]

The hot read is a page of fifty messages, the ordinary one the ten people of a conversation. The baseline is
`bench.orm_app`, FastAPI with SQLAlchemy's ORM, which gives the same answers. Each is served by one uvicorn process.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from joserfc import jwt
from joserfc.jwk import OctKey
from psycopg.conninfo import conninfo_to_dict

from bench.data import fill, server, uid
from bench.load import generator, rate
from bench.verdict import Budget, interleaved, judge, machine, say
from loom.core.settings import Settings
from loom.db.embedded import EmbeddedServer
from loom.web.app import create_app

HERE = Path(__file__).parent
SECRET = "a secret of the bench that guards nothing at all"  # noqa: S105
PATHS = {
    "hot": f"/v1/conversations/{uid('conversation', 1)}/messages",
    "ordinary": f"/v1/conversations/{uid('conversation', 1)}/people",
}
READER = uid("user", 10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(command: list[str], port: int, environment: dict[str, str]) -> Iterator[str]:
    """A server process until the block ends; gives its address once it answers."""
    with running(command, port, environment) as (address, _):
        yield address


@contextmanager
def running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[tuple[str, int]]:
    """The same with the process's id."""
    # Loom writes a line for each request, as it does for operators; nobody reads it here.
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, env=os.environ | environment, cwd=HERE.parent, stdout=silent, stderr=silent)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.get(f"{address}/health", timeout=5)
                break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def loom(database: EmbeddedServer, folder: Path) -> Iterator[tuple[str, str, Callable[[UUID], str]]]:
    """Loom as an operator would start it; gives its address, a token for the reader, and tokens for others."""
    port = free_port()
    settings = Settings(data_dir=folder / "loom", port=port)
    issuer = create_app(settings, "").state.issuer

    def token_of(user: UUID) -> str:
        return issuer.access_token(user, uuid4(), second_factor=False)

    with serving(loom_command(database, settings), port, {}) as address:
        yield address, token_of(READER), token_of


def loom_command(database: EmbeddedServer, settings: Settings) -> list[str]:
    """What starts the API."""
    return [
        str(Path(sys.executable).with_name("loom")), "serve", "--no-worker", "--port", str(settings.port),
        "--data-dir", str(settings.data_dir), "--database-url", database.url("loom_api"),
    ]  # fmt: skip


@contextmanager
def conventional(database: EmbeddedServer) -> Iterator[tuple[str, str]]:
    """The baseline; gives its address and a token for the reader."""
    port = free_port()
    parts = conninfo_to_dict(database.url("postgres"))
    url = (
        f"postgresql+psycopg://{parts['user']}:{parts['password']}@/{parts['dbname']}"
        f"?host={parts['host']}&port={parts['port']}"
    )
    token = jwt.encode({"alg": "HS256"}, {"sub": str(READER)}, OctKey.import_key(SECRET))
    command = [
        sys.executable, "-m", "uvicorn", "bench.orm_app:app", "--port", str(port), "--no-access-log",
        "--log-level", "warning",
    ]  # fmt: skip
    with serving(command, port, {"BENCH_DATABASE_URL": url, "BENCH_SECRET": SECRET}) as address:
        yield address, token


def answer(address: str, path: str, token: str) -> object:
    """The answer as both must give it: times in one spelling."""
    got = httpx.get(address + path, headers={"authorization": f"Bearer {token}"}, timeout=30)
    got.raise_for_status()
    return json.loads(got.text.replace("+00:00", "Z"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=int, default=1_000_000, help="messages")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="of each measure in each round")
    parser.add_argument("--connections", type=int, default=16)
    asked = parser.parse_args()
    with server() as database, tempfile.TemporaryDirectory() as folder:
        fill(database, asked.scale)
        with loom(database, Path(folder)) as ours, conventional(database) as theirs:
            for path in PATHS.values():
                assert answer(ours[0], path, ours[1]) == answer(theirs[0], path, theirs[1]), f"{path} differs"
            say(f"{machine()}, {asked.connections} connections by {generator()}")

            def measure(kind: str, who: Sequence[Any]) -> float:
                return rate(who[0] + PATHS[kind], asked.seconds, asked.connections, [f"authorization: Bearer {who[1]}"])

            for who in (ours, theirs):
                for kind in PATHS:
                    measure(kind, who)
            figures = interleaved(
                {
                    "hot read": lambda: measure("hot", ours),
                    "hot read, conventional": lambda: measure("hot", theirs),
                    "ordinary read": lambda: measure("ordinary", ours),
                    "ordinary read, conventional": lambda: measure("ordinary", theirs),
                },
                asked.rounds,
            )
    budgets = [
        Budget("hot read", "hot read, conventional", 12),
        Budget("ordinary read", "ordinary read, conventional", 4),
    ]
    sys.exit(not judge(figures, budgets))


if __name__ == "__main__":
    main()
