"""Bodies, idempotency keys and limits, on a small application of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import Response

from loom.core.errors import Conflict
from loom.core.settings import Settings
from loom.db.database import Database, Tx
from loom.features.identity.service import create_user
from loom.http import Input, RateLimit, Write, WriteScope
from loom.web.app import create_app

Headers = Callable[[UUID], dict[str, str]]


class Thing(Input):
    """What the routes below take."""

    name: str
    extras: dict[str, Any] | None = None


class Named(BaseModel):
    """What they give."""

    id: UUID
    name: str


def add_routes(app: FastAPI) -> None:
    """Rename oneself, in ways that a test can look at afterwards."""

    async def rename(body: Thing, write: Write) -> Response:
        return await write.run(lambda tx: _rename(tx, write, body), status=201, location=lambda it: f"/things/{it.id}")

    async def fail(body: Thing, write: Write) -> Response:
        async def work(tx: Tx) -> Named:
            await _rename(tx, write, body)
            raise Conflict("no", "Not today.")

        return await write.run(work)

    async def limited() -> Named:
        return Named(id=uuid4(), name="limited")

    app.add_api_route("/v1/rename", rename, methods=["POST"], response_model=Named, status_code=201)
    app.add_api_route("/v1/fail", fail, methods=["POST"], response_model=Named)
    app.add_api_route("/v1/limited", limited, dependencies=[RateLimit("limited", 3, per=3600)])


async def _rename(tx: Tx, write: WriteScope, body: Thing) -> Named:
    await tx.execute(
        "update public.users set first_name = concat(first_name, %(name)s::text) where id = %(id)s",
        {"name": body.name, "id": write.user_id},
    )
    return Named(id=uuid4(), name=body.name)


@pytest.fixture
async def http(settings: Settings, db: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings.model_copy(update={"rate_limits": True}), db)
    add_routes(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loom.test") as opened:
        yield opened


@pytest.fixture
async def user(db: Database) -> UUID:
    return (await create_user(db, email=f"{uuid4().hex}@people.test", role="client")).user_id


def name_of(database_url: str, user: UUID) -> str | None:
    with psycopg.connect(database_url) as conn:
        row = conn.execute("select first_name from public.users where id = %s", [user]).fetchone()
    assert row is not None
    return row[0]


async def test_the_same_request_with_the_same_key_gets_the_first_answer_byte_for_byte(
    http: httpx.AsyncClient, bearer: Headers, user: UUID, database_url: str
) -> None:
    headers = bearer(user) | {"Idempotency-Key": str(uuid4())}
    first = await http.post("/v1/rename", json={"name": "a"}, headers=headers)
    again = await http.post("/v1/rename", json={"name": "a"}, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert name_of(database_url, user) == "a"


async def test_a_key_does_not_serve_for_another_request(
    http: httpx.AsyncClient, bearer: Headers, user: UUID, database_url: str
) -> None:
    headers = bearer(user) | {"Idempotency-Key": "one"}
    await http.post("/v1/rename", json={"name": "a"}, headers=headers)
    for path, body in (("/v1/rename", {"name": "b"}), ("/v1/fail", {"name": "a"})):
        other = await http.post(path, json=body, headers=headers)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert name_of(database_url, user) == "a"


async def test_a_key_is_the_callers_own(
    http: httpx.AsyncClient, bearer: Headers, user: UUID, db: Database, database_url: str
) -> None:
    other = (await create_user(db, email=f"{uuid4().hex}@people.test", role="client")).user_id
    for somebody in (user, other):
        answer = await http.post("/v1/rename", json={"name": "a"}, headers=bearer(somebody) | {"Idempotency-Key": "k"})
        assert "idempotent-replayed" not in answer.headers
        assert name_of(database_url, somebody) == "a"


async def test_many_at_once_with_one_key_write_once(
    http: httpx.AsyncClient, bearer: Headers, user: UUID, database_url: str
) -> None:
    headers = bearer(user) | {"Idempotency-Key": "at-once"}
    answers = await asyncio.gather(*(http.post("/v1/rename", json={"name": "a"}, headers=headers) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert name_of(database_url, user) == "a"


async def test_a_refused_request_leaves_its_key_free(
    http: httpx.AsyncClient, bearer: Headers, user: UUID, database_url: str
) -> None:
    headers = bearer(user) | {"Idempotency-Key": "refused"}
    for _ in range(2):
        refused = await http.post("/v1/fail", json={"name": "a"}, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (409, "no")
    assert name_of(database_url, user) is None
    assert (await http.post("/v1/rename", json={"name": "b"}, headers=headers)).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "é".encode()])
async def test_an_odd_key_is_refused(http: httpx.AsyncClient, bearer: Headers, user: UUID, key: str | bytes) -> None:
    headers: Any = [*bearer(user).items(), ("Idempotency-Key", key)]
    answer = await http.post("/v1/rename", json={"name": "a"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_invalid")


def nested(depth: int) -> str:
    return '{"name": "a", "extras": ' + '{"x": ' * depth + "1" + "}" * depth + "}"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "invalid_request"),
        (b"{", 400, "malformed_json"),
        (b'{"name": "\xff"}', 400, "malformed_json"),
        (b'{"name": "a"} x', 400, "malformed_json"),
        (b'{"name": ' + b"9" * 5000 + b"}", 400, "malformed_json"),
        (b"[]", 422, "invalid_request"),
        (b"null", 422, "invalid_request"),
        (b'{"name": "a", "nmae": "b"}', 422, "invalid_request"),
        (b'{"name": 1}', 422, "invalid_request"),
        (b'{"name": "a\\u0000b"}', 422, "invalid_request"),
        (b'{"name": "\\ud83d"}', 422, "invalid_request"),
        (b'{"name": "a", "extras": {"x": NaN}}', 422, "invalid_request"),
        (b'{"name": "a", "extras": {"x\\u0000": 1}}', 422, "invalid_request"),
        (nested(40).encode(), 400, "json_too_deep"),
        (nested(90_000).encode(), 400, "malformed_json"),
        (json.dumps({"name": "x" * 10_000_000}).encode(), 413, "body_too_large"),
    ],
    ids=range(16),
)
async def test_a_bad_body_is_refused_and_writes_nothing(
    http: httpx.AsyncClient, bearer: Headers, user: UUID, database_url: str, content: bytes, status: int, code: str
) -> None:
    headers = bearer(user) | {"Content-Type": "application/json"}
    answer = await http.post("/v1/rename", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert name_of(database_url, user) is None


async def test_a_body_that_hides_its_size_is_cut_off_while_it_comes(
    http: httpx.AsyncClient, bearer: Headers, user: UUID
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 65536
            yield b" " * 65536

    headers = bearer(user) | {"Content-Type": "application/json"}
    answer = await http.post("/v1/rename", content=endless(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert sent < 3_000_000


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_body_must_be_declared_as_json(
    http: httpx.AsyncClient, bearer: Headers, user: UUID, media_type: str | None
) -> None:
    headers = bearer(user) | ({"Content-Type": media_type} if media_type else {})
    answer = await http.post("/v1/rename", content=b'{"name": "a"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_a_full_window_answers_429_with_the_time_to_wait(http: httpx.AsyncClient) -> None:
    answers = [await http.get("/v1/limited") for _ in range(7)]
    assert [answer.status_code for answer in answers[:3]] == [200, 200, 200]
    last = answers[-1]
    assert (last.status_code, last.json()["code"]) == (429, "rate_limited")
    assert int(last.headers["retry-after"]) == last.json()["retry_after"]


async def test_counting_at_once_lets_no_more_through(settings: Settings, db: Database) -> None:
    app = create_app(settings.model_copy(update={"rate_limits": True}), db)
    add_routes(app)
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://loom.test") as http:
        answers = await asyncio.gather(*(http.get("/v1/limited") for _ in range(12)))
    # Three, or six if the hour ends in between.
    assert sum(answer.status_code == 200 for answer in answers) in {3, 6}
