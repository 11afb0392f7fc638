"""The cells of the matrix: what each of the world's people may do with each row of each table.

A cell is one line of text, the same in `matrix.csv` and as observed:

    *            every row of the world
    -            nothing, and silently: no error, no rows
    !            refused by a missing grant
    label …      exactly these rows (for insert: exactly these attempts of `inserts.toml`)
    label:STATE  this row (`*`: every row) or attempt ends in another error than the policies' own, as a guard's PT409
    column=row   move: values that this column of rows of one's own could be given, were policies all that guards it;
                 `column=*` for all of them: then it is the grants of columns and the triggers that keep it in place
    #n           update and delete: rows touched by a statement without a where clause, where that differs
"""

import csv
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from tests.policies.attempts import Identity, Outcome, attempt
from tests.policies.world import OWNER, World

HERE = Path(__file__).parent
VERBS = ("select", "insert", "update", "delete", "move")
ROLES = ("anon", "authenticated", "service_role")
API_SCHEMAS = ("public", "private")

Cell = dict[str, str]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view of the catalogue. `key` is its primary key (a view: its first column)."""

    schema: str
    name: str
    kind: str
    key: tuple[str, ...]
    references: Mapping[str, str]
    """uuid column → the table that it refers to"""

    @property
    def full(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def is_table(self) -> bool:
        return self.kind in {"r", "p"}

    @property
    def key_text(self) -> str:
        return "concat_ws('/', " + ", ".join(f"t.{column}::text" for column in self.key) + ")"


RELATIONS = """
select n.nspname, c.relname, c.relkind,
  coalesce(
    (select array_agg(a.attname::text order by k.place)
     from pg_catalog.pg_index i, unnest(i.indkey) with ordinality k (attnum, place), pg_catalog.pg_attribute a
     where i.indrelid = c.oid and i.indisprimary and a.attrelid = c.oid and a.attnum = k.attnum),
    (select array[a.attname::text] from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum = 1)
  ),
  coalesce(
    (select jsonb_object_agg(a.attname, fn.nspname || '.' || f.relname)
     from pg_catalog.pg_constraint k
     join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = any (k.conkey)
     join pg_catalog.pg_class f on f.oid = k.confrelid
     join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
     where k.conrelid = c.oid and k.contype = 'f' and a.atttypid = 'uuid'::regtype and fn.nspname <> 'auth'),
    '{}'
  )
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = any (%s) and c.relkind in ('r', 'p', 'v', 'm', 'f')
order by 1, 2
"""


def relations(conn: psycopg.Connection[Any]) -> list[Relation]:
    """Every table and view of the schemas that API roles can name."""
    rows = conn.execute(RELATIONS, (list(API_SCHEMAS),)).fetchall()
    return [Relation(schema, name, kind, tuple(key), references) for schema, name, kind, key, references in rows]


@dataclass(frozen=True, slots=True)
class Insert:
    """A row that somebody tries to insert. `@label` stands for the id of that label, `@me` for who tries."""

    table: str
    name: str
    values: Mapping[str, Any]
    setup: str | None = None

    def statement(self, world: World, identity: Identity) -> str:
        """The insert as `identity` tries it; whoever has no account tries it in the coach's name."""
        me = identity.user or world.id("coach")
        columns = sql.SQL(", ").join(sql.Identifier(column) for column in self.values)
        values = sql.SQL(", ").join(literal(world, value, me) for value in self.values.values())
        table = sql.Identifier(*self.table.split("."))
        return sql.SQL("insert into {} ({}) values ({})").format(table, columns, values).as_string(None)


def literal(world: World, value: Any, me: UUID) -> sql.Composable:
    """A value of `inserts.toml` as an SQL literal; `=expression` is taken as SQL."""
    if isinstance(value, str) and value.startswith("@"):
        value = me if value == "@me" else uuid4() if value == "@random" else world.id(value[1:])
    if isinstance(value, str) and value.startswith("="):
        return sql.SQL(value[1:])
    return sql.Literal(value)


