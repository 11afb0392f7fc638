"""python -m loom is the loom command."""

from __future__ import annotations

from loom.cli.entry import run

if __name__ == "__main__":
    run()
