"""Every failure becomes a problem document, whoever raised it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from loom.core.errors import AppError
from loom.http.problem import problem_response

log = structlog.get_logger(__name__)

# What the framework itself refuses: status -> code, sentence.
_FRAMEWORK: dict[int, tuple[str, str]] = {
    400: ("malformed_json", "The body can't be read as JSON."),
    404: ("not_found", "There is no such address."),
    405: ("method_not_allowed", "This address has no such method."),
    413: ("body_too_large", "The body is larger than this server takes."),
    415: ("unsupported_media_type", "The body must be application/json."),
}


def install(app: FastAPI) -> None:
    """Make the handlers below the application's own."""
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _framework_error)


def _app_error(request: Request, exc: Exception) -> Response:
    error = cast("AppError", exc)
    if error.status == 503:
        log.warning("refused", code=error.code)
    elif error.status >= 500:
        log.error("refused", code=error.code, exc_info=error.__cause__ or error)
    return problem_response(request, error.status, error.code, error.detail, hint=error.hint, extra=error.extra)


def _framework_error(request: Request, exc: Exception) -> Response:
    error = cast("HTTPException", exc)
    code, detail = _FRAMEWORK.get(error.status_code, ("bad_request", "The request can't be served."))
    headers = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return problem_response(request, error.status_code, code, detail, headers=headers)


def _invalid_request(request: Request, exc: Exception) -> Response:
    found: Sequence[Any] = cast("RequestValidationError", exc).errors()
    kinds = {str(error["type"]) for error in found}
    if "json_invalid" in kinds:
        return problem_response(request, 400, "malformed_json", "The body is not JSON.")
    if "json_too_deep" in kinds:
        return problem_response(request, 400, "json_too_deep", "The body nests deeper than 32 levels.")
    if _undeclared_json(request, found):
        return problem_response(request, 415, "unsupported_media_type", "The body must be application/json.")
    errors = [
        {"location": ".".join(str(part) for part in error["loc"]), "code": error["type"], "message": error["msg"]}
        for error in found[:50]
    ]
    return problem_response(
        request, 422, "invalid_request", "A part of the request is missing or not allowed.", extra={"errors": errors}
    )


def _undeclared_json(request: Request, found: Sequence[Any]) -> bool:
    """Whether the body was left unread since its media type does not say JSON."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json")):
        return False
    return any(tuple(error["loc"]) == ("body",) and error["type"] != "missing" for error in found)