def load_inserts() -> dict[str, list[Insert]]:
    """The attempts of `inserts.toml` by table, each named."""
    content = tomllib.loads((HERE / "inserts.toml").read_text(encoding="utf-8"))
    return {
        table: [Insert(table, name, values) for name, values in attempts.items()]
        for schema, tables in content.items()
        for table, attempts in ((f"{schema}.{name}", rows) for name, rows in tables.items())
    }


def load_matrix() -> dict[tuple[str, str], Cell]:
    """`matrix.csv` by (table, identity); the identity `*` stands for all that have no line of their own."""
    with (HERE / "matrix.csv").open(encoding="utf-8", newline="") as lines:
        return {(row["table"], row["identity"]): {verb: row[verb] for verb in VERBS} for row in csv.DictReader(lines)}


def expected_cell(matrix: Mapping[tuple[str, str], Cell], table: str, identity: str) -> Cell | None:
    return matrix.get((table, identity)) or matrix.get((table, "*"))


class Observer:
    """Reads the cells of a table off the database, on one connection that can take every API role."""

    def __init__(self, conn: psycopg.Connection[Any], world: World) -> None:
        self.conn = conn
        self.world = world
        self.relations = {relation.full: relation for relation in relations(conn)}
        self.inserts = load_inserts()
        self._touches: dict[str, dict[str, str]] = {}

    def observe(self, table: str) -> dict[str, Cell]:
        """The cells of `table` by identity, inside the caller's transaction; leaves nothing behind."""
        cells: dict[str, Cell] = {}
        for identity, cell in self.observe_each(table):
            cells.setdefault(identity, {}).update(cell)
        return cells

    def observe_each(self, table: str) -> Iterator[tuple[str, Cell]]:
        """The same one identity after another, the moves last: whoever looks for a difference can stop at the first."""
        relation = self.relations[table]
        cells: dict[str, Cell] = {}
        for identity in self.world.identities.values():
            cells[identity.name] = self._plain_cells(relation, identity)
            yield identity.name, cells[identity.name]
        for name, cell in self._moves(relation, cells).items():
            yield name, {"move": cell}

    def _statements(self, relation: Relation, identity: Identity) -> dict[str, list[str]]:
        """By verb, what `identity` tries: each row by itself, then all of them without naming any."""
        keys = list(self.world.labels[relation.full])
        deletes = [f"delete from {relation.full} t where {relation.key_text} = {quoted(key)}" for key in keys]
        return {
            "select": [f"select coalesce(array_agg({relation.key_text})::text, '{{}}') from {relation.full} t"],
            "insert": [insert.statement(self.world, identity) for insert in self.inserts.get(relation.full, [])],
            "update": self._updates(relation, keys, self.touch(relation).get(identity.role)),
            "delete": [*deletes, f"delete from {relation.full}"],
        }

    def keep_refused(self, relation: Relation, identity: Identity) -> None:
        """Tries every write of `identity` and keeps what touched no row: it must not have changed anything."""
        statements = self._statements(relation, identity)
        attempt(
            self.conn, identity, [one for verb in ("insert", "update", "delete") for one in statements[verb]], keep=True
        )

    def _plain_cells(self, relation: Relation, identity: Identity) -> Cell:
        keys = list(self.world.labels[relation.full])
        inserts = self.inserts.get(relation.full, [])
        statements = self._statements(relation, identity)
        outcomes = attempt(self.conn, identity, [statement for each in statements.values() for statement in each])
        cells: Cell = {}
        for verb in statements:
            mine, outcomes = outcomes[: len(statements[verb])], outcomes[len(statements[verb]) :]
            if verb == "select":
                cells[verb] = self._select_cell(relation, mine[0])
            elif verb == "insert":
                cells[verb] = insert_cell([insert.name for insert in inserts], mine)
            else:
                cells[verb] = write_cell(self.world.labels[relation.full], keys, mine)
        return cells

    def _updates(self, relation: Relation, keys: Sequence[str], touch: str | None) -> list[str]:
        column, _, value = (touch or f"{relation.key[0]}=").partition("=")
        own = f"update {relation.full} t set {column} = t.{column} where {relation.key_text} = "
        return [*(own + quoted(key) for key in keys), f"update {relation.full} set {column} = {value or column}"]

    def _select_cell(self, relation: Relation, outcome: Outcome) -> str:
        if outcome.state is not None:
            return "!" if outcome.refused_by_privilege else f":{outcome.state}"
        labels = self.world.labels[relation.full]
        seen = self.conn.execute("select %s::text[]", (outcome.value,)).fetchone()
        assert seen is not None
        return row_names([labels.get(key, f"?{key}") for key in seen[0]], len(labels))

    def touch(self, relation: Relation) -> dict[str, str]:
        """By role, `column=value` of an update that the role's grants allow and that no constraint refuses."""
        if relation.full not in self._touches:
            self._touches[relation.full] = find_touches(self.conn, relation)
        return self._touches[relation.full]

    def _moves(self, relation: Relation, cells: Mapping[str, Cell]) -> Cell:
        """Whose row it is, changed: tried with every column granted and triggers off, so that only policies answer."""
        moved = dict.fromkeys(self.world.identities, "-")
        if not relation.is_table:
            return moved
        touches = self.touch(relation)
        movers = [
            identity
            for identity in self.world.identities.values()
            if identity.role == "authenticated"
            and touches.get("authenticated")
            and cells[identity.name]["update"] != "-"
        ]
        if not movers:
            return moved
        with self.conn.transaction(force_rollback=True):
            self.conn.execute(f"alter table {relation.full} disable trigger user")
            self.conn.execute(f"grant update, select on {relation.full} to authenticated")
            for identity in movers:
                moved[identity.name] = self._moves_of(relation, identity)
        return moved

    def seen_by_anon(self, table: str) -> int:
        """Rows that anon would see had somebody granted it everything: policies alone must hide them all."""
        with self.conn.transaction(force_rollback=True):
            self.conn.execute(f"grant select on {table} to anon")
            outcome = attempt(self.conn, self.world.identities["anon"], [f"select count(*)::text from {table}"])[0]
        return int(outcome.value or 0)

    def _moves_of(self, relation: Relation, identity: Identity) -> str:
        tries: list[tuple[str, str]] = []
        own = {column: {str(uuid4()): "new"} for column in relation.key if column == "id"}
        others = own | {column: self.world.labels[target] for column, target in relation.references.items()}
        for column, values in others.items():
            for other, other_label in values.items():
                change = f"update {relation.full} t set {column} = {quoted(other)}"
                fresh = f"{column} is distinct from {quoted(other)}"
                # Without a where clause, nothing but the update policy's own check stands in the way: with one, the new
                # row must be visible too.
                tries.append((f"{column}={other_label}", change))
                tries += [
                    (
                        f"{column}={other_label}",
                        f"{change} where {relation.key_text} = {quoted(key)} and {fresh}",
                    )
                    for key in self.world.labels[relation.full]
                ]
        outcomes = attempt(self.conn, identity, [statement for _, statement in tries])
        # A constraint that refuses comes after the policies: they let it pass.
        done = [
            name
            for (name, _), outcome in zip(tries, outcomes, strict=True)
            if (outcome.state is None and outcome.rows) or (outcome.state is not None and outcome.state != "42501")
        ]
        return moved_names([name for name, _ in tries], done)


