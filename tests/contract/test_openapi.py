"""What the OpenAPI document promises, seen as a document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from psycopg.rows import DictRow

Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def document(built_app: FastAPI) -> dict[str, Any]:
    return built_app.openapi()


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_every_error_of_every_route_is_a_problem(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                content = response["content"]
                assert list(content) == ["application/problem+json"], (path, method, status)
                assert content["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_operation_ids_are_unique_and_plain(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    assert [name for name in ids if not re.fullmatch(r"[a-z][a-z0-9_]*", name)] == []


def test_every_operation_says_what_it_is_for(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        assert operation.get("summary"), (path, method)
        assert operation.get("description"), (path, method)
        assert operation.get("tags"), (path, method)


def test_names_of_schemas_are_plain(document: dict[str, Any]) -> None:
    odd = [name for name in document["components"]["schemas"] if "__" in name or "-" in name]
    assert odd == []


def referenced(schema: object, document: dict[str, Any], seen: set[str]) -> None:
    if isinstance(schema, dict):
        name = str(schema.get("$ref", "")).removeprefix("#/components/schemas/")
        if name and name not in seen:
            seen.add(name)
            referenced(document["components"]["schemas"][name], document, seen)
        for value in schema.values():
            referenced(value, document, seen)
    elif isinstance(schema, list):
        for value in schema:
            referenced(value, document, seen)


def test_inputs_refuse_unknown_fields_and_outputs_promise_all_of_theirs(document: dict[str, Any]) -> None:
    inputs: set[str] = set()
    outputs: set[str] = set()
    for _, _, operation in operations(document):
        referenced(operation.get("requestBody"), document, inputs)
        for status, response in operation["responses"].items():
            if int(status) < 400:
                referenced(response, document, outputs)
    schemas = document["components"]["schemas"]
    lax = [
        name
        for name in inputs
        if schemas[name].get("type") == "object" and schemas[name].get("additionalProperties") is not False
    ]
    assert lax == []
    vague = [
        name
        for name in outputs
        if schemas[name].get("type") == "object"
        and set(schemas[name].get("properties", ())) != set(schemas[name].get("required", ()))
    ]
    assert vague == []


def test_writes_of_signed_in_users_take_an_idempotency_key(document: dict[str, Any]) -> None:
    # Answers of these hold secrets or are the same every time; they are not kept. Who is typing is stored nowhere.
    without_key = ("/v1/auth/", "/v1/me/", "/v1/live/", "/v1/conversations/{conversation_id}/typing")
    for path, method, operation in operations(document):
        if method == "get" or path.startswith(without_key) or {} in operation.get("security", [{}]):
            continue
        names = {parameter["name"].lower() for parameter in operation.get("parameters", [])}
        assert "idempotency-key" in names, (path, method)


def enums(schema: object) -> Iterator[frozenset[str]]:
    if isinstance(schema, dict):
        if "enum" in schema and all(isinstance(value, str) for value in schema["enum"]):
            yield frozenset(schema["enum"])
        for value in schema.values():
            yield from enums(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from enums(value)


def test_states_are_those_of_the_database(document: dict[str, Any], owner: psycopg.Connection[DictRow]) -> None:
    """An enum of the API that shares labels with one of the database has no label that the database lacks."""
    rows = owner.execute(
        "select t.typname as name, array_agg(e.enumlabel::text) as labels"
        " from pg_type as t join pg_enum as e on e.enumtypid = t.oid group by 1"
    ).fetchall()
    known = {row["name"]: frozenset(row["labels"]) for row in rows}
    for schema in ("User", "Session", "Attendee"):
        for field, column in (("role", "user_role"), ("status", None)):
            found = document["components"]["schemas"].get(schema, {}).get("properties", {}).get(field, {})
            labels = frozenset(found.get("enum", ()))
            if column is not None and labels and schema == "User":
                assert labels == known[column]
            elif labels:
                assert labels in known.values(), (schema, field)
