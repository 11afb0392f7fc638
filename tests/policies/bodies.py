"""Requests made up from an OpenAPI document: the smallest that its schemas take."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

SOMEBODY = str(UUID(int=0))
SOON = datetime.now(UTC).replace(microsecond=0, second=0) + timedelta(days=40)
BY_FORMAT = {
    "uuid": SOMEBODY,
    "date-time": SOON.isoformat(),
    "date": SOON.date().isoformat(),
    "time": "09:00",
    "email": "somebody@example.test",
    "uri": "https://push.example.test/9",
}
# Where a schema says less than the rules behind it do.
BY_NAME = {
    "timezone": "Asia/Jerusalem",
    "time_zone": "Asia/Jerusalem",
    "to": (SOON + timedelta(days=7)).isoformat(),
    "currency": "ILS",
    "p256dh": "a" * 87,
    "auth": "b" * 22,
    "emoji": "👍",
    "file_name": "plan.pdf",
    "file_type": "application/pdf",
    "endpoint": "https://push.example.test/9",
    "success_url": "http://127.0.0.1/",
    "cancel_url": "http://127.0.0.1/",
}


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with references followed and the first choice taken that is not null."""
    while "$ref" in schema or "anyOf" in schema or "allOf" in schema or "oneOf" in schema:
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        else:
            choices = schema.get("anyOf") or schema.get("oneOf") or schema["allOf"]
            schema = next(choice for choice in choices if choice.get("type") != "null")
    return schema


def value_of(document: dict[str, Any], schema: dict[str, Any], name: str = "") -> Any:
    """Something that the schema takes."""
    schema = resolved(document, schema)
    if "const" in schema or schema.get("enum"):
        return schema.get("const", (schema.get("enum") or [None])[0])
    if name in BY_NAME or schema.get("format") in BY_FORMAT:
        return BY_NAME.get(name, BY_FORMAT.get(schema.get("format", "")))
    kind = schema.get("type")
    if kind == "object":
        return object_of(document, schema)
    if kind == "array":
        return [value_of(document, schema["items"]) for _ in range(max(schema.get("minItems", 0), 1))]
    number = max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1, 1)
    plain = {"integer": int(number), "number": number, "boolean": True}
    return plain.get(str(kind), "x" * max(schema.get("minLength", 1), 3))


def object_of(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """What is required, and one thing more where nothing is: an empty change is refused before anybody is asked."""
    properties: dict[str, Any] = schema.get("properties", {})
    wanted = schema.get("required") or list(properties)[:1]
    return {name: value_of(document, properties[name], name) for name in wanted}


def body_of(document: dict[str, Any], operation: dict[str, Any]) -> Any:
    """A JSON body for the operation; None where it takes none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return value_of(document, content["schema"]) if content else None


def query_of(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    """The query parameters that the operation requires."""
    return {
        parameter["name"]: value_of(document, parameter["schema"], parameter["name"])
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query" and parameter.get("required")
    }
