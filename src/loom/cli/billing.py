"""loom billing: whether the books agree, among themselves and with gateways."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from loom.cli.options import DatabaseUrl, DataDir, load_settings
from loom.cli.target import open_target, require_version
from loom.core.errors import NotFound, OperatorError

if TYPE_CHECKING:
    from loom.db.database import Database
    from loom.features.billing.gateway_schemas import Reconciliation

app = typer.Typer(no_args_is_help=True, help="Check the books.")
_console = Console(highlight=False)
AGREE = "Books, documents and balances agree."
_EVENT_FIELDS = ("id", "provider", "event_type", "event_id", "received_at", "status", "outcome", "error_message")
_FIELDS = ("account", "kind", "subject", "id", "provider_id", "ours", "theirs")


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
    from loom.features.books.schemas import CHECKS
    from loom.features.books.tasks import CHECKING
    from loom.web.app import open_database

    settings = load_settings(data_dir=data_dir, database_url=database_url)

    async def work(url: str) -> int:
        async with await open_database(settings, url) as database:
            if practice and not await queries.practice_exists(database.reader(CHECKING), practice):
                raise OperatorError(f"There is no practice {practice} in this database, so nothing was checked.")
            differences = await queries.verify_all(database.reader(CHECKING), practice)
        for where, found in groupby(differences, key=lambda one: (one.practice_name, one.practice_id, one.check_name)):
            name, practice_id, check = where
            _console.print(f"{name} ({practice_id}), {check}: {CHECKS[check]}", soft_wrap=True, markup=False)
            for one in found:
                _console.print(
                    f"  {one.subject} {one.subject_id}: expected {one.expected}, found {one.found}",
                    soft_wrap=True,
                    markup=False,
                )
        count = len(differences)
        _console.print(f"{count} {'difference' if count == 1 else 'differences'}." if count else AGREE)
        return count

    with open_target(settings) as target:
        require_version(target)
        found = asyncio.run(work(target.app_url))
    sys.exit(1 if found else 0)


class Format(StrEnum):
    """How a report looks."""

    table = "table"
    json = "json"
    csv = "csv"


@app.command()
def reconcile(
    days: Annotated[int, typer.Option("--days", min=1, max=365, help="How far back to look.")] = 3,
    account: Annotated[UUID | None, typer.Option("--account", help="Only this account.", show_default=False)] = None,
    form: Annotated[Format, typer.Option("--format", help="How the report looks.")] = Format.table,
    mend: Annotated[
        bool, typer.Option("--mend", help="Look up what the gateway lists and the books lack, then compare again.")
    ] = False,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Compare the books with each gateway's own list. Ends with 1 where they differ, 2 where one could not be asked."""
    from loom.cli.compose import register_errors
    from loom.core.errors import AppError
    from loom.features.billing.reconciliation import Reconciler, days_before
    from loom.providers.errors import ProviderError
    from loom.web.app import open_database

    settings = load_settings(data_dir=data_dir, database_url=database_url)
    register_errors()
    runs: list[Reconciliation] = []
    failed: list[str] = []

    async def work(url: str) -> None:
        since, until = days_before(days)
        async with await open_database(settings, url) as database:
            await _require_account(database, account)
            reconciler = Reconciler(database, settings)
            accounts = [account] if account else await reconciler.accounts()
            for one in accounts:
                try:
                    runs.append(await reconciler.run(one, since, until, mend=mend))
                except (ProviderError, AppError) as problem:
                    # One that can't be asked now keeps nobody else from being compared.
                    failed.append(f"{one}: not compared. {problem}")

    with open_target(settings) as target:
        require_version(target)
        asyncio.run(work(target.app_url))
    _report(runs, form)
    for line in failed:
        typer.echo(line, err=True)
    raise typer.Exit(2 if failed else 1 if any(run.findings for run in runs) else 0)


class Which(StrEnum):
    """Events of the inbox by how their handling ended."""

    failed = "failed"
    handled = "handled"
    ignored = "ignored"
    received = "received"
    any = "any"


@app.command()
def replay(
    events: Annotated[
        list[UUID] | None,
        typer.Argument(help="Only these events of the inbox, however they ended.", show_default=False),
    ] = None,
    status: Annotated[Which, typer.Option("--status", help="How the handling ended.")] = Which.failed,
    days: Annotated[int, typer.Option("--days", min=1, max=365, help="How far back to look.")] = 3,
    account: Annotated[UUID | None, typer.Option("--account", help="Only of this account.", show_default=False)] = None,
    form: Annotated[Format, typer.Option("--format", help="How the report looks.")] = Format.table,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Handle webhook events of the inbox once more. Nothing is booked twice. Ends with 1 where one failed again."""
    from loom.cli.compose import register_errors
    from loom.features.billing.gateway_schemas import WebhookEvent
    from loom.features.billing.inbox import Inbox
    from loom.features.billing.reconciliation import days_before
    from loom.web.app import open_database

    settings = load_settings(data_dir=data_dir, database_url=database_url)
    register_errors()
    every = [each.value for each in Which if each is not Which.any]
    statuses = every if events or status is Which.any else [status.value]
    done: list[WebhookEvent] = []

    async def work(url: str) -> None:
        since = None if events else days_before(days)[0]
        async with await open_database(settings, url) as database:
            await _require_account(database, account)
            done.extend(await Inbox(database, settings).replay(events, account, since, statuses))

    with open_target(settings) as target:
        require_version(target)
        asyncio.run(work(target.app_url))
    rows = [event.model_dump(mode="json") for event in done]
    if form is Format.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    else:
        _print_rows(rows, _EVENT_FIELDS, form)
    if form is Format.table:
        _console.print(f"{len(rows)} events handled once more.")
    raise typer.Exit(1 if any(event.status == "failed" for event in done) else 0)


async def _require_account(database: Database, account: UUID | None) -> None:
    from loom.features.billing.gateway_queries import account_call
    from loom.features.billing.reconciliation import SENDING

    try:
        if account is not None:
            await account_call(database.reader(SENDING), account)
    except NotFound:
        raise OperatorError(f"There is no gateway account {account} in this database, so nothing was done.") from None


def _print_rows(rows: list[dict[str, Any]], fields: tuple[str, ...], form: Format) -> None:
    if form is Format.csv:
        writer: csv.DictWriter[str] = csv.DictWriter(sys.stdout, fields, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    elif rows:
        table = Table(*fields, box=None)
        for row in rows:
            table.add_row(*(str(row.get(name) or "") for name in fields))
        _console.print(table)


def _report(runs: list[Reconciliation], form: Format) -> None:
    rows: list[dict[str, Any]] = [
        {"account": str(run.gateway_account_id), **finding} for run in runs for finding in run.findings
    ]
    if form is Format.json:
        sys.stdout.write(json.dumps([run.model_dump(mode="json") for run in runs], indent=2) + "\n")
        return
    _print_rows(rows, _FIELDS, form)
    if form is Format.table:
        for run in runs:
            whole = 100.0 if run.rows_there == 0 else 100 * run.matched / run.rows_there
            wait = (
                "" if run.verify_seconds_p50 is None else f", verified after {run.verify_seconds_p50:,.0f} s (median)"
            )
            _console.print(f"{run.gateway_account_id}: {run.matched} of {run.rows_there} agree ({whole:.2f} %){wait}")
