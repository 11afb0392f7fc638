"""loom db adopt: an older application's database, with its data."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from loom.cli.options import DatabaseUrl, DataDir, load_settings
from loom.cli.target import open_target
from loom.core.errors import ExitCode
from loom.db.adoption.apply import OpenQuestions, Proof, apply_plan
from loom.db.adoption.decisions import merged, parse_decisions, stored_decisions
from loom.db.adoption.plan import Plan, read_plan
from loom.db.migrate import connect, saying_rights

# Into a file or a pipe nothing is folded.
_console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 400)

# As PostgreSQL takes it.
_TIME = re.compile(r"\d+(\.\d+)?\s*(us|ms|s|min|h|d)?")

MapStatus = Annotated[
    list[str] | None,
    typer.Option("--map-status", help="What an unknown payment status means: 'x=failed'.", show_default=False),
]
MapCurrency = Annotated[
    list[str] | None,
    typer.Option("--map-currency", help="What an unknown currency is: 'NIS=ILS'.", show_default=False),
]
RenameTable = Annotated[
    list[str] | None,
    typer.Option(
        "--rename-table", help="Move a table out of Loom's way: invoices=invoices_before_loom.", show_default=False
    ),
]


def adopt(
    plan: Annotated[bool, typer.Option("--plan", help="Only look, and say what would be done.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Do what the plan says.")] = False,
    online: Annotated[
        bool, typer.Option("--online", help="With --apply: in small steps, for large tables that are written to.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print for programs.")] = False,
    map_status: MapStatus = None,
    map_currency: MapCurrency = None,
    rename_table: RenameTable = None,
    drop_empty_tables: Annotated[
        bool, typer.Option("--drop-empty-tables", help="Drop tables of Loom's names that hold no row.")
    ] = False,
    lock_timeout: Annotated[str, typer.Option(help="How long to wait for a lock before giving up.")] = "4s",
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Take over the database of an older application.

    Exits 0 when nothing is open or all is done; 3 open questions, 4 rights missing, 5 not a database that Loom grew
    from, 6 a newer Loom's, 7 interrupted, 8 unreachable, 9 adopted by hand halfway.
    """
    if plan == apply or (online and not apply):
        raise typer.BadParameter("say either --plan or --apply (with --online for large tables)")
    if not _TIME.fullmatch(lock_timeout):
        raise typer.BadParameter(f"--lock-timeout {lock_timeout!r} is no length of time, such as 4s or 500ms")
    given = parse_decisions(map_status or [], map_currency or [], rename_table or [], drop_empty=drop_empty_tables)
    with open_target(load_settings(data_dir=data_dir, database_url=database_url)) as target, saying_rights():
        with connect(target.admin_url) as conn:
            decisions = merged(stored_decisions(conn), given)
            found = read_plan(conn, decisions) if plan else None
        if found is not None:
            _show(found, as_json=as_json)
            raise typer.Exit(found.exit_code)
        try:
            proof = apply_plan(
                target.admin_url,
                decisions,
                online=online,
                lock_timeout=lock_timeout,
                report=lambda text: _console.print(text) if not as_json else None,
            )
        except OpenQuestions as exc:
            _show(exc.plan, as_json=as_json)
            raise
    _show_proof(proof, as_json=as_json)


def _show(plan: Plan, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(plan) | {"exit_code": int(plan.exit_code)}, ensure_ascii=False, indent=2))
        return
    if plan.adopted:
        _console.print(
            "This database is adopted already: nothing is to be done."
            if plan.has_queue
            else "This database is adopted already, but its job queue is missing: loom db adopt --apply brings it."
        )
        return
    server = plan.server
    _console.print(f"PostgreSQL {server.version}, signed in as {server.login}; the tables belong to {server.owner}.")
    if server.foreign_migrations:
        _console.print(f"{len(server.foreign_migrations)} migrations of the older application stay in the books.")
    _table("Base tables", ["table", "there", "rows (estimate)"], [
        [table.name, "yes" if table.present else "MISSING", f"{table.rows:,}"] for table in plan.tables
    ])  # fmt: skip
    if plan.exit_code is ExitCode.NOT_LOOM:
        _console.print(
            "This is not a database that Loom grew from. `loom db migrate` makes a new one in an empty database."
        )
        return
    _table("What changes", ["what", "before", "after", "rows"], [
        [item.what, item.before, item.after, f"{item.rows:,}"] for item in plan.changes
    ])  # fmt: skip
    _table("Kept as it is", ["what", "why", "rows"], [[item.what, item.after, f"{item.rows:,}"] for item in plan.kept])
    _table("Replaced", ["kind", "name", "why"], [[item.kind, item.name, item.why] for item in plan.replaced])
    _table(
        "Seen, and left alone", ["kind", "name", "what to do"], [[item.kind, item.name, item.why] for item in plan.seen]
    )
    _table("Locks, all held to the end", ["table", "lock", "rows", "about"], [
        [item.table, item.lock, f"{item.rows:,}", f"{item.seconds} s"] for item in plan.locks
    ])  # fmt: skip
    if plan.locks:
        _console.print(
            f"Together about {sum(item.seconds for item in plan.locks):.1f} s, measured on this server just now."
        )
    _table("Rights that are missing", ["what"], [[right] for right in server.missing_rights])
    if plan.questions:
        _console.print("\n[bold]Open questions[/bold]")
    for question in plan.questions:
        # On lines of their own, so that an answer can be copied.
        rows = f" ({question.rows:,} rows)" if question.rows else ""
        _console.print(f"- {question.what}{rows}", markup=False)
        _console.print(f"  {question.answer}", markup=False)
        if question.ids:
            _console.print(f"  ids: {' '.join(question.ids)}", markup=False)
    _console.print(
        "Nothing is open: loom db adopt --apply does this."
        if plan.exit_code is ExitCode.OK
        else f"Not yet: {len(plan.questions)} open questions, {len(server.missing_rights)} rights missing."
    )


def _table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    if not rows:
        return
    table = Table(*columns, box=None, title_justify="left", title=f"\n{title}", title_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*row)
    _console.print(table)


def _show_proof(proof: Proof | None, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"adopted": True, "proof": None if proof is None else asdict(proof)}, indent=2))
    elif proof is None:
        _console.print("This database is adopted already: nothing is to be done.")
    else:
        after = {item.what: item for item in proof.after}
        _table("Counted before and after", ["what", "rows before", "rows after", "sum before", "sum after"], [
            [item.what, f"{item.rows:,}", f"{after[item.what].rows:,}", *(
                ["", ""] if item.cents is None else [f"{item.cents:,}", f"{after[item.what].cents:,}"]
            )]
            for item in proof.before
        ])  # fmt: skip
        _console.print("Adopted. Run `loom db check` at any time.")
