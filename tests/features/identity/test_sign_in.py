"""Signing in, staying signed in, and being thrown out."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from psycopg.rows import DictRow

from loom.core.settings import Settings
from loom.db.database import Database
from loom.web.app import create_app
from tests.features.identity.conftest import MakePerson, as_bearer, signed_in

Owner = psycopg.Connection[DictRow]


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/v1/auth/refresh", json={"refresh_token": token})


def same(one: httpx.Response, other: httpx.Response) -> bool:
    """Byte for byte, apart from the request id."""

    def without_id(answer: httpx.Response) -> dict[str, Any]:
        return {name: value for name, value in answer.json().items() if name != "request_id"}

    return one.status_code == other.status_code and without_id(one) == without_id(other)


async def test_a_wrong_password_and_an_unknown_address_look_alike(
    client: httpx.AsyncClient, person: MakePerson
) -> None:
    somebody = await person()
    wrong = await client.post("/v1/auth/sign-in", json={"email": somebody.email, "password": "not the password"})
    unknown = await client.post("/v1/auth/sign-in", json={"email": "nobody@people.test", "password": "whatever"})
    assert wrong.json()["code"] == "invalid_credentials"
    assert same(wrong, unknown)


async def test_a_suspended_account_signs_in_no_more_and_sees_nothing(
    client: httpx.AsyncClient, person: MakePerson, owner: Owner
) -> None:
    somebody = await person()
    tokens = await signed_in(client, somebody)
    owner.execute("select public.set_user_status(%s, 'suspended')", [somebody.id])
    assert (await client.get("/v1/me", headers=as_bearer(tokens))).status_code == 404
    assert (await refresh(client, tokens["refresh_token"])).status_code == 401
    again = await client.post("/v1/auth/sign-in", json=somebody.credentials)
    assert (again.status_code, again.json()["code"]) == (403, "account_inactive")


async def test_each_refresh_token_works_once(client: httpx.AsyncClient, person: MakePerson) -> None:
    first = await signed_in(client, await person())
    second = await refresh(client, first["refresh_token"])
    assert second.status_code == 200
    third = await refresh(client, second.json()["refresh_token"])
    assert third.status_code == 200
    assert (await client.get("/v1/me", headers=as_bearer(third.json()))).status_code == 200


async def test_using_an_old_refresh_token_ends_the_sign_in(client: httpx.AsyncClient, person: MakePerson) -> None:
    first = await signed_in(client, await person())
    newest = first["refresh_token"]
    for _ in range(3):
        newest = (await refresh(client, newest)).json()["refresh_token"]
    reused = await refresh(client, first["refresh_token"])
    assert (reused.status_code, reused.json()["code"]) == (401, "refresh_token_reused")
    ended = await refresh(client, newest)
    assert (ended.status_code, ended.json()["code"]) == (401, "refresh_token_invalid")


async def test_of_two_refreshes_at_once_one_counts_as_reuse(client: httpx.AsyncClient, person: MakePerson) -> None:
    tokens = await signed_in(client, await person())
    answers = await asyncio.gather(*(refresh(client, tokens["refresh_token"]) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 401]


async def test_a_made_up_refresh_token_is_refused(client: httpx.AsyncClient) -> None:
    for token in ("x", f"{uuid4().hex}.{'a' * 43}", "é" * 10):
        answer = await refresh(client, token)
        assert (answer.status_code, answer.json()["code"]) == (401, "refresh_token_invalid")


async def test_signing_out_ends_this_sign_in_only(client: httpx.AsyncClient, person: MakePerson) -> None:
    somebody = await person()
    here, there = await signed_in(client, somebody), await signed_in(client, somebody)
    out = await client.post("/v1/auth/sign-out", json={"refresh_token": here["refresh_token"]})
    assert out.status_code == 204
    assert (await refresh(client, here["refresh_token"])).status_code == 401
    assert (await refresh(client, there["refresh_token"])).status_code == 200


async def test_signing_out_everywhere_ends_all(client: httpx.AsyncClient, person: MakePerson) -> None:
    somebody = await person()
    here, there = await signed_in(client, somebody), await signed_in(client, somebody)
    assert (await client.post("/v1/auth/sign-out-everywhere", headers=as_bearer(here))).status_code == 204
    for tokens in (here, there):
        assert (await refresh(client, tokens["refresh_token"])).status_code == 401


async def test_guessing_is_slowed_down_for_known_and_unknown_addresses_alike(
    settings: Settings, db: Database, person: MakePerson
) -> None:
    app = create_app(settings.model_copy(update={"rate_limits": True}), db)
    known, unknown = (await person()).email, f"{uuid4().hex}@people.test"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loom.test") as http:
        for email in (known, unknown):
            # Eleven tries pass the limit of five a minute even if a minute ends between them.
            answers = [
                await http.post("/v1/auth/sign-in", json={"email": email, "password": f"guess number {n}"})
                for n in range(11)
            ]
            assert answers[0].status_code == 401
            last = answers[-1]
            assert (last.status_code, last.json()["code"]) == (429, "rate_limited")
            assert 1 <= int(last.headers["retry-after"]) <= 3600


async def test_no_refresh_token_lies_in_clear_in_the_database(
    client: httpx.AsyncClient, person: MakePerson, owner: Owner
) -> None:
    tokens = await signed_in(client, await person())
    secret = tokens["refresh_token"].partition(".")[2]
    kept = owner.execute("select s::text as row from private.auth_sessions as s").fetchall()
    assert kept
    assert not any(secret in row["row"] for row in kept)


async def test_where_another_issuer_is_set_the_own_one_says_so(settings: Settings, db: Database) -> None:
    app = create_app(settings.model_copy(update={"supabase_jwks_url": "https://issuer.example/jwks"}), db)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loom.test") as http:
        answer = await http.post("/v1/auth/sign-in", json={"email": "a@people.test", "password": "whatever"})
        keys = await http.get("/.well-known/jwks.json")
    assert (answer.status_code, answer.json()["code"]) == (409, "external_issuer")
    assert (keys.status_code, keys.json()["code"]) == (404, "external_issuer")
