"""A data folder: who uses it now, its keys, and what it was made with."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

from loom.core.errors import OperatorError

LOCK = "loom.lock"
PASSWORDS = "postgres.json"


@dataclass(frozen=True, slots=True)
class Running:
    """A Loom that uses the folder now; socket_dir is None until its server is ready."""

    pid: int
    socket_dir: str | None


class FolderLock:
    """Held as long as the process lives, also if it is killed: the kernel lets go, no stale lock can be left."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, folder: Path) -> Self:
        """OperatorError naming the process that has it."""
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            running = _read(folder)
            who = f"process {running.pid}" if running else "another process"
            raise OperatorError(
                f"The data folder {folder} is in use by {who}. Stop that Loom first, or choose another --data-dir."
            ) from None
        lock = cls(descriptor)
        lock.write(None)
        return lock

    def write(self, socket_dir: str | None) -> None:
        """Notes who holds the lock and where its server listens."""
        if self._descriptor is None:
            raise RuntimeError("the lock was released")
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps({"pid": os.getpid(), "socket_dir": socket_dir}).encode(), 0)

    def release(self) -> None:
        """Gives the folder free. The file stays: removing it would race with the next one to open it."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def running(folder: Path) -> Running | None:
    """Who uses the folder now, if anybody."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(folder)
    else:
        return None
    finally:
        os.close(descriptor)


def last_socket_dir(folder: Path) -> str | None:
    """Where the server of a Loom that was killed used to listen."""
    noted = _read(folder)
    return noted.socket_dir if noted else None


def _read(folder: Path) -> Running | None:
    try:
        noted = cast("dict[str, Any]", json.loads((folder / LOCK).read_text("utf-8")))
        return Running(int(noted["pid"]), noted["socket_dir"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def private_folder(path: Path) -> Path:
    """Makes a folder that only its owner can enter."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    private_folder(path.parent)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def passwords(keys: Path) -> dict[str, str]:
    """Passwords of the embedded server's roles, made on first use."""
    path = keys / PASSWORDS
    if path.exists():
        return cast("dict[str, str]", json.loads(path.read_text("utf-8")))
    made = {role: secrets.token_urlsafe(32) for role in ("postgres", "loom_owner", "loom_api")}
    write_private(path, json.dumps(made))
    return made
