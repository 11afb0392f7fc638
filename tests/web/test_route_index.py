"""The index finds the very routes that the framework would have found."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Match

from loom.web.route_index import RouteIndex


def index_of(app: FastAPI) -> RouteIndex:
    first = app.router.routes[0]
    assert isinstance(first, RouteIndex)
    return first


def address(pattern: str) -> str:
    parts = [str(uuid4()) if part.startswith("{") else part for part in pattern.split("/")]
    return "/".join(parts)


def by_trying_all(routes: list[Any], method: str, path: str) -> Any:
    scope = {"type": "http", "method": method, "path": path}
    for route in routes:
        match, _ = route.matches(dict(scope))
        if match is Match.FULL:
            return route
    return None


def test_every_route_is_found_and_is_the_first_that_fits(built_app: FastAPI) -> None:
    index = index_of(built_app)
    routes = [route for route in iter_route_contexts(built_app.routes) if getattr(route, "app", None) is not None]
    indexed = 0
    for route in routes:
        if not hasattr(route, "original_route"):
            continue
        for method in route.methods or ():
            path = address(str(route.path_format))
            found, tried = index.find(method, path), by_trying_all(routes, method, path)
            assert found.original_route is tried.original_route, (method, path)
            assert found.path_format == tried.path_format, (method, path)
            indexed += 1
    assert indexed > 100


def test_what_the_index_does_not_know_is_left_to_the_framework(built_app: FastAPI) -> None:
    index = index_of(built_app)
    for method, path in (("GET", "/nowhere"), ("BREW", "/v1/me"), ("GET", "/v1/me/"), ("GET", "//v1/me"), ("GET", "")):
        assert index.find(method, path) is None


async def test_other_methods_and_odd_paths_answer_as_before(client: httpx.AsyncClient) -> None:
    wrong = await client.delete("/v1/me")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert set(wrong.headers["allow"].split(", ")) <= {"GET", "PATCH"}
    assert (await client.get("/v1/me/")).status_code == 404
    assert (await client.get("/v1//me")).status_code == 404


def test_a_long_path_is_no_burden(built_app: FastAPI) -> None:
    started = time.process_time()
    assert index_of(built_app).find("GET", "/v1" * 20_000) is None
    assert time.process_time() - started < 1
