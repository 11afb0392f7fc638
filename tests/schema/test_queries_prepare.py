"""Every query of every `queries.sql`, and of files like `gateway_queries.sql`, is prepared and planned as the role that
will run it, and its columns are compared with the row type and the parameters that the Python code gives it.

A query runs as `authenticated`; a line `-- role: service_role` (or `anon`) under its name says otherwise.
"""

import ast
import enum
import importlib
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel

SOURCE = Path(__file__).parents[2] / "src"
PARAMETER = re.compile(r"%\((\w+)\)s")
FETCHES = {"fetch_all", "fetch_one", "find_one"}


@dataclass(frozen=True, slots=True)
class Query:
    package: str
    """Dotted name of the package that has it."""
    name: str
    role: str
    text: str

    @property
    def parameters(self) -> list[str]:
        return list(dict.fromkeys(PARAMETER.findall(self.text)))

    @property
    def positional(self) -> str:
        """The text with `$1` in place of `%(name)s`, as the server takes it."""
        places = {name: f"${place}" for place, name in enumerate(self.parameters, start=1)}
        return PARAMETER.sub(lambda match: places[match[1]], self.text).replace("%%", "%")

    def __str__(self) -> str:
        return f"{self.package}.{self.name}"


def queries() -> Iterator[Query]:
    for path in sorted(SOURCE.glob("loom/**/*queries.sql")):
        blocks = re.split(r"^-- name: *(\w+) *$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for name, text in zip(blocks[1::2], blocks[2::2], strict=True):
            role = re.search(r"^-- role: *(\w+) *$", text, flags=re.MULTILINE)
            yield Query(
                ".".join(path.parent.relative_to(SOURCE).parts),
                name,
                role[1] if role else "authenticated",
                text.strip().rstrip(";"),
            )


@dataclass(frozen=True, slots=True)
class Use:
    """A place that runs a query: the row type and the parameters that it names there."""

    module: str
    query: str
    row: str | None
    parameters: frozenset[str] | None
    line: int


def modules(package: str) -> list[Path]:
    """Python files of a package, its subpackages included."""
    return sorted(SOURCE.joinpath(*package.split(".")).glob("**/*.py"))


def uses(package: str) -> Iterator[Use]:
    for path in modules(package):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            asked = node.args[0]
            if not (isinstance(asked, ast.Subscript) and isinstance(asked.slice, ast.Constant) and named(asked, "SQL")):
                continue
            row = node.args[2].id if len(node.args) > 2 and isinstance(node.args[2], ast.Name) else None
            given = node.args[1] if len(node.args) > 1 else None
            keys = None
            if isinstance(given, ast.Dict) and all(isinstance(key, ast.Constant) for key in given.keys):
                keys = frozenset(str(key.value) for key in given.keys if isinstance(key, ast.Constant))
            module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
            yield Use(module, str(asked.slice.value), row if node.func.attr in FETCHES else None, keys, node.lineno)


def named(node: ast.Subscript, name: str) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == name


ALL = list(queries())


@pytest.fixture(scope="module")
def conn(api_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(api_url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("set plan_cache_mode = force_generic_plan")
        yield connection


@pytest.mark.parametrize("query", ALL, ids=str)
def test_a_query_can_be_planned_as_the_role_that_runs_it(conn: psycopg.Connection[Any], query: Query) -> None:
    columns = describe(conn, query)
    for use in uses(query.package):
        if use.query != query.name:
            continue
        place = f"{use.module}:{use.line}"
        if use.parameters is not None:
            assert use.parameters == set(query.parameters), f"{place} gives {query} other parameters than it has"
        model = row_type(use)
        if model is not None:
            compare(place, model, columns)


@pytest.mark.parametrize("package", sorted({query.package for query in ALL}))
def test_every_query_is_used_and_every_use_has_a_query(package: str) -> None:
    written = {query.name for query in ALL if query.package == package}
    used = {use.query for use in uses(package)}
    assert used <= written, f"no file of queries has {sorted(used - written)}"
    text = "".join(path.read_text(encoding="utf-8") for path in modules(package))
    assert not [name for name in written if f'"{name}"' not in text], "queries that nothing runs"


def test_no_name_stands_twice_in_one_file() -> None:
    names = [str(query) for query in ALL]
    assert len(names) == len(set(names))


def test_a_query_that_its_role_may_not_run_is_noticed(conn: psycopg.Connection[Any]) -> None:
    secret = Query("loom", "secret", "authenticated", "select user_id from private.credentials")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        describe(conn, secret)


def describe(conn: psycopg.Connection[Any], query: Query) -> dict[str, int]:
    """Columns and type oids of `query`, prepared and planned as its role; raises what the server says."""
    conn.execute(f"set role {query.role}")
    try:
        conn.execute("deallocate all")
        prepared = conn.pgconn.prepare(b"q", query.positional.encode())
        if prepared.status != psycopg.pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(prepared)
        described = conn.pgconn.describe_prepared(b"q")
        # Only planning for execution looks at grants; nothing runs.
        nulls = f"({', '.join(['null'] * len(query.parameters))})" if query.parameters else ""
        conn.execute(f"explain execute q{nulls}")
        return {(described.fname(i) or b"").decode(): described.ftype(i) for i in range(described.nfields)}
    finally:
        conn.execute("reset role")


def row_type(use: Use) -> type[BaseModel] | None:
    """The model that the place names, where a name says it."""
    found = getattr(importlib.import_module(use.module), use.row, None) if use.row else None
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def compare(place: str, model: type[BaseModel], columns: dict[str, int]) -> None:
    fields = {
        alias: field
        for name, field in model.model_fields.items()
        for alias in ([str(field.validation_alias)] if field.validation_alias else [name])
    }
    missing = [name for name, field in fields.items() if field.is_required() and name not in columns]
    assert not missing, f"{place}: {model.__name__} needs {missing}, which the query does not give"
    # A column too many costs little; beside a field that gets none, it is a misspelt name.
    unknown = [name for name in columns if name not in fields]
    unfilled = [name for name in fields if name not in columns]
    assert not (unknown and unfilled), f"{place}: {unknown} go nowhere while {model.__name__} lacks {unfilled}"
    for name, oid in columns.items():
        if name not in fields:
            continue
        accepted = python_types_of_column(oid)
        wanted = python_types(fields[name].annotation)
        assert "Any" in wanted or wanted & accepted, f"{place}: {model.__name__}.{name} takes {wanted}, not {accepted}"


PYTHON_TYPES = {
    "bool": {"bool"},
    "int2": {"int"},
    "int4": {"int"},
    "int8": {"int"},
    "float8": {"float"},
    "numeric": {"Decimal"},
    "uuid": {"UUID"},
    "timestamptz": {"datetime"},
    "date": {"date"},
    "time": {"time"},
    "interval": {"timedelta"},
    "json": {"dict", "list"},
    "jsonb": {"dict", "list"},
    "bytea": {"bytes"},
}


def python_types_of_column(oid: int) -> set[str]:
    """What psycopg makes of a column; enums and everything unknown to it arrive as text."""
    info = psycopg.adapters.types.get(oid)
    if info is None:
        return {"str"}
    return {"list"} if oid == info.array_oid else PYTHON_TYPES.get(info.name, {"str"})


def python_types(annotation: Any) -> set[str]:  # noqa: PLR0911 - one line per kind of annotation
    """Names of the plain types that an annotation takes: optionals, literals, enums and aliases opened."""
    origin = typing.get_origin(annotation)
    if annotation is Any:
        return {"Any"}
    if origin is typing.Literal:
        return {type(value).__name__ for value in typing.get_args(annotation)}
    if origin in {typing.Union, types.UnionType}:
        return set().union(*(python_types(part) for part in typing.get_args(annotation)))
    if origin is typing.Annotated:
        return python_types(typing.get_args(annotation)[0])
    if origin is not None:
        return {origin.__name__}
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {"str"}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {"dict"}
    if isinstance(annotation, type):
        return {parent.__name__ for parent in annotation.__mro__}
    return {"Any"}
