"""Adopts large tables without holding up those who write to them.

What the migration does to old rows is done beforehand, in short transactions: the new columns, then triggers that keep
rows in step which the older application goes on writing, then the old rows in batches, then indexes and constraints
built without blocking. Each step that is done is written down, so that a run that was cut off goes on where it was. The
migration itself then finds little left to do but its catalogue, and holds its locks for that long.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString, cast

import psycopg
from psycopg import Connection, sql

from loom.core.errors import OperatorError
from loom.db.adoption.decisions import Decisions, write_decisions
from loom.db.adoption.shape import BASELINE, added_constraints, base_tables, expected_not_null
from loom.db.adoption.short import run_short
from loom.db.adoption.standby import (
    build_constraints,
    build_indexes,
    build_key_indexes,
    build_status_indexes,
    set_not_null,
)
from loom.db.adoption.walk import run_batch, walk
from loom.db.catalogue import read_facts
from loom.db.migrate import apply_migration, migrations, status
from loom.db.schema_files import Step, column_files, include, narrow_steps, read_step, schema_paths, supabase_dir
from loom.db.sql import parse_queries

Conn = Connection[Any]
Report = Callable[[str], None]

# Transactions of others, each of which wrote to a conversation or a few.
_SETTLED_AT_ONCE = 200

# Schema files that steps need, in their order; the migration repeats them.
_FIRST = (
    "00_foundation",
    "10_identity/20_caller.sql",
    "20_practice/10_practices.sql",
    "20_practice/20_make_practice.sql",
    "20_practice/30_coach_clients.sql",
    "30_scheduling/23_coach_blocks.sql",
    "30_scheduling/30_session_attendees.sql",
    "50_messaging/00_membership.sql",
    "50_messaging/05_pair_key.sql",
    "50_messaging/18_conversation_contexts.sql",
    "50_messaging/66_search_words.sql",
)
_INDEX = re.compile(r"create (?:unique )?index if not exists \w+\s+on public\.(\w+)[^;]*;")


@cache
def _queries() -> dict[str, LiteralString]:
    text = files(__package__ or "loom.db.adoption").joinpath("online.sql").read_text("utf-8")
    one = include("payment_statuses").replace("from public.payments as p", "from (select p_status as status) as p")
    return parse_queries(narrow_steps(text).replace("-- @statuses", one), "online.sql")


def prepare(conn: Conn, decisions: Decisions, report: Report) -> None:
    """Everything that can be done before the migration. May be run again after it was cut off."""
    conn.execute("select set_config('statement_timeout', '0', false), set_config('loom.base_tables', %s, false)", [
        ",".join(base_tables())
    ])  # fmt: skip
    _begin(conn, decisions)
    _make_columns(conn)
    _keep_in_step(conn)
    conn.execute("select set_config('loom.adopting', 'on', false)")
    report("old rows, in batches")
    _walk_values(conn, report)
    _walk_people(conn, report)
    _walk_payments(conn, report)
    _walk_sessions(conn, report)
    _walk_messages(conn, report)
    report("indexes and constraints, without blocking")
    build_indexes(conn, report)
    build_key_indexes(conn, report)
    build_constraints(conn, report)
    set_not_null(conn, report)
    for table in ("sessions", "payments", "messages"):
        conn.execute(sql.SQL("analyze public.{}").format(sql.Identifier(table)))


def settle(conn: Conn) -> None:
    """Looks again at what was written since, sessions with their money and conversations.

    Until few are left for the migration.
    """
    conn.execute("select set_config('loom.settle_at_once', %s, false)", [str(_SETTLED_AT_ONCE)])
    profiles = [include("coach_currencies")] if _there(conn, "public.coach_profiles") else []
    while _waiting(conn, "adoption_touched_money") >= _SETTLED_AT_ONCE:
        run_batch(conn, [*profiles, include("settle_sessions")])
    while _waiting(conn, "adoption_touched") >= _SETTLED_AT_ONCE:
        run_batch(conn, [include("settle_conversations")])
    conn.execute("select set_config('loom.settle_at_once', '', false)")


def _waiting(conn: Conn, notes: str) -> int:
    row = conn.execute(
        sql.SQL("select count(distinct written_by) from private.{}").format(sql.Identifier(notes))
    ).fetchone()
    return int(row[0]) if row else 0


def _begin(conn: Conn, decisions: Decisions) -> None:
    baseline = next(migration for migration in migrations() if migration.path.name == BASELINE)
    with conn.transaction():
        if baseline in status(conn).pending:
            apply_migration(conn, baseline)
        write_decisions(conn, decisions)
        # Where somebody made these columns by hand, they may say something; otherwise all in them comes from here.
        conn.execute(
            "insert into private.adoption_decisions (kind, key, value)"
            " select 'online', 'priced', now()::text from pg_attribute as a"
            " where a.attrelid = 'public.sessions'::regclass and a.attname = 'price_cents' and not a.attisdropped"
            " and not exists (select from private.adoption_decisions where kind = 'online' and key = 'started')"
            " on conflict (kind, key) do nothing"
        )
        conn.execute(
            "insert into private.adoption_decisions (kind, key, value) values ('online', 'started', now()::text)"
            " on conflict (kind, key) do nothing"
        )
    root = supabase_dir() / "schemas"
    for path in schema_paths():
        if any(path.is_relative_to(root / first) for first in _FIRST[:1]):
            run_short(conn, path.read_text("utf-8"))


def _make_columns(conn: Conn) -> None:
    run_short(conn, "alter table public.sessions drop constraint if exists sessions_future_or_current")
    for path in column_files():
        run_short(conn, path.read_text("utf-8"))
    root = supabase_dir() / "schemas"
    for path in schema_paths():
        if any(path.is_relative_to(root / first) for first in _FIRST[1:]):
            # Indexes of old tables are built later, without blocking.
            text = _INDEX.sub(lambda found: "" if found[1] in base_tables() else found[0], path.read_text("utf-8"))
            run_short(conn, text)


def _status_is_text(conn: Conn) -> bool:
    row = conn.execute(
        "select a.atttypid = 'text'::regtype from pg_attribute as a"
        " where a.attrelid = 'public.payments'::regclass and a.attname = 'status'"
    ).fetchone()
    return bool(row and row[0])


def _keep_in_step(conn: Conn) -> None:
    queries = _queries()
    # While nothing is linked yet: a session that goes later leaves no link behind.
    key = ("payments", "payments_session_id_fkey")
    if ("constraint", f"public.{key[0]}.{key[1]}") not in read_facts(conn):
        run_short(conn, f"alter table public.{key[0]} add constraint {key[1]} {added_constraints()[key]} not valid")
    for name in (
        "keep_object",
        "keep_updated_at",
        "touched_money",
        "keep_person",
        "keep_session",
        "keep_status",
        "keep_message",
        "keep_beside_message",
        "keep_attachment",
    ):
        run_short(conn, queries[name])
    if _status_is_text(conn):
        run_short(conn, "alter table public.payments add column if not exists loom_status public.payment_status")
        run_short(conn, queries["keep_payment_text"])
    else:
        run_short(conn, queries["keep_payment"])
    run_short(conn, queries["triggers"])


def _walk_step(conn: Conn, name: str, report: Report) -> None:
    """A step in batches, once."""
    done = conn.execute("select 1 from private.adoption_decisions where kind = 'step' and key = %s", [name]).fetchone()
    if done:
        return
    step = read_step(name)
    before = (
        "select from public.conversations as c where {within} order by c.id for update"
        if name == "message_numbers"
        else None
    )
    rows = walk(conn, step.walks, step.within, lock_first=before)
    conn.execute(
        "insert into private.adoption_decisions (kind, key, value) values ('step', %s, now()::text)"
        " on conflict (kind, key) do nothing",
        [name],
    )
    report(f"  {name}: {rows:,} rows of {step.walks}")


_FILLS: dict[str, tuple[LiteralString, LiteralString]] = {
    "created_at": ("r.created_at is null", "coalesce(r.created_at, now())"),
    "updated_at": ("r.updated_at is null", "coalesce(r.updated_at, now())"),
    "metadata": (
        "r.metadata is null or jsonb_typeof(r.metadata) <> 'object'",
        "private.adoption_object(r.metadata)",
    ),
}


def _walk_values(conn: Conn, report: Report) -> None:
    """Nulls that were there by oversight."""
    for table, columns in expected_not_null(conn).items():
        mine = [column for column in columns if column in _FILLS and (table, column) != ("payments", "metadata")]
        if not mine:
            continue
        wrong = " or ".join(_FILLS[column][0] for column in mine)
        values = ", ".join(f"{column} = {_FILLS[column][1]}" for column in mine)
        text = _queries()["fill_nulls"].replace("@table", table).replace("@values", values).replace("@wrong", wrong)
        rows = walk(conn, f"public.{table}", Step("fill_nulls", table, True, text).within)
        report(f"  {table}: {rows:,} rows without {', '.join(mine)}")


def _walk_people(conn: Conn, report: Report) -> None:
    zones = sql.SQL(cast("LiteralString", include("time_zones")))
    conn.execute(
        sql.SQL(
            "insert into private.adoption_decisions (kind, key, value) select 'time_zone', z.original, z.becomes"
            " from ({}) as z on conflict (kind, key) do nothing"
        ).format(zones)
    )
    _walk_step(conn, "users_timezone", report)
    _walk_step(conn, "notification_preferences_timezone", report)
    _walk_step(conn, "notification_preferences", report)
    with conn.transaction():
        if _there(conn, "public.coach_profiles"):
            conn.execute(cast("LiteralString", include("coach_currencies")))
    coaches = conn.execute(
        "select u.id from public.users as u where u.role = 'coach'"
        " and not exists (select from public.practice_members as m where m.user_id = u.id)"
    ).fetchall()
    for (coach,) in coaches:
        with conn.transaction():
            conn.execute("select private.ensure_practice(%s)", [coach])
            conn.execute(
                "update public.practices as r set currency = d.value from private.adoption_decisions as d"
                " join public.practice_members as m on m.user_id::text = d.key"
                " where d.kind = 'coach.currency' and d.key = %s and r.id = m.practice_id",
                [str(coach)],
            )


def _walk_payments(conn: Conn, report: Report) -> None:
    queries = _queries()
    if _status_is_text(conn):
        rows = walk(conn, "public.payments", Step("statuses", "payments", True, queries["walk_statuses"]).within)
        report(f"  statuses: {rows:,} rows of public.payments")
        build_indexes(conn, report, only="payments_status_idx", column="loom_status", name="loom_payments_status_idx")
        build_status_indexes(conn, report)
        set_not_null(conn, report, only=("payments", "metadata"))
        try:
            # The function of the trigger reads the column of that name, so both change at once.
            run_short(conn, f"{queries['swap_statuses']};\n{queries['keep_payment']};")
        except psycopg.errors.RaiseException as exc:
            raise OperatorError(f"{exc.diag.message_primary} {exc.diag.message_hint}") from exc
    _walk_step(conn, "payments_values", report)


def _walk_sessions(conn: Conn, report: Report) -> None:
    _walk_step(conn, "sessions_times", report)
    _walk_step(conn, "payments_session", report)
    build_indexes(conn, report, only="payments_session_idx")
    for name in (
        "sessions_paid", "payments_unlinked", "sessions_unbilled", "sessions_overlap", "coach_clients", "coach_blocks",
        "session_attendees",
    ):  # fmt: skip
        _walk_step(conn, name, report)
    conn.execute("alter table public.payments validate constraint payments_session_id_fkey")


def _walk_messages(conn: Conn, report: Report) -> None:
    run_short(conn, _queries()["touched"])
    for name in (
        "message_numbers", "participant_roles", "message_reactions_places", "message_attachments_places",
        "message_read_receipts_places", "participant_positions", "conversation_contexts", "direct_keys_of_sessions",
        "direct_keys_of_pairs",
    ):  # fmt: skip
        _walk_step(conn, name, report)


def _there(conn: Conn, name: str) -> bool:
    row = conn.execute("select to_regclass(%s) is not null", [name]).fetchone()
    return bool(row and row[0])
