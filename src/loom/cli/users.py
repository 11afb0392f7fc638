"""loom users: people whom nobody can invite, since they come first."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from loom.cli.options import DatabaseUrl, DataDir, load_settings
from loom.cli.target import open_target, require_version
from loom.core.errors import OperatorError

app = typer.Typer(no_args_is_help=True, help="Make accounts by the operator's hand.")
_console = Console(highlight=False)


class Role(StrEnum):
    """Roles of public.users."""

    client = "client"
    coach = "coach"
    admin = "admin"


@app.command()
def create(
    email: Annotated[str, typer.Option("--email", help="Address to sign in with.")],
    role: Annotated[Role, typer.Option("--role", help="What the account may be.")] = Role.coach,
    first_name: Annotated[str | None, typer.Option("--first-name", show_default=False)] = None,
    last_name: Annotated[str | None, typer.Option("--last-name", show_default=False)] = None,
    timezone: Annotated[str | None, typer.Option("--timezone", help="IANA zone.", show_default=False)] = None,
    language: Annotated[str | None, typer.Option("--language", help="en or he.", show_default=False)] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input instead of making one up.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Make an account with any role: the first coach, the first admin. Prints the password if it made one up."""
    from loom.cli.compose import register_errors
    from loom.features.identity.service import create_user
    from loom.web.app import open_database

    if language not in {None, "en", "he"}:
        raise OperatorError("--language is en or he.")
    settings = load_settings(data_dir=data_dir, database_url=database_url)
    password = sys.stdin.readline().rstrip("\n") if password_stdin else None
    register_errors()

    async def work(url: str) -> None:
        async with await open_database(settings, url) as database:
            made = await create_user(
                database,
                email=email,
                role=role.value,
                password=password,
                first_name=first_name,
                last_name=last_name,
                timezone=timezone or settings.default_timezone,
                language="he" if (language or settings.default_locale) == "he" else "en",
            )
        _console.print(f"{made.role} {made.email} ({made.user_id})")
        if made.password is not None:
            _console.print(f"password: {made.password}", markup=False)

    with open_target(settings, make=True) as target:
        if target.embedded is not None:
            from loom.db.migrate import migrate

            migrate(target.admin_url)
        require_version(target)
        asyncio.run(work(target.app_url))
