"""Carries a plan out, in one transaction: all of it or nothing, at whatever moment it is cut off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from psycopg import Connection, sql

from loom.core.errors import ExitCode, OperatorError
from loom.db.adoption.decisions import Decisions, write_decisions
from loom.db.adoption.online import prepare, settle
from loom.db.adoption.plan import Plan, read_plan
from loom.db.adoption.proof import Count, count, losses
from loom.db.adoption.rename import drop_table, rename_table
from loom.db.adoption.shape import base_tables, loom_columns
from loom.db.adoption.short import short_migration
from loom.db.adoption.stops import REVIEW_TABLES
from loom.db.migrate import apply_migration, become_migrator, connect, lock_migrations, status
from loom.db.queue_schema import has_queue, install_queue

# Everybody gets a row of preferences; no other table of the older application gets rows.
_MAY_GROW = frozenset({"notification_preferences"})


class Interrupted(OperatorError):
    """Cut off from outside. The database is as it was."""

    exit_code = ExitCode.INTERRUPTED


class OpenQuestions(OperatorError):
    """The plan cannot be carried out: open questions, missing rights, or another database. `plan` says which."""

    def __init__(self, plan: Plan) -> None:
        if plan.exit_code is ExitCode.NO_RIGHTS:
            reason = f"{plan.server.login} lacks {'; '.join(plan.server.missing_rights)}"
        elif plan.exit_code is ExitCode.NOT_LOOM:
            reason = "this is not a database that Loom grew from"
        else:
            reason = f"{len(plan.questions)} questions are open (loom db adopt --plan shows them)"
        super().__init__(f"Nothing was changed: {reason}.")
        self.plan = plan
        self.exit_code = plan.exit_code


@dataclass(frozen=True, slots=True)
class Proof:
    """Counts before and after. Of an online adoption they also show what was written meanwhile."""

    before: list[Count]
    after: list[Count]


def apply_plan(
    conninfo: str,
    decisions: Decisions,
    *,
    online: bool = False,
    lock_timeout: str = "4s",
    report: Callable[[str], None] = lambda _text: None,
) -> Proof | None:
    """Adopts the database; None when it was adopted already.

    Raises OpenQuestions, Interrupted, and what `read_plan` raises. In all of these nothing was changed.
    """
    with connect(conninfo) as conn:
        try:
            lock_migrations(conn)
            plan = read_plan(conn, decisions)
            if plan.adopted:
                if not plan.has_queue:
                    report("the job queue was missing")
                    become_migrator(conn)
                install_queue(conn)
                return None
            if plan.exit_code is not ExitCode.OK:
                raise OpenQuestions(plan)
            _require_writing(conn)
            proof = (
                _online(conn, plan, decisions, report)
                if online
                else _whole(conn, plan, decisions, lock_timeout, report)
            )
            install_queue(conn)
        except (psycopg.OperationalError, psycopg.InterfaceError) as exc:
            raise Interrupted(_what_is_left(conninfo, str(exc).strip().splitlines()[0], online)) from exc
        except SystemExit as exc:  # a signal
            conn.close()
            raise Interrupted(_what_is_left(conninfo, f"signal {cast('int', exc.code) - 128}", online)) from exc
    return proof


def _require_writing(conn: Connection[Any]) -> None:
    row = conn.execute("select current_setting('transaction_read_only')").fetchone()
    if row and row[0] == "on":
        raise OperatorError(
            "Nothing was changed: this session only reads. Let it write (default_transaction_read_only = off, and no"
            " standby server), then run this again."
        )


def _whole(
    conn: Connection[Any], plan: Plan, decisions: Decisions, lock_timeout: str, report: Callable[[str], None]
) -> Proof:
    report("waiting for the locks")
    with conn.transaction():
        return _adopt(conn, plan, decisions, lock_timeout, report)


def _online(conn: Connection[Any], plan: Plan, decisions: Decisions, report: Callable[[str], None]) -> Proof:
    become_migrator(conn)
    statuses = {text: status for text, status in plan.statuses.items() if status is not None}
    before = count(conn, statuses, decisions.currencies)
    with conn.transaction():
        _clear_the_way(conn, decisions)
    prepare(conn, decisions, report)
    for migration in status(conn).pending:
        report(f"{migration.version}_{migration.name}")
        short_migration(conn, migration, before=lambda: settle(conn))
    return Proof(before, count(conn, {}, {}))


def _clear_the_way(conn: Connection[Any], decisions: Decisions) -> None:
    for old, new in decisions.renames.items():
        rename_table(conn, old, new)
    if decisions.drop_empty:
        for table in REVIEW_TABLES & set(loom_columns()):
            drop_table(conn, table)


def _adopt(
    conn: Connection[Any], plan: Plan, decisions: Decisions, lock_timeout: str, report: Callable[[str], None]
) -> Proof:
    conn.execute(
        "select set_config('lock_timeout', %s, true), set_config('statement_timeout', '0', true)", [lock_timeout]
    )
    become_migrator(conn)
    # Whoever writes waits from here, so that the counts are of what is adopted.
    tables = sql.SQL(", ").join(sql.SQL("public.{}").format(sql.Identifier(table)) for table in base_tables())
    conn.execute(sql.SQL("lock table {} in share row exclusive mode").format(tables))
    statuses = {text: status for text, status in plan.statuses.items() if status is not None}
    before = count(conn, statuses, decisions.currencies)
    _clear_the_way(conn, decisions)
    for number, migration in enumerate(status(conn).pending):
        report(f"{migration.version}_{migration.name}")
        apply_migration(conn, migration, lock_timeout=lock_timeout)
        if number == 0:
            # The first migration makes the table of decisions, the second reads it.
            write_decisions(conn, decisions)
    report("counting")
    after = count(conn, {}, {})
    lost = losses(before, after, _MAY_GROW)
    if lost:
        raise OperatorError("Nothing was changed, since counts would not be the same: " + "; ".join(lost))
    return Proof(before, after)


def _what_is_left(conninfo: str, reason: str, online: bool) -> str:
    try:
        with connect(conninfo) as conn:
            done, whole = not status(conn).pending, has_queue(conn)
    except (OperatorError, psycopg.Error):
        return f"Interrupted ({reason}). The database cannot be asked now: run this again, which says how it stands."
    if done and not whole:
        return f"Interrupted ({reason}). The database is adopted, but its job queue is missing: run it again."
    if done:
        return f"Interrupted ({reason}) after everything was done: the database is adopted."
    if online:
        return f"Interrupted ({reason}). The older application goes on; run it again to go on from here."
    return f"Interrupted ({reason}). The database is as before; run it again."
