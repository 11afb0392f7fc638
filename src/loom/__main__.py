"""python -m loom is the loom command."""

from __future__ import annotations

from loom.cli.main import app

if __name__ == "__main__":
    app(prog_name="loom")
