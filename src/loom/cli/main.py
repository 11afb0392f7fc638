"""The loom command."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Loom: the practice system for coaches.")
