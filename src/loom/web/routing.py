"""Which route serves a request, and the query parameters that it knows."""

from __future__ import annotations

from typing import Any, cast

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.types import Scope


def served_by(scope: Scope) -> Any:
    """The route that serves the request, with the prefixes of the routers around it; None where there is none."""
    framework = cast("dict[str, Any]", scope.get("fastapi") or {})
    return framework.get("effective_route_context") or scope.get("route")


def route_pattern(scope: Scope) -> str:
    """The pattern of the route that served the request, such as /v1/sessions/{session_id}."""
    route = served_by(scope)
    return getattr(route, "path_format", None) or getattr(route, "path", None) or "(none)"


async def known_query_only(request: Request) -> None:
    """Refuse query parameters that the route does not know: a filter with a typing error must not show everything.

    Webhooks are let through, since what comes with them is not ours to say.
    """
    if not request.url.query or "/webhooks" in request.url.path:
        return
    dependant = getattr(served_by(request.scope), "dependant", None)
    if not isinstance(dependant, Dependant):
        return
    known = _query_names(dependant)
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise RequestValidationError(
            [
                {"type": "extra_forbidden", "loc": ("query", name[:100]), "msg": "There is no such parameter"}
                for name in unknown[:50]
            ]
        )


def _query_names(dependant: Dependant) -> set[str]:
    names = {field.alias for field in dependant.query_params}
    for inner in dependant.dependencies:
        names |= _query_names(inner)
    return names
