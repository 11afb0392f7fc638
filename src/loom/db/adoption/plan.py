"""What adopting a database would do, what stands in the way, and what has to be decided. Reads only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, LiteralString, cast

from psycopg import Connection, sql
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb

from loom.core.errors import ExitCode
from loom.db.adoption.decisions import Decisions
from loom.db.adoption.locks import Lock, measure_locks
from loom.db.adoption.reader import SQL, Reader
from loom.db.adoption.shape import (
    base_tables,
    beside_tables,
    calling_functions,
    currency_codes,
    missing_key_indexes,
    replaced_functions,
    status_query,
    time_zone_query,
)
from loom.db.adoption.stops import Question, questions_of_data, questions_of_shape
from loom.db.migrate import NewerDatabase, platform_missing, status
from loom.db.queue_schema import has_queue


@dataclass(frozen=True, slots=True)
class Server:
    """Who signs in where. `owner` is whose tables they are; rights missing are said in words."""

    version: str
    login: str
    owner: str | None
    hosted: bool
    missing_rights: list[str]
    foreign_migrations: list[str]


@dataclass(frozen=True, slots=True)
class Table:
    """One of the tables that Loom grew from. `rows` is the planner's estimate."""

    name: str
    present: bool
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Change:
    """Old values that get another value, or rows that are added beside them."""

    what: str
    before: str
    after: str
    rows: int


