"""Finds the route of a request by its path's segments instead of trying every route in turn.

The framework tries the patterns of all routers one after another, several times over for routers inside routers: with
some hundred routes that took longer than the rest of a read. The index goes first; what it does not know (a wrong
method, an unknown address, a mounted folder) it leaves to the framework.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send


@dataclass(slots=True)
class _Node:
    """One segment of paths: what follows by its text, what follows whatever the text, and the routes that end here."""

    named: dict[str, _Node] = field(default_factory=dict["str", "_Node"])
    any: _Node | None = None
    routes: dict[str, Any] = field(default_factory=dict[str, Any])


class RouteIndex(BaseRoute):
    """Stands in front of the application's routes."""

    def __init__(self, app: FastAPI) -> None:
        self._root = _Node()
        for route in iter_route_contexts(app.routes):
            if getattr(route, "app", None) is not None and hasattr(route, "original_route"):
                self._add(route)

    def find(self, method: str, path: str) -> Any:
        """The route of a path; text goes before a parameter. None where the index knows none."""
        return _walk(self._root, path.split("/")[1:], 0, method)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The framework's question whether this is the one."""
        if scope["type"] != "http" or scope.get("root_path"):
            return Match.NONE, {}
        route = self.find(scope["method"], scope["path"])
        if route is None:
            return Match.NONE, {}
        match, child = route.matches(scope)
        if match is not Match.FULL:
            return Match.NONE, {}
        return match, {**child, "route": route.original_route, "fastapi": {"effective_route_context": route}}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request by the route found."""
        await scope["fastapi"]["effective_route_context"].app(scope, receive, send)

    def _add(self, route: Any) -> None:
        segments = str(route.path_format).split("/")[1:]
        if route.path_format != route.path or any("{" in text and not _is_parameter(text) for text in segments):
            return  # a parameter that spans segments or only a part of one: the framework's business
        node = self._root
        for text in segments:
            if _is_parameter(text):
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.named.setdefault(text, _Node())
        for method in route.methods or ():
            node.routes.setdefault(method, route)


def _is_parameter(text: str) -> bool:
    return text.startswith("{") and text.endswith("}")


def _walk(node: _Node, segments: list[str], at: int, method: str) -> Any:
    if at == len(segments):
        return node.routes.get(method)
    named = node.named.get(segments[at])
    found = _walk(named, segments, at + 1, method) if named is not None else None
    if found is None and node.any is not None:
        found = _walk(node.any, segments, at + 1, method)
    return found
