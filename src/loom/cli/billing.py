"""loom billing: whether the books agree."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from loom.cli.options import DatabaseUrl, DataDir, load_settings
from loom.cli.target import open_target

app = typer.Typer(no_args_is_help=True, help="Check the books.")
_console = Console(highlight=False)


@app.callback()
def _group() -> None:
    """Check the books."""


@app.command()
def verify(
    practice: Annotated[UUID | None, typer.Option("--practice", help="Only this one.", show_default=False)] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Check that books, documents and balances agree. Says where they do not, and ends with 1 then."""
    from loom.features.books import queries
    from loom.features.books.tasks import CHECKING
    from loom.web.app import open_database

    settings = load_settings(data_dir=data_dir, database_url=database_url)

    async def work(url: str) -> int:
        async with await open_database(settings, url) as database:
            differences = await queries.verify_all(database.reader(CHECKING), practice)
        for one in differences:
            _console.print(
                f"{one.check_name}: {one.subject} {one.subject_id}: expected {one.expected}, found {one.found}",
                soft_wrap=True,
            )
        _console.print(
            "Books, documents and balances agree." if not differences else f"{len(differences)} differences."
        )
        return len(differences)

    with open_target(settings) as target:
        found = asyncio.run(work(target.app_url))
    sys.exit(1 if found else 0)