@dataclass(frozen=True, slots=True)
class Named:
    """Something of the older application that is replaced, or only seen; `why`, or what to do about it."""

    kind: str
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole of it. `state` is `ready`, `questions`, `adopted`, or what stands in the way."""

    server: Server
    tables: list[Table]
    pending: list[str]
    statuses: dict[str, str | None] = field(default_factory=dict[str, str | None])
    changes: list[Change] = field(default_factory=list[Change])
    kept: list[Change] = field(default_factory=list[Change])
    questions: list[Question] = field(default_factory=list[Question])
    locks: list[Lock] = field(default_factory=list[Lock])
    replaced: list[Named] = field(default_factory=list[Named])
    seen: list[Named] = field(default_factory=list[Named])
    has_queue: bool = False

    @property
    def adopted(self) -> bool:
        """Nothing is left to do, but for the job queue where there is none."""
        return not self.pending

    @property
    def exit_code(self) -> ExitCode:
        """What a command that only plans ends with."""
        if self.adopted:
            return ExitCode.OK
        if not _grew_from(self.tables):
            return ExitCode.NOT_LOOM
        if self.server.missing_rights:
            return ExitCode.NO_RIGHTS
        if any(question.code == "half_adopted" for question in self.questions):
            return ExitCode.HALF_ADOPTED
        return ExitCode.OPEN_QUESTIONS if self.questions else ExitCode.OK


def _grew_from(tables: list[Table]) -> bool:
    """Users, payments and the like are found in many a database: most of the tables must be there."""
    return sum(table.present for table in tables) * 2 > len(tables)


def read_plan(conn: Connection[Any], decisions: Decisions) -> Plan:
    """Looks at everything in one read-only transaction. NewerDatabase where a newer Loom has been."""
    state = status(conn)
    if state.newer is not None:
        raise NewerDatabase(state.newer)
    pending = [f"{migration.version}_{migration.name}" for migration in state.pending]
    sizes: dict[str, int] = {}
    beside: list[Lock] = []
    if pending:
        sizes, beside = _sizes(conn)
    locks = measure_locks(conn, sizes, beside)
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute("set transaction isolation level repeatable read, read only")
        # A plan that is asked for on a busy server gives way to those who work there.
        cursor.execute("select set_config('lock_timeout', '2s', true), set_config('search_path', '', true)")
        act_as_owner(conn)
        reader = Reader(cursor.connection)
        server = _server(conn, reader, state.foreign)
        tables = [
            Table(
                row["name"],
                row["present"] and row["kind"] == "table",
                sizes.get(row["name"], int(row["estimated_rows"])),
                row["bytes"],
            )
            for row in reader.ask("base_tables", tables=base_tables())
        ]
        if not pending or server.missing_rights or not _grew_from(tables):
            return Plan(server, tables, pending, has_queue=has_queue(conn))
        replaced, seen = _replaced(reader)
        shape = questions_of_shape(reader, decisions)
        if shape or not all(table.present for table in tables):
            return Plan(server, tables, pending, questions=shape, replaced=replaced, seen=seen)
        statuses = _statuses(reader, decisions)
        return Plan(
            server,
            tables,
            pending,
            statuses={row["original"]: row["status"] for row in statuses},
            changes=_changes(reader, statuses, decisions),
            kept=_kept(reader, decisions),
            questions=questions_of_data(reader, statuses, decisions),
            locks=locks,
            replaced=replaced,
            seen=seen,
        )


def act_as_owner(conn: Connection[Any]) -> None:
    """Takes the role that owns the tables for this transaction: others would see only what policies show them."""
    row = conn.execute(
        "select t.tableowner::text from pg_tables as t where t.schemaname = 'public' and t.tablename = 'users'"
        " and t.tableowner <> current_user and pg_has_role(current_user, t.tableowner, 'member')"
    ).fetchone()
    if row is not None:
        conn.execute(sql.SQL("set local role {}").format(sql.Identifier(row[0])))


def _sizes(conn: Connection[Any]) -> tuple[dict[str, int], list[Lock]]:
    """Rows of the tables that are taken over, and the locks on others.

    Rows are estimated by the planner, or counted where it never looked, as in a copy that was just restored.
    """
    with conn.transaction():
        act_as_owner(conn)
        reader = Reader(conn)
        sizes: dict[str, int] = {}
        for row in reader.ask("base_tables", tables=base_tables()):
            if row["kind"] == "table" and row["ours"]:
                sizes[row["name"]] = row["estimated_rows"]
                if row["never_counted"]:
                    query = sql.SQL("select count(*) as rows from public.{}").format(sql.Identifier(row["name"]))
                    sizes[row["name"]] = reader.run(query)[0]["rows"]
        beside = {row["name"]: row for row in reader.ask("locks_beside", beside=beside_tables())}
        for row in reader.run(cast("LiteralString", missing_key_indexes()), tables=beside_tables()):
            beside.setdefault(row["relname"], {"name": row["relname"], "lock": "SHARE", "rows": 0})
    return sizes, [Lock(row["name"], row["lock"], row["rows"], 0.0) for row in beside.values()]


def _server(conn: Connection[Any], reader: Reader, foreign: list[str]) -> Server:
    row = reader.ask("server")[0]
    missing = [str(found["missing"]) for found in reader.ask("rights")]
    if not missing and not row["hosted"] and not row["superuser"]:
        missing += [f"{part}: only a superuser can bring it" for part in platform_missing(conn)]
    others = sorted(
        {
            str(table["owner"])
            for table in reader.ask("base_tables", tables=base_tables())
            if table["present"] and not table["ours"]
        }
    )
    missing += [f"membership in {owner}, who owns the tables" for owner in others]
    return Server(row["version"], row["login"], row["owner"], row["hosted"], missing, foreign)


def _statuses(reader: Reader, decisions: Decisions) -> list[DictRow]:
    kind = reader.run(
        "select format_type(a.atttypid, a.atttypmod) as type from pg_catalog.pg_attribute as a"
        " where a.attrelid = 'public.payments'::regclass and a.attname = 'status'"
    )
    if kind[0]["type"] != "text":
        return []
    return reader.run(cast("LiteralString", status_query()), decisions=Jsonb(decisions.statuses))


def _changes(reader: Reader, statuses: list[DictRow], decisions: Decisions) -> list[Change]:
    found = [
        Change("payments.status", repr(row["original"]), row["status"], row["times"])
        for row in statuses
        if row["status"] is not None and row["status"] != row["original"]
    ]
    params = {
        "currencies": currency_codes(),
        "zones": Jsonb(reader.run(cast("LiteralString", time_zone_query()))),
        "statuses": Jsonb([{"original": row["original"], "status": row["status"]} for row in statuses]),
        "decided_currencies": Jsonb(decisions.currencies),
    }
    for name in SQL:
        if name.startswith("change_") or (name == "profile_currencies" and reader.has("coach_profiles")):
            found += [Change(**row) for row in reader.ask(name, **params)]
    found += _null_times(reader)
    return sorted(found, key=lambda change: (change.what, -change.rows, change.before))


def _kept(reader: Reader, decisions: Decisions) -> list[Change]:
    params = {"currencies": currency_codes(), "decided_currencies": Jsonb(decisions.currencies)}
    return [
        Change(row["what"], "", row["why"], row["rows"])
        for name in SQL
        if name.startswith("kept_") or (name == "profile_mismatches" and reader.has("coach_profiles"))
        for row in reader.ask(name, **params)
    ]


def _null_times(reader: Reader) -> list[Change]:
    found: list[Change] = []
    for row in reader.ask("base_columns", tables=base_tables()):
        if row["col"] in {"created_at", "updated_at"} and not row["not_null"]:
            query = sql.SQL("select count(*) as rows from public.{} where {} is null").format(
                sql.Identifier(row["tbl"]), sql.Identifier(row["col"])
            )
            missing = reader.run(query)[0]["rows"]
            if missing:
                found.append(Change(f"{row['tbl']}.{row['col']}", "null", "the time of adoption", missing))
    return found


def _replaced(reader: Reader) -> tuple[list[Named], list[Named]]:
    """What gives way to Loom's own or is mended, and what is only seen, since it lies outside or is somebody else's."""
    params = {
        "tables": base_tables(),
        "beside": beside_tables(),
        "old_functions": replaced_functions(),
        "callers": calling_functions(),
    }
    replaced = [Named(**row) for row in reader.ask("replaced", **params)]
    seen: list[Named] = []
    for query in ("routines", "views", "tables_beside"):
        for row in reader.ask(query, **params):
            (replaced if row.pop("replaced") else seen).append(Named(**row))
    return replaced, seen
