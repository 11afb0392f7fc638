"""The sixth point of the story, over HTTP: whoever has no business with a row learns nothing from any route, not even
whether it is there, and changes nothing."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from tests.policies.bodies import body_of, query_of
from tests.policies.stage import Stage

Bearer = Callable[[Any], dict[str, str]]

# For each path parameter, rows that none of the outsiders below may see. Another coach's client is an outsider too.
ROWS = {
    "user_id": ["client"],
    "coach_id": ["client"],
    "coach_client_id": ["rel-client", "rel-guest"],
    "note_id": ["note-private", "note-shared"],
    "reflection_id": ["reflection-session", "reflection-free"],
    "notification_id": ["notice-client"],
    "template_id": ["offer-retired"],
    "session_id": ["upcoming", "group"],
    "outcome_id": ["outcome"],
    "series_id": ["row-of-sessions"],
    "request_id": ["asked"],
    "block_id": ["holiday"],
    "holiday_id": ["feast"],
    "attendee_id": ["upcoming--client", "group--guest"],
    "invoice_id": ["invoice", "draft"],
    "line_id": ["line", "line-draft"],
    "intent_id": ["intent"],
    "payment_id": ["payment"],
    "refund_id": ["refund"],
    "method_id": ["card"],
    "account_id": ["gateway"],
    "event_id": ["webhook"],
    "setup_id": ["setup"],
    "feed_id": ["feed-client"],
    "package_id": ["package-retired"],
    "credit_id": ["credit"],
    "conversation_id": ["direct", "circle"],
    "message_id": ["hello", "answer"],
    "attachment_id": ["file"],
    "upload_id": ["upload"],
    "suppression_id": ["dead-address"],
    "subscription_id": ["phone"],
}
OUTSIDERS = ("stranger", "other_client", "foreign_client", "other_coach", "former_member", "suspended")
# Routes that a secret in the address opens, not the caller.
TOKENS = {"token", "account_token"}
# Nor does the caller open these: a signature beside the address does.
SIGNED = {"/v1/uploads/{upload_id}/content", "/v1/attachments/{attachment_id}/content"}
WORDS = {"table": "journal", "emoji": "👍", "provider": "sandbox", "day": "2031-06-01", "country": "GB"}
# Somebody who has left still sees the seat that was theirs.
THEIRS = {("former_member", "group")}
# An empty list tells as little as a 404.
NOTHING = json.dumps({"items": [], "next_cursor": None})

# Lists that say something to everybody signed in: what is on offer, by whom, and what is one's own.
OPEN_LISTS = {
    "/v1/tax-rules",
    "/v1/coach-directory",
    "/v1/packages",
    "/v1/session-templates",
    "/v1/users",
    "/v1/notifications/preferences",
}
# A stream never ends, so it has tests of its own: tests/features/live.
STREAMS = {"/v1/live"}


@dataclass(frozen=True, slots=True)
class Route:
    path: str
    method: str
    operation: dict[str, Any]
    document: dict[str, Any]

    @property
    def parameters(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{") and part[1:-1] not in WORDS]

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"

    def request(self, rows: dict[str, str]) -> dict[str, Any]:
        """Arguments for httpx: a request that would be in order for whoever may make it."""
        asked: dict[str, Any] = {
            "method": self.method.upper(),
            "url": self.path.format(**rows, **WORDS),
            "params": query_of(self.document, self.operation),
        }
        body = body_of(self.document, self.operation)
        return asked | ({"json": body} if body is not None else {})


def routes(app: FastAPI) -> Iterator[Route]:
    document = app.openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield Route(path, method, operation, document)


def telling(answer: httpx.Response, ids: list[str]) -> tuple[int, str]:
    """An answer without what differs between any two: the request's id and the ids asked for."""
    text = answer.text
    for one in ids:
        text = text.replace(one, "ID")
    try:
        content = json.loads(text)
    except ValueError:
        return answer.status_code, text
    if isinstance(content, dict):
        for name in ("request_id", "instance"):
            content.pop(name, None)
    return answer.status_code, json.dumps(content, sort_keys=True)


