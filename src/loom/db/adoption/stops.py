"""What stands in the way of an adoption until somebody decides or puts it right."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from loom.db.adoption.decisions import STATUSES, Decisions
from loom.db.adoption.reader import Reader
from loom.db.adoption.rules import missing_rules, rows_against
from loom.db.adoption.shape import base_columns, base_enums, base_tables, currency_codes, loom_columns
from loom.db.catalogue import expected_facts

# The tables of the review. Where they are without Loom's columns, somebody ran its SQL by hand.
REVIEW_TABLES = frozenset({
    "session_templates", "session_attendees", "invoices", "invoice_line_items", "payment_methods", "payment_intents",
    "payment_line_items", "payment_refunds", "conversation_contexts", "message_delivery_states", "message_mentions",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """`code` is stable. `ids` are the first twenty. `answer` is the option to give, or what to put right."""

    code: str
    what: str
    answer: str
    rows: int = 0
    ids: list[str] = field(default_factory=list[str])


def _forced(reader: Reader) -> list[Question]:
    """The owner's own statements would see no row, or be refused."""
    return [
        Question(
            "forced_policies",
            f"{row['name']} holds its owner to its policies too",
            f"Run: alter table public.{row['name']} no force row level security",
        )
        for row in reader.ask("base_tables", tables=base_tables())
        if row["forced"]
    ]


def questions_of_shape(reader: Reader, decisions: Decisions) -> list[Question]:
    """Tables, types and functions that are not what Loom extends, or are where Loom's own have to go."""
    return [
        *_base_columns(reader),
        *_added_columns(reader),
        *_forced(reader),
        *_enums(reader),
        *_tables(reader, decisions),
        *_functions(reader),
        *(
            Question(
                "dependent_view" if "view " in row["name"] else "dependent_object",
                f"{row['name']} reads payments.status, whose type changes",
                "Drop it, and make it again afterwards.",
            )
            for row in reader.ask("payment_status_dependents", tables=base_tables())
        ),
        *(
            Question(
                "status_named",
                f"{row['what']} names the text of payments.status, whose type changes",
                f"Run: {row['away']}; and make it again afterwards, for the new type: {row['again']}",
            )
            for row in reader.ask("rules_on_payment_status")
        ),
    ]


def questions_of_data(reader: Reader, statuses: list[DictRow], decisions: Decisions) -> list[Question]:
    """Rows that no rule of Loom's takes as they are."""
    found = [
        Question(
            "unknown_status",
            f"payments.status {row['original']!r}",
            f"--map-status {_quoted(row['original'] + '=' + '|'.join(STATUSES))}",
            row["times"],
        )
        for row in statuses
        if row["status"] not in STATUSES
    ]
    known = {"currencies": currency_codes(), "decided_currencies": Jsonb(decisions.currencies)}
    found += [
        Question(
            "unknown_currency",
            f"payments.currency {row['what']} is no currency",
            f"--map-currency {_quoted(row['original'] + '=ILS')} (or another ISO 4217 code)",
            row["rows"],
            row["ids"],
        )
        for row in reader.ask("stop_unknown_currencies", **known)
    ]
    found += [
        Question(
            "doubled_address",
            f"users.email {row['what']} is there {row['rows']} times, in capitals and small letters",
            "Change or merge the accounts until each address is one person's.",
            row["rows"],
            row["ids"],
        )
        for row in reader.ask("stop_doubled_addresses")
    ]
    found += [
        Question(
            "impossible_time",
            f"sessions.scheduled_at is {row['what']}, and no session ends after that",
            "Give them a time, or delete them.",
            row["rows"],
            row["ids"],
        )
        for row in reader.ask("stop_impossible_times")
    ]
    found += [
        Question(
            "overlap_ahead",
            f"sessions {row['what']} take the same coach at the same time",
            "Move or cancel one of the two.",
            row["rows"],
            row["ids"],
        )
        for row in reader.ask("stop_overlaps_ahead")
    ]
    for rule in missing_rules(reader.conn):
        rows, ids = rows_against(reader, rule)
        first = "Put those rows right, then" if rows else "Run"
        answer = f"{first}: alter table public.{rule.table} {rule.statement}"
        found.append(Question("missing_rule", f"{rule.table} has lost {rule.what}", answer, rows, ids))
    return found


