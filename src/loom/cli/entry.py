"""Where the loom command begins: signals first, since there is much to import."""

from __future__ import annotations

import signal
import sys


def run() -> None:
    """The loom command. SIGINT and SIGTERM end it quietly, and whatever it started is stopped on the way out."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    from loom.cli.main import app  # after the signals

    app(prog_name="loom")