def test_every_path_parameter_has_a_row_that_outsiders_do_not_see(app: FastAPI, stage: Stage) -> None:
    named = {parameter for route in routes(app) for parameter in route.parameters}
    assert named <= set(ROWS) | TOKENS, "name a row for them in ROWS"
    visible = stage.visible()
    for name in OUTSIDERS:
        assert not [
            row for row in ROWS["session_id"] + ROWS["invoice_id"] + ROWS["conversation_id"] if row in visible[name]
        ]


@pytest.mark.parametrize("outsider", OUTSIDERS)
async def test_a_row_of_others_answers_an_outsider_like_one_that_does_not_exist(
    app: FastAPI, client: httpx.AsyncClient, bearer: Bearer, stage: Stage, outsider: str
) -> None:
    headers = bearer(stage.world.id(outsider))
    visible = stage.visible()[outsider]
    before = stage.digests()
    wrong: list[str] = []
    for route in routes(app):
        if not route.parameters or set(route.parameters) & TOKENS or route.path in SIGNED:
            continue
        for row in ROWS[route.parameters[0]]:
            if row in visible or (outsider, row) in THEIRS:
                continue
            rows = {
                name: str(stage.world.id(row if place == 0 else ROWS[name][0]))
                for place, name in enumerate(route.parameters)
            }
            nothing = {name: str(uuid4()) for name in route.parameters}
            there = telling(await client.request(headers=headers, **route.request(rows)), list(rows.values()))
            nowhere = telling(await client.request(headers=headers, **route.request(nothing)), list(nothing.values()))
            if there != nowhere or (there[0] not in {401, 404} and there != (200, NOTHING)):
                wrong.append(f"{route} × {row}: {there} and {nowhere}")
    assert not wrong, "\n" + "\n".join(wrong)
    assert changed(stage, before) == []


def changed(stage: Stage, before: dict[str, str]) -> list[str]:
    return [table for table, digest in stage.digests().items() if before[table] != digest]


@pytest.mark.parametrize("outsider", ["stranger", "suspended"])
async def test_lists_are_empty_for_whoever_has_nothing(
    app: FastAPI, client: httpx.AsyncClient, bearer: Bearer, stage: Stage, outsider: str
) -> None:
    headers = bearer(stage.world.id(outsider))
    wrong: list[str] = []
    for route in routes(app):
        if route.method != "get" or route.parameters or not route.path.startswith("/v1/"):
            continue
        if route.path in OPEN_LISTS | STREAMS:
            continue
        answer = await client.request(headers=headers, **route.request({}))
        # A file has a heading and, for them, nothing below it.
        table = answer.headers["content-type"].startswith("text/csv")
        content = {"items": answer.text.splitlines()[1:]} if table else answer.json()
        if answer.status_code == 200 and content.get("items", []) != []:
            wrong.append(f"{route}: {answer.text[:200]}")
        assert answer.status_code < 500
    assert not wrong, "\n" + "\n".join(wrong)


async def test_without_a_token_every_row_answers_alike(app: FastAPI, client: httpx.AsyncClient, stage: Stage) -> None:
    wrong: list[str] = []
    before = stage.digests()
    for route in routes(app):
        if not route.parameters or set(route.parameters) & TOKENS or route.path in SIGNED:
            continue
        rows = {name: str(stage.world.id(ROWS[name][0])) for name in route.parameters}
        answer = await client.request(**route.request(rows))
        if answer.status_code != 401:
            wrong.append(f"{route}: {answer.status_code}")
    assert not wrong
    assert changed(stage, before) == []


@pytest.mark.parametrize("insider", ["client", "coach"])
async def test_the_same_requests_tell_insiders_something(
    app: FastAPI, client: httpx.AsyncClient, bearer: Bearer, stage: Stage, insider: str
) -> None:
    headers = bearer(stage.world.id(insider))
    visible = stage.visible()[insider]
    told: list[str] = []
    for route in routes(app):
        if (
            route.method != "get"
            or len(route.parameters) != 1
            or set(route.parameters) & TOKENS
            or route.path in SIGNED
        ):
            continue
        for row in ROWS[route.parameters[0]]:
            if row in visible:
                answer = await client.request(
                    headers=headers, **route.request({route.parameters[0]: str(stage.world.id(row))})
                )
                if answer.status_code == 200:
                    told.append(row)
    assert {"upcoming", "upcoming--client", "note-shared"} <= set(told)
