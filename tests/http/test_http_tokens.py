"""Which bearer tokens count, and as whom."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from pydantic import SecretStr

from loom.core.errors import AppError
from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.identity.service import create_user
from loom.providers.tokens import RemoteKeys, TokenVerifier
from loom.web.app import create_app

SECRET = "a shared secret of at least thirty-two bytes"
SOMEBODY = UUID("5b0f8a57-6f1b-4f5e-9a37-1d4f2f6f8a11")


def good_claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    claims = {
        "iss": "https://project.example/auth/v1",
        "aud": "authenticated",
        "sub": str(SOMEBODY),
        "role": "authenticated",
        "iat": now,
        "exp": now + 600,
    }
    return {name: value for name, value in (claims | changes).items() if value is not None}


def hs256(claims: dict[str, Any], secret: str = SECRET) -> str:
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(secret))


@pytest.fixture
def supabase() -> TokenVerifier:
    return TokenVerifier.shared_secret(SECRET, issuer="https://project.example/auth/v1", audience="authenticated")


async def refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(AppError) as refused:
        await verifier.subject(token)
    assert refused.value.status == 401
    return refused.value.code


async def test_a_good_token_gives_its_subject_and_nothing_else(supabase: TokenVerifier) -> None:
    assert await supabase.subject(hs256(good_claims(role="admin", user_role="admin"))) == SOMEBODY


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": 1}, "token_expired"),
        ({"exp": None}, "token_invalid"),
        ({"exp": "tomorrow"}, "token_invalid"),
        ({"nbf": 9999999999}, "token_invalid"),
        ({"iss": "https://other.example"}, "token_invalid"),
        ({"iss": None}, "token_invalid"),
        ({"aud": "somebody else"}, "token_invalid"),
        ({"aud": None}, "token_invalid"),
        ({"sub": None}, "token_invalid"),
        ({"sub": "not a uuid"}, "token_invalid"),
        ({"sub": 7}, "token_invalid"),
        ({"role": "service_role"}, "service_token_refused"),
        ({"role": "service_role", "sub": None, "aud": None}, "service_token_refused"),
    ],
)
async def test_a_token_with_odd_claims_is_refused(supabase: TokenVerifier, changes: dict[str, Any], code: str) -> None:
    assert await refusal(supabase, hs256(good_claims(**changes))) == code


async def test_a_projects_anonymous_token_is_nobody(supabase: TokenVerifier) -> None:
    assert await supabase.subject(hs256(good_claims(role="anon", sub=None, aud=None))) is None


async def test_forged_tokens_are_refused(supabase: TokenVerifier) -> None:
    token = hs256(good_claims())
    head, body, signature = token.split(".")
    unsigned = "eyJhbGciOiJub25lIn0"
    key = ECKey.generate_key("P-256")
    for forged in (
        hs256(good_claims(), "another secret of at least thirty-two bytes"),
        f"{unsigned}.{body}.",
        f"{unsigned}.{body}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body[:-2]}.{signature}",
        jwt.encode({"alg": "ES256"}, good_claims(), key),
        "",
        "a.b.c",
        "é",
        "x" * 9000,
    ):
        assert await refusal(supabase, forged) == "token_invalid"


async def test_a_public_key_does_not_serve_as_a_shared_secret() -> None:
    key = ECKey.generate_key("P-256", {"kid": "one"})
    remote = TokenVerifier.remote(keys_at(lambda _: serve([key])), issuer=None, audience="authenticated")
    head, body, _ = hs256(good_claims()).split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one"}').rstrip(b"=").decode()
    for secret in (key.as_pem(private=False), key.as_der(private=False)):
        mac = hmac.digest(secret, f"{head}.{body}".encode(), "sha256")
        forged = f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert await refusal(remote, forged) == "token_invalid"


async def test_a_token_seen_before_ends_when_it_expires(
    supabase: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = hs256(good_claims())
    assert await supabase.subject(token) == SOMEBODY
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 601)
    assert await refusal(supabase, token) == "token_expired"


def serve(keys: list[ECKey]) -> httpx.Response:
    return httpx.Response(200, json={"keys": [key.as_dict(private=False) for key in keys]})


def keys_at(answer: Callable[[httpx.Request], httpx.Response]) -> RemoteKeys:
    return RemoteKeys("https://project.example/jwks", httpx.MockTransport(answer))


async def test_keys_of_another_issuer_are_fetched_again_for_a_new_key_id() -> None:
    old, new = (ECKey.generate_key("P-256", {"kid": kid, "alg": "ES256"}) for kid in ("old", "new"))
    served, fetches = [old], [0]

    def answer(_: httpx.Request) -> httpx.Response:
        fetches[0] += 1
        return serve(served)

    keys = keys_at(answer)
    verifier = TokenVerifier.remote(keys, issuer=None, audience="authenticated")
    assert await verifier.subject(jwt.encode({"alg": "ES256", "kid": "old"}, good_claims(), old)) == SOMEBODY
    served.append(new)
    rotated = jwt.encode({"alg": "ES256", "kid": "new"}, good_claims(), new)
    # A made-up key id must not turn into a flood of fetches.
    assert await refusal(verifier, rotated) == "token_invalid"
    assert fetches == [1]
    keys.RETRY_SECONDS = 0.0
    assert await verifier.subject(rotated) == SOMEBODY
    assert fetches == [2]


async def test_without_the_other_issuers_keys_it_is_503() -> None:
    keys = keys_at(lambda _: httpx.Response(500))
    verifier = TokenVerifier.remote(keys, issuer=None, audience="authenticated")
    token = jwt.encode({"alg": "ES256", "kid": "x"}, good_claims(), ECKey.generate_key("P-256"))
    with pytest.raises(AppError) as refused:
        await verifier.subject(token)
    assert (refused.value.status, refused.value.code) == (503, "token_keys_unavailable")


async def test_the_application_answers_401_with_the_code(client: httpx.AsyncClient, app: FastAPI) -> None:
    issuer = app.state.issuer
    elsewhere = type(issuer)(issuer.keys, "https://other.example", issuer.audience, 600)
    expired = type(issuer)(issuer.keys, issuer.issuer, issuer.audience, -60)
    for header, code in (
        (None, "not_authenticated"),
        ("Basic abc", "token_invalid"),
        ("Bearer", "token_invalid"),
        ("Bearer nonsense", "token_invalid"),
        (f"Bearer {elsewhere.access_token(SOMEBODY, uuid4(), second_factor=False)}", "token_invalid"),
        (f"Bearer {expired.access_token(SOMEBODY, uuid4(), second_factor=False)}", "token_expired"),
    ):
        answer = await client.get("/v1/me", headers={"Authorization": header} if header else {})
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_supabase_token_counts_where_the_secret_is_set(settings: Settings, db: Database) -> None:
    made = await create_user(db, email=f"{uuid4().hex}@people.test", role="client")
    app = create_app(settings.model_copy(update={"supabase_jwt_secret": SecretStr(SECRET)}), db)
    own = create_app(settings, db).state.issuer.access_token(made.user_id, uuid4(), second_factor=False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loom.test") as http:
        token = hs256(good_claims(sub=str(made.user_id)))
        answer = await http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()["id"]) == (200, str(made.user_id))
        # There is one issuer at a time: Loom's own tokens count no more.
        refused = await http.get("/v1/me", headers={"Authorization": f"Bearer {own}"})
        assert refused.json()["code"] == "token_invalid"