def _quoted(text: str) -> str:
    """One word for a shell, always in quotes."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _base_columns(reader: Reader) -> list[Question]:
    there = {(row["tbl"], row["col"]): row for row in reader.ask("base_columns", tables=base_tables())}
    wanted = base_columns()
    names = sorted({name for types in wanted.values() for name in types})
    ids = {row["name"]: row["type_id"] for row in reader.ask("type_ids", names=names)}
    found: list[Question] = []
    for (table, column), types in wanted.items():
        row = there.get((table, column))
        if row is None:
            found.append(Question("other_shape", f"{table}.{column} is missing", f"Add it as {types[0]}."))
        elif row["type_id"] not in [ids[name] for name in types]:
            found.append(
                Question("other_shape", f"{table}.{column} is {row['type']}, not {types[0]}", "Change its type.")
            )
    return found


def _added_columns(reader: Reader) -> list[Question]:
    """Columns that Loom adds to those tables, where something else has their names."""
    found: list[Question] = []
    for row in reader.ask("base_columns", tables=base_tables()):
        table, column = row["tbl"], row["col"]
        wanted = expected_facts().get(("column", f"public.{table}.{column}"))
        if wanted is None or (table, column) in base_columns():
            continue
        kind = re.split(" not null| generated| identity| default ", wanted)[0]
        if row["type"] != kind:
            found.append(
                Question(
                    "name_taken",
                    f"{table}.{column} is {row['type']}, and Loom's column of that name is {kind}",
                    f"Change its type, or: alter table public.{table} rename column {column} to {column}_before_loom",
                )
            )
    return found


def _enums(reader: Reader) -> list[Question]:
    there = {row["name"]: list(row["labels"]) for row in reader.ask("enum_labels")}
    found: list[Question] = []
    for name, labels in base_enums().items():
        missing = [label for label in labels if name in there and label not in there[name]]
        if missing:
            found.append(Question("other_shape", f"enum {name} lacks {', '.join(missing)}", "Add the labels."))
    for (kind, full), definition in expected_facts().items():
        name = full.removeprefix("public.")
        if kind == "enum" and name in there and name not in base_enums() and ", ".join(there[name]) != definition:
            found.append(
                Question(
                    "name_taken", f"type {name} is there with other labels", f"Rename it: alter type {name} rename to …"
                )
            )
    return found


def _tables(reader: Reader, decisions: Decisions) -> list[Question]:
    found: list[Question] = []
    there = {row["name"]: row for row in reader.ask("relations")}
    for table, columns in loom_columns().items():
        row = there.get(table)
        if row is None or table in decisions.renames:
            continue
        missing = [column for column in columns if column not in row["columns"]]
        if row["kind"] in "rp" and not missing:
            continue
        by_hand = table in REVIEW_TABLES - {"invoices"} or (
            table == "invoices" and "total_amount_cents" in row["columns"]
        )
        empty = row["kind"] == "r" and reader.is_empty(table)
        if empty and by_hand and decisions.drop_empty:
            continue
        rename = f"--rename-table {table}={table}_before_loom"
        found.append(
            Question(
                "half_adopted" if by_hand else "name_taken",
                f"table {table} is there without Loom's columns ({', '.join(missing[:5])}{' …' * (len(missing) > 5)})",
                f"--drop-empty-tables, or {rename}" if empty and by_hand else rename,
                row["estimated_rows"],
            )
        )
    found += [
        Question("name_taken", f"--rename-table {old}: Loom takes that table over", "Leave the option out.")
        for old in decisions.renames
        if old in base_tables()
    ]
    found += [
        Question("name_taken", f"--rename-table {old}: there is no such table", "Leave the option out.")
        for old in decisions.renames
        if old not in there
    ]
    found += [
        Question("name_taken", f"--rename-table {old}={new}: {new} is there already", "Choose another name.")
        for old, new in decisions.renames.items()
        if new in there
    ]
    if "payment_methods" in there and "is_default" in there["payment_methods"]["columns"]:
        found += [
            Question(
                "doubled_default_method",
                f"{row['what']} has {row['rows']} default payment methods",
                "Leave one of them the default.",
                row["rows"],
                row["ids"],
            )
            for row in reader.ask("stop_doubled_default_methods")
        ]
    return found


def _functions(reader: Reader) -> list[Question]:
    expected: dict[str, Any] = {name: text for (kind, name), text in expected_facts().items() if kind == "function"}
    return [
        Question(
            "name_taken",
            f"function {row['name']} is there and returns {row['result']}",
            "Rename or drop it: Loom has a function of that name.",
        )
        for row in reader.ask("functions")
        if row["name"] in expected and not expected[row["name"]].startswith(f"returns {row['result']} ")
    ]
