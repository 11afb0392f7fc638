"""Problem details (RFC 9457): the one shape of every error that leaves the API."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

# Codes that any route may answer with, beside those of loom.core.errors. Features list their own in their errors.py.
ERROR_CODES: dict[str, str] = {
    "bad_request": "The request is not HTTP that Loom can read.",
    "malformed_json": "The body is not JSON.",
    "json_too_deep": "The body nests deeper than 32 levels.",
    "nul_byte": "The address holds a NUL byte.",
    "not_authenticated": "The route needs the bearer token of an active account.",
    "token_invalid": "The bearer token is not one that this server accepts: forged, malformed, or from another issuer.",
    "token_expired": "The bearer token was good and no longer is: refresh it.",
    "service_token_refused": "The token is a service-role token; these never enter over HTTP.",
    "method_not_allowed": "The address exists, the method does not.",
    "body_too_large": "The body is larger than this server takes.",
    "unsupported_media_type": "The body is not declared as application/json.",
    "invalid_request": "A field, parameter or header is missing, unknown or out of range; `errors` says which.",
    "invalid_cursor": "The cursor is not one that this list has given.",
    "idempotency_key_invalid": "The Idempotency-Key is empty, longer than 255 characters or not printable ASCII.",
    "idempotency_key_reused": "The Idempotency-Key was used for another request.",
    "rate_limited": "Too many requests of this kind: wait as long as Retry-After says.",
}


class InvalidField(BaseModel):
    """One thing wrong with the request: where (`body.email`), a stable code and a sentence."""

    location: str
    code: str
    message: str


class Problem(BaseModel):
    """An error as RFC 9457 has it, with a stable `code` and the request's id."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:loom:problem:not_found",
                    "title": "Not Found",
                    "status": 404,
                    "code": "not_found",
                    "detail": "There is no such thing.",
                    "request_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    hint: str | None = None
    errors: list[InvalidField] | None = None


def problem_response(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    hint: str | None = None,
    extra: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """The problem as a response. `extra` adds members; `retry_after` (seconds) among them becomes the header too."""
    members: dict[str, Any] = dict(extra or {})
    send = dict(headers or {})
    if "retry_after" in members:
        send.setdefault("Retry-After", str(members["retry_after"]))
    if status == 401:
        send.setdefault("WWW-Authenticate", "Bearer" if code == "not_authenticated" else 'Bearer error="invalid_token"')
    if status == 503:
        send.setdefault("Retry-After", "2")
    body: dict[str, Any] = {
        "type": f"urn:loom:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id(request),
    }
    if hint:
        body["hint"] = hint
    for name, value in members.items():
        body.setdefault(name, value)
    return Response(
        json.dumps(body, ensure_ascii=False, default=str), status_code=status, headers=send, media_type=MEDIA_TYPE
    )


def request_id(request: Request) -> str:
    """The id of the request, as the middleware set it."""
    return str(request.scope.get("state", {}).get("request_id", ""))


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route declares for OpenAPI: `responses=problems(404, 409)`.

    The statuses that follow from the shape of a route (401, 422, 429, 5xx and so on) are added by the application.
    """
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
