"""The OpenAPI document: what FastAPI derives, plus the errors that every route can answer with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts

from loom.http.auth import NEEDS_USER
from loom.http.limits import Limit
from loom.http.problem import Problem, problems

DESCRIPTION = """\
Sessions, money and conversations of a coaching practice.

* Send `Authorization: Bearer <access token>`; get one from `POST /v1/auth/sign-in`.
* Errors are `application/problem+json` with a stable `code` and the `request_id`.
* Lists answer `{items, next_cursor}`; pass `next_cursor` as `cursor` for the next page.
* Writes take an `Idempotency-Key`: the same request again gets the first answer again.
* Times are RFC 3339 in UTC, money is integer minor units with a currency.
"""

WRITES = {"post", "put", "patch", "delete"}


def install(app: FastAPI) -> None:
    """Make `app.openapi()` give the document below, made once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build(app)
        return app.openapi_schema

    app.openapi = document


def build(app: FastAPI) -> dict[str, Any]:
    """The document of all routes that are in the application now."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=DESCRIPTION,
        routes=app.routes,
        tags=app.openapi_tags,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    _add_problem(schemas)
    guards = _guards(app)
    for path, item in cast("dict[str, dict[str, Any]]", document["paths"]).items():
        for method, operation in item.items():
            found = guards.get((path, method), _Guards())
            if operation.get("security") and not found.signed_in:
                operation["security"].append({})
            _add_responses(path, method, operation, limited=found.limited)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _add_problem(schemas: dict[str, Any]) -> None:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas["Problem"] = schema


def _add_responses(path: str, method: str, operation: dict[str, Any], *, limited: bool) -> None:
    """Declare what follows from the shape of the route; what it declares itself stays."""
    responses = cast("dict[str, Any]", operation.setdefault("responses", {}))
    responses.pop("422", None)
    statuses = {400, 422, 500, 503}
    if operation.get("security"):
        statuses.add(401)
    if "{" in path or (method in WRITES and operation.get("security")):
        # A write that the policies refuse answers as if its object did not exist.
        statuses.add(404)
    if method in WRITES:
        statuses |= {409, 413}
    if "requestBody" in operation:
        statuses |= {413, 415}
    if limited:
        statuses.add(429)
    for status, response in problems(*sorted(statuses)).items():
        responses.setdefault(str(status), response)
    for status, response in responses.items():
        response["headers"] = _headers(int(status)) | response.get("headers", {})


def _headers(status: int) -> dict[str, Any]:
    headers: dict[str, Any] = {
        "X-Request-Id": {"description": "The request's id, also in every log line.", "schema": {"type": "string"}}
    }
    if status in {429, 503}:
        headers["Retry-After"] = {"description": "Seconds to wait.", "schema": {"type": "string"}}
    if status == 401:
        headers["WWW-Authenticate"] = {"description": "`Bearer`.", "schema": {"type": "string"}}
    return headers


@dataclass(slots=True)
class _Guards:
    """What stands before a route: a rate limit, the demand for a user."""

    limited: bool = False
    signed_in: bool = False


def _guards(app: FastAPI) -> dict[tuple[str, str], _Guards]:
    """By path and method."""
    found: dict[tuple[str, str], _Guards] = {}
    for context in iter_route_contexts(app.routes):
        dependant = getattr(context, "dependant", None)
        if isinstance(dependant, Dependant):
            guards = _Guards()
            _look_at(dependant, guards)
            for method in getattr(context, "methods", None) or ():
                found[str(getattr(context, "path_format", "")), method.lower()] = guards
    return found


def _look_at(dependant: Dependant, guards: _Guards) -> None:
    guards.limited = guards.limited or isinstance(dependant.call, Limit)
    guards.signed_in = guards.signed_in or dependant.call in NEEDS_USER
    for inner in dependant.dependencies:
        _look_at(inner, guards)
