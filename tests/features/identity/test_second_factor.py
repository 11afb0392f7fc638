"""Codes of an authenticator app as a second factor."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
from joserfc import jws
from psycopg.rows import DictRow
from pyotp.hotp import HOTP

from tests.features.identity.conftest import PASSWORD, MakePerson, Person, as_bearer, signed_in

Owner = psycopg.Connection[DictRow]


class App:
    """An authenticator app: gives this step's code first and the next step's then, which is as far as a server goes."""

    def __init__(self, secret: str) -> None:
        self._codes = HOTP(secret)
        self._step = int(time.time()) // 30

    def next(self) -> str:
        code = self._codes.at(self._step)
        self._step += 1
        return code


async def enrolled(client: httpx.AsyncClient, somebody: Person) -> tuple[App, list[str], dict[str, str]]:
    tokens = await signed_in(client, somebody)
    start = await client.post("/v1/me/totp", json={"password": PASSWORD}, headers=as_bearer(tokens))
    assert start.status_code == 201, start.text
    app = App(start.json()["secret"])
    done = await client.post("/v1/me/totp/confirm", json={"code": app.next()}, headers=as_bearer(tokens))
    assert done.status_code == 200, done.text
    return app, done.json()["recovery_codes"], tokens


async def challenge_of(client: httpx.AsyncClient, somebody: Person) -> str:
    answer = (await client.post("/v1/auth/sign-in", json=somebody.credentials)).json()
    assert answer["status"] == "second_factor_required"
    assert "access_token" not in answer
    return answer["challenge_token"]


async def answer(client: httpx.AsyncClient, challenge: str, code: str) -> httpx.Response:
    return await client.post("/v1/auth/second-factor", json={"challenge_token": challenge, "code": code})


def claims(tokens: dict[str, str]) -> dict[str, Any]:
    payload = jws.extract_compact(tokens["access_token"].encode()).payload
    assert payload is not None
    return dict(json.loads(payload))


async def test_a_second_factor_is_set_up_and_then_asked_for(client: httpx.AsyncClient, person: MakePerson) -> None:
    somebody = await person()
    app, _, before = await enrolled(client, somebody)
    assert claims(before)["aal"] == "aal1"
    tokens = await answer(client, await challenge_of(client, somebody), app.next())
    assert tokens.status_code == 200
    assert claims(tokens.json())["aal"] == "aal2"
    refreshed = await client.post("/v1/auth/refresh", json={"refresh_token": tokens.json()["refresh_token"]})
    assert claims(refreshed.json())["aal"] == "aal2"
    old = await client.post("/v1/auth/refresh", json={"refresh_token": before["refresh_token"]})
    assert claims(old.json())["aal"] == "aal1"


async def test_the_address_for_the_app_names_account_and_secret(client: httpx.AsyncClient, person: MakePerson) -> None:
    somebody = await person()
    tokens = await signed_in(client, somebody)
    start = (await client.post("/v1/me/totp", json={"password": PASSWORD}, headers=as_bearer(tokens))).json()
    uri = urlsplit(start["otpauth_uri"])
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert parse_qs(uri.query) == {"secret": [start["secret"]], "issuer": ["Loom"]}


async def test_an_enrolment_that_no_code_confirmed_asks_for_nothing(
    client: httpx.AsyncClient, person: MakePerson
) -> None:
    somebody = await person()
    tokens = await signed_in(client, somebody)
    await client.post("/v1/me/totp", json={"password": PASSWORD}, headers=as_bearer(tokens))
    wrong = await client.post("/v1/me/totp/confirm", json={"code": "000000"}, headers=as_bearer(tokens))
    assert (wrong.status_code, wrong.json()["code"]) == (403, "invalid_code")
    assert (await signed_in(client, somebody))["status"] == "signed_in"


async def test_a_code_works_once_even_for_two_at_the_same_time(client: httpx.AsyncClient, person: MakePerson) -> None:
    somebody = await person()
    app, _, _ = await enrolled(client, somebody)
    code = app.next()
    challenges = [await challenge_of(client, somebody) for _ in range(3)]
    both = await asyncio.gather(*(answer(client, challenge, code) for challenge in challenges[:2]))
    assert sorted(one.status_code for one in both) == [200, 401]
    replay = await answer(client, challenges[2], code)
    assert (replay.status_code, replay.json()["code"]) == (401, "invalid_code")


async def test_the_code_that_switched_it_on_signs_nobody_in(client: httpx.AsyncClient, person: MakePerson) -> None:
    somebody = await person()
    tokens = await signed_in(client, somebody)
    start = (await client.post("/v1/me/totp", json={"password": PASSWORD}, headers=as_bearer(tokens))).json()
    code = App(start["secret"]).next()
    await client.post("/v1/me/totp/confirm", json={"code": code}, headers=as_bearer(tokens))
    assert (await answer(client, await challenge_of(client, somebody), code)).status_code == 401


async def test_a_challenge_works_once_and_not_for_long(
    client: httpx.AsyncClient, person: MakePerson, owner: Owner
) -> None:
    somebody = await person()
    app, _, _ = await enrolled(client, somebody)
    challenge = await challenge_of(client, somebody)
    assert (await answer(client, challenge, app.next())).status_code == 200
    again = await answer(client, challenge, "123456")
    assert (again.status_code, again.json()["code"]) == (401, "invalid_link")
    late = await challenge_of(client, somebody)
    owner.execute("update private.one_time_tokens set expires_at = now() where user_id = %s", [somebody.id])
    assert (await answer(client, late, "123456")).json()["code"] == "invalid_link"


async def test_a_recovery_code_works_once_in_place_of_a_code(
    client: httpx.AsyncClient, person: MakePerson, owner: Owner
) -> None:
    somebody = await person()
    _, codes, _ = await enrolled(client, somebody)
    assert len(set(codes)) == 10
    typed = codes[3].upper().replace("-", " ")
    assert (await answer(client, await challenge_of(client, somebody), typed)).status_code == 200
    assert (await answer(client, await challenge_of(client, somebody), codes[3])).status_code == 401
    kept = owner.execute("select c::text as row from private.credentials as c").fetchall()
    assert not any(codes[4].replace("-", "") in row["row"] for row in kept)


async def test_ten_wrong_codes_lock_the_second_factor(
    client: httpx.AsyncClient, person: MakePerson, owner: Owner
) -> None:
    somebody = await person()
    app, _, _ = await enrolled(client, somebody)
    challenge = await challenge_of(client, somebody)
    for _ in range(10):
        assert (await answer(client, challenge, "wrong-code")).status_code == 401
    right = app.next()
    locked = await answer(client, challenge, right)
    assert (locked.status_code, locked.json()["code"]) == (429, "rate_limited")
    owner.execute("update private.credentials set locked_until = now() where user_id = %s", [somebody.id])
    assert (await answer(client, challenge, right)).status_code == 200


async def test_switching_it_off_asks_for_both_factors(client: httpx.AsyncClient, person: MakePerson) -> None:
    somebody = await person()
    _, codes, tokens = await enrolled(client, somebody)

    async def disable(password: str, code: str) -> httpx.Response:
        body = {"password": password, "code": code}
        return await client.post("/v1/me/totp/disable", json=body, headers=as_bearer(tokens))

    assert (await disable("not the password", codes[0])).json()["code"] == "invalid_credentials"
    assert (await disable(PASSWORD, "not a code")).json()["code"] == "invalid_code"
    assert (await disable(PASSWORD, codes[0])).status_code == 204
    assert (await signed_in(client, somebody))["status"] == "signed_in"


async def test_new_recovery_codes_replace_the_old_ones(client: httpx.AsyncClient, person: MakePerson) -> None:
    somebody = await person()
    _, codes, tokens = await enrolled(client, somebody)
    made = await client.post("/v1/me/totp/recovery-codes", json={"code": codes[0]}, headers=as_bearer(tokens))
    assert made.status_code == 200
    assert (await answer(client, await challenge_of(client, somebody), codes[1])).status_code == 401
    fresh = made.json()["recovery_codes"][0]
    assert (await answer(client, await challenge_of(client, somebody), fresh)).status_code == 200


async def test_enrolling_again_is_refused_while_it_is_on(client: httpx.AsyncClient, person: MakePerson) -> None:
    somebody = await person()
    _, _, tokens = await enrolled(client, somebody)
    again = await client.post("/v1/me/totp", json={"password": PASSWORD}, headers=as_bearer(tokens))
    assert (again.status_code, again.json()["code"]) == (409, "second_factor_on")
