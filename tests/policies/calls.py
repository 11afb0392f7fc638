"""The cells of functions: what each of the world's people gets from each function that an API role may run.

`functions.csv` has one line per call: function, call, one column per identity. `@label` in a call is the id of that
label, `@me` that of the caller (the coach's where the caller has none), `@random` one that nothing has. A cell says:

    !        not executable
    404      refused: the status of a PTxxx, or else the SQLSTATE
    ok       ran; `null`, `true`, `false` or a number of rows (`3 rows`) where the answer is that
"""

import csv
import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from tests.policies.attempts import Identity, Outcome, attempt
from tests.policies.cells import API_SCHEMAS, ROLES
from tests.policies.world import World

LABEL = re.compile(r"(?<![\w'])@([a-z][a-z0-9_-]*)\b")


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the catalogue with the API roles that may run it."""

    name: str
    signature: str
    returns: str
    is_set: bool
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    text: str
    expected: Mapping[str, str]

    @property
    def labels(self) -> set[str]:
        """The rows that the call names."""
        return set(LABEL.findall(self.text)) - {"me", "random"}

    def sql(self, world: World, identity: Identity, unknown: Set[str] = frozenset()) -> str:
        """The call with its labels filled in; those in `unknown` become ids that nothing has."""

        def fill(match: re.Match[str]) -> str:
            if match[1] == "me":
                return f"'{identity.user or world.id('coach')}'"
            if match[1] in {"random", *unknown}:
                return f"'{uuid4()}'"
            return f"'{world.id(match[1])}'"

        return LABEL.sub(fill, self.text)


FUNCTIONS = """
select n.nspname || '.' || p.proname, p.oid::regprocedure::text, p.prorettype::regtype::text, p.proretset,
  array(select r from unnest(%s::text[]) r where has_function_privilege(r, p.oid, 'execute'))
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where n.nspname = any (%s)
  and not exists (select from pg_catalog.pg_depend d where d.objid = p.oid and d.deptype = 'e')
order by 1, 2
"""


def functions(conn: psycopg.Connection[Any]) -> list[Function]:
    """Every function of the schemas that API roles can name, extensions' own apart."""
    rows = conn.execute(FUNCTIONS, (list(ROLES), list(API_SCHEMAS))).fetchall()
    return [
        Function(name, signature, returns, is_set, tuple(roles)) for name, signature, returns, is_set, roles in rows
    ]


def load_calls() -> list[Call]:
    with Path(__file__).with_name("functions.csv").open(encoding="utf-8", newline="") as lines:
        return [Call(row.pop("function"), row.pop("call"), row) for row in csv.DictReader(lines)]


def call_outcome(
    conn: psycopg.Connection[Any],
    world: World,
    identity: Identity,
    call: Call,
    function: Function,
    unknown: Set[str] = frozenset(),
) -> Outcome:
    """What the call gives `identity`; taken back."""
    arguments = call.sql(world, identity, unknown)
    statement = f"select {arguments}::text" if not function.is_set else f"select count(*)::text from {arguments}"
    return attempt(conn, identity, [statement])[0]


def call_cell(outcome: Outcome, function: Function) -> str:
    """The outcome in the notation of `functions.csv`."""
    if outcome.refused_by_privilege and "function" in (outcome.message or ""):
        return "!"
    if outcome.state is not None:
        return outcome.state.removeprefix("PT")
    return value_cell(outcome.value, function)


def value_cell(value: str | None, function: Function) -> str:
    if value is None or function.returns == "boolean":
        return value or "null"
    if function.is_set:
        return f"{value} rows"
    if function.returns.endswith("[]"):
        return f"{0 if value == '{}' else value.count(',') + 1} rows"
    answer = json.loads(value) if function.returns in {"json", "jsonb"} else None
    items = answer.get("items") if isinstance(answer, dict) else answer
    return f"{len(items)} rows" if isinstance(items, list) else "ok"