def moved_names(tries: Sequence[str], done: Sequence[str]) -> str:
    """`column=value` in short: `column=*` is every value there is."""
    tried, taken = values_by_column(tries), values_by_column(done)
    names = [
        f"{column}={value}"
        for column, values in sorted(taken.items())
        for value in (["*"] if values == tried[column] and len(values) > 1 else sorted(values))
    ]
    return " ".join(names) or "-"


def values_by_column(moves: Sequence[str]) -> dict[str, set[str]]:
    values: dict[str, set[str]] = {}
    for move in moves:
        column, _, value = move.partition("=")
        values.setdefault(column, set()).add(value)
    return values


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def row_names(names: Sequence[str], total: int) -> str:
    if not names:
        return "-"
    return "*" if len(names) == total and total > 1 else " ".join(sorted(names))


def insert_cell(names: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    if not names:
        return "-"
    if all(outcome.refused_by_privilege for outcome in outcomes):
        return "!"
    shown = [
        name if outcome.state is None else f"{name}:{outcome.state}"
        for name, outcome in zip(names, outcomes, strict=True)
        if outcome.state != "42501"
    ]
    return " ".join(sorted(shown)) or "-"


def write_cell(labels: Mapping[str, str], keys: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    """The cell of update or delete: one outcome per row, then that of the statement without a where clause."""
    *each, blind = outcomes
    if blind.refused_by_privilege and all(outcome.refused_by_privilege for outcome in each):
        return "!"
    done = [key for key, outcome in zip(keys, each, strict=True) if outcome.state is None and outcome.rows]
    odd: dict[str, list[str]] = {}
    for key, outcome in zip(keys, each, strict=True):
        if outcome.state is not None:
            odd.setdefault(outcome.state, []).append(labels[key])
    parts = [row_names([labels[key] for key in done], len(labels))] if done else []
    for state, names in sorted(odd.items()):
        parts += [f"{name}:{state}" for name in row_names(names, len(labels)).split()]
    # When each row alone says how it ends, the statement for all of them ends as the first that is refused.
    if blind.state is None and blind.rows != len(done):
        parts.append(f"#{blind.rows}")
    elif blind.state is not None and not odd:
        parts.append(f"#{blind.state}")
    return " ".join(parts) or "-"


COLUMNS = """
select a.attname, format_type(a.atttypid, a.atttypmod), a.attgenerated <> '',
  array(select r from unnest(%s::text[]) r where has_column_privilege(r, a.attrelid, a.attnum, 'update'))
from pg_catalog.pg_attribute a
where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""

CANDIDATES = {
    "boolean": ["true", "false"],
    "text": ["'x'", "null", "''"],
    "jsonb": ["'{}'"],
    "integer": ["1", "null", "60"],
    "bigint": ["1", "0"],
    "timestamp with time zone": ["now()", "null"],
    "uuid": ["null"],
}


def find_touches(conn: psycopg.Connection[Any], relation: Relation) -> dict[str, str]:
    """For each role with an updatable column: a column and a constant that the owner can give all rows."""
    if not relation.is_table:
        return {}
    granted: dict[str, list[tuple[str, str]]] = {role: [] for role in (*ROLES, OWNER.role)}
    for column, type_name, generated, roles in conn.execute(COLUMNS, (list(ROLES), relation.full)).fetchall():
        for role in (*roles, OWNER.role) if not generated else ():
            granted[role].append((column, type_name))
    found: dict[str, str] = {}
    for role, columns in granted.items():
        tries = [
            f"{column}={value}" for column, type_name in columns for value in CANDIDATES.get(type_name, ["default"])
        ]
        outcomes = attempt(conn, OWNER, [f"update {relation.full} set {one.replace('=', ' = ', 1)}" for one in tries])
        good = [one for one, outcome in zip(tries, outcomes, strict=True) if outcome.state is None]
        if columns:
            found[role] = good[0] if good else f"{columns[0][0]}="
    return found


def differences(expected: Cell, observed: Cell, table: str, identity: str) -> list[str]:
    """One sentence for each cell that is not as the matrix says."""
    return [
        f"{table} × {identity} × {verb}: expected {expected[verb]!r}, observed {observed[verb]!r}"
        for verb in observed
        if expected[verb] != observed[verb]
    ]
