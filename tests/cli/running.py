"""Loom as a process of its own, watched from outside."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from typer.testing import CliRunner

from loom.cli.main import app
from tests.support.secret_search import TRAIL
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]


def environment(**more: str) -> dict[str, str]:
    """No LOOM_* of whoever runs the tests gets in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOOM_")}
    return kept | more


def loom(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "loom", *arguments],
        cwd=ROOT,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    TRAIL.search("output", f"loom {arguments[0]}", done.stdout + done.stderr)
    return done


def invoke(*arguments: str) -> None:
    """Runs a command in this process, which takes no second of starting. Raises what it refuses."""
    done = CliRunner().invoke(app, arguments, env={name: None for name in os.environ if name.startswith("LOOM_")})
    if done.exception is not None:
        raise done.exception


class Process:
    """A command that goes on running."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.port = 0
        self.heard = ""

    def output(self) -> str:
        """All it said, once it has ended."""
        rest = self.process.communicate(timeout=60)[0] or ""
        TRAIL.search("output", "a process", rest)
        return self.heard + rest

    def read_until(self, words: str) -> None:
        """Waits until it says something."""
        assert self.process.stdout is not None
        while words not in self.heard:
            line = self.process.stdout.readline()
            assert line, f"ended without saying {words!r}:\n{self.heard}"
            self.heard += line
            TRAIL.search("output", "a process", line)

    def get(self, path: str) -> httpx.Response:
        """A request to it."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=30)

    def children(self) -> list[int]:
        """Processes below it, however deep."""
        return descendants(self.process.pid)


def descendants(pid: int) -> list[int]:
    """Processes below one."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text("utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found: list[int] = []
    wanted = [pid]
    while wanted:
        parent = wanted.pop()
        below = [child for child, its_parent in parents.items() if its_parent == parent]
        found += below
        wanted += below
    return found


@contextmanager
def running(*arguments: str, said: str | None = None, **env: str) -> Iterator[Process]:
    """A command on a free port, once it answers or has said something. Killed at the end if it is still there."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "loom", *arguments, "--port", str(port)],
        cwd=ROOT,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    started = Process(process)
    started.port = port

    def answers() -> bool:
        assert process.poll() is None, started.output()
        try:
            return started.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    try:
        if said:
            started.read_until(said)
        else:
            until(answers, f"{arguments} answers", 60)
        yield started
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        if process.stdout:
            process.stdout.close()


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
