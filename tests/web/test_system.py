"""The server's own routes, and what surrounds every request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from psycopg.rows import DictRow

from loom.core.settings import Settings
from loom.db.database import Database
from loom.web.app import create_app
from tests.support.scheduling import add_user


async def test_health_answers_without_a_database(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


async def test_ready_names_the_newest_migration(client: httpx.AsyncClient) -> None:
    answer = await client.get("/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "schema_version": "20261123090000"}


async def test_every_answer_carries_a_request_id(client: httpx.AsyncClient) -> None:
    made = (await client.get("/health")).headers["x-request-id"]
    assert UUID(made)
    sent = await client.get("/nowhere", headers={"X-Request-Id": "front-end-0042"})
    assert sent.headers["x-request-id"] == "front-end-0042"
    assert sent.json()["request_id"] == "front-end-0042"


async def test_a_request_id_that_could_forge_log_lines_is_replaced(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health", headers={"X-Request-Id": "x y;level=error"})
    assert UUID(answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/health", 405, "method_not_allowed"),
        ("GET", "/nowhere%00", 400, "nul_byte"),
        ("GET", "/health?x=%00", 400, "nul_byte"),
        ("GET", "/health?verbose=1", 422, "invalid_request"),
    ],
)
async def test_what_the_framework_refuses_is_a_problem_too(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["type"] == f"urn:loom:problem:{code}"


async def test_the_bare_address_leads_to_the_api_pages(client: httpx.AsyncClient) -> None:
    answer = await client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


async def test_the_documentation_pages_load_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert "http" not in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    for asset in ("/docs/start.js", "/docs/assets/swagger-ui-bundle.js", "/docs/assets/swagger-ui.css"):
        assert f'"{asset}"' in page.text
        assert (await client.get(asset)).status_code == 200


async def test_the_keys_in_the_key_set_are_public_halves(client: httpx.AsyncClient) -> None:
    keys = (await client.get("/.well-known/jwks.json")).json()["keys"]
    assert keys[0]["alg"] == "ES256"
    assert all("d" not in key for key in keys)


@pytest.fixture
async def broken(settings: Settings, db: Database) -> AsyncIterator[httpx.AsyncClient]:
    """An application with a route that fails."""
    app = create_app(settings, db)
    add_failing_route(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loom.test") as http:
        yield http


def add_failing_route(app: FastAPI) -> None:
    async def fail() -> None:
        raise RuntimeError("the password is swordfish")

    app.add_api_route("/fail", fail)


async def test_what_nobody_handled_says_nothing_of_itself(broken: httpx.AsyncClient) -> None:
    answer = await broken.get("/fail")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "swordfish" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_cors_is_off_until_an_origin_is_named(
    client: httpx.AsyncClient, settings: Settings, db: Database
) -> None:
    ask = {"Origin": "https://front.example", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in (await client.options("/health", headers=ask)).headers
    app = create_app(settings.model_copy(update={"cors_origins": ["https://front.example"]}), db)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loom.test") as http:
        allowed = await http.options("/health", headers=ask)
        assert allowed.headers["access-control-allow-origin"] == "https://front.example"
        other = await http.options("/health", headers=ask | {"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_metrics_count_by_route_pattern_where_switched_on(settings: Settings, db: Database) -> None:
    app = create_app(settings.model_copy(update={"metrics": True}), db)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loom.test") as http:
        await http.get("/health")
        text = (await http.get("/metrics")).text
    assert 'loom_http_requests_total{method="GET",route="/health",status="200"} 1.0' in text


async def test_metrics_and_log_name_the_whole_pattern_of_a_route(settings: Settings, db: Database) -> None:
    app = create_app(settings.model_copy(update={"metrics": True}), db)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loom.test") as http:
        await http.get("/v1/users/5b0f8a57-6f1b-4f5e-9a37-1d4f2f6f8a11")
        text = (await http.get("/metrics")).text
    assert 'route="/v1/users/{user_id}",status="401"' in text
    assert "5b0f8a57" not in text


async def test_metrics_tell_how_the_books_stand_against_each_gateway(
    settings: Settings, db: Database, owner: psycopg.Connection[DictRow]
) -> None:
    coach = add_user(owner, "Noa", "coach")
    account, never = (gateway_of(owner, coach) for _ in range(2))
    owner.execute(
        "insert into public.reconciliations (gateway_account_id, practice_id, since, until, rows_there, rows_here,"
        " matched, findings, verify_seconds_p50, verify_seconds_p99)"
        " select g.id, g.practice_id, '2031-01-01', '2031-01-02', 8, 6, 6, '[{}, {}]', 4, 90"
        " from public.gateway_accounts g where g.id = %s", [account],
    )  # fmt: skip
    app = create_app(settings.model_copy(update={"metrics": True}), db)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loom.test") as http:
        text = (await http.get("/metrics")).text
    who = f'{{account="{account}",provider="sandbox"}}'
    assert f"loom_gateway_completeness_ratio{who} 0.75" in text
    assert f"loom_gateway_differences{who} 2.0" in text
    assert f'loom_gateway_verified_seconds{{account="{account}",provider="sandbox",quantile="0.99"}} 90.0' in text
    # Nothing was compared there yet, and nothing is claimed.
    assert f'loom_gateway_events_open{{account="{never}",provider="sandbox"}} 0.0' in text
    assert f'loom_gateway_completeness_ratio{{account="{never}"' not in text


def gateway_of(owner: psycopg.Connection[DictRow], coach: UUID) -> UUID:
    made = owner.execute(
        "insert into public.gateway_accounts (practice_id, provider, display_name, webhook_token_hash)"
        " select m.practice_id, 'sandbox', 'Cards', gen_random_uuid() from public.practice_members m"
        " where m.user_id = %s returning id", [coach],
    ).fetchone()  # fmt: skip
    assert made is not None
    return made["id"]
