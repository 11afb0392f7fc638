"""The loom command."""

from __future__ import annotations

import sys
from typing import Any

import typer

from loom.cli import billing, db, users
from loom.cli.bounces import bounces
from loom.cli.demo.command import demo
from loom.cli.sandbox import sandbox
from loom.cli.serve import serve, worker
from loom.cli.settings import settings
from loom.core.errors import AppError, OperatorError


class _Loom(typer.Typer):
    """Says in one sentence what an operator must put right, instead of showing where the program noticed."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().__call__(*args, **kwargs)
        except (OperatorError, AppError) as exc:
            detail = f"{exc.detail} {exc.hint or ''}".strip() if isinstance(exc, AppError) else str(exc)
            typer.echo(f"loom: {detail}", err=True)
            sys.exit(1)


app = _Loom(no_args_is_help=True, help="Loom: the practice system for coaches.", pretty_exceptions_enable=False)
app.command()(demo)
app.add_typer(db.app, name="db")
app.add_typer(users.app, name="users")
app.add_typer(billing.app, name="billing")
app.command()(serve)
app.command()(worker)
app.command()(sandbox)
app.command()(bounces)
app.command()(settings)


@app.callback()
def main() -> None:
    """Loom: the practice system for coaches."""
