"""Whole files or none: what several providers need in order to keep something on disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def make_private_folder(folder: Path) -> Path:
    """The folder, made with its parents where missing, readable by its owner only. An existing one keeps its mode."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write_new_file(path: Path, content: bytes) -> bool:
    """Writes a file that is either whole or absent, readable by its owner. False, and no change, where it exists."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            # A hard link is refused where the name is taken, so of two writers exactly one wins.
            os.link(temporary, path)
        except FileExistsError:
            return False
        return True
    finally:
        temporary.unlink()
