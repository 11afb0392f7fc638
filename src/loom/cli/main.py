"""The loom command."""

from __future__ import annotations

import typer

from loom.cli import db

app = typer.Typer(no_args_is_help=True, help="Loom: the practice system for coaches.")
app.add_typer(db.app, name="db")


@app.callback()
def main() -> None:
    """Loom: the practice system for coaches."""
