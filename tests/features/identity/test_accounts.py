"""Making accounts, proving addresses, resetting passwords."""

from __future__ import annotations

from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow

from loom.core.errors import AppError
from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.identity.service import create_user
from loom.web.app import create_app
from tests.features.identity.conftest import PASSWORD, Mailbox, MakePerson, Person, as_bearer, signed_in

Owner = psycopg.Connection[DictRow]


def new_address() -> str:
    return f"{uuid4().hex[:12]}@people.test"


async def test_signing_up_verifying_and_signing_in(client: httpx.AsyncClient, mailbox: Mailbox) -> None:
    email = new_address()
    body = {"email": email.upper(), "password": PASSWORD, "first_name": "דנה", "language": "he"}
    answer = await client.post("/v1/auth/sign-up", json=body)
    assert answer.status_code == 202

    early = await client.post("/v1/auth/sign-in", json={"email": email, "password": PASSWORD})
    assert (early.status_code, early.json()["code"]) == (403, "email_not_verified")

    mails = await mailbox.to(email)
    assert mails[-1].startswith("אישור כתובת")
    token = await mailbox.token_to(email)
    assert (await client.post("/v1/auth/verify-email", json={"token": token})).status_code == 204
    again = await client.post("/v1/auth/verify-email", json={"token": token})
    assert (again.status_code, again.json()["code"]) == (422, "invalid_link")

    tokens = (await client.post("/v1/auth/sign-in", json={"email": email, "password": PASSWORD})).json()
    me = (await client.get("/v1/me", headers=as_bearer(tokens))).json()
    assert (me["email"], me["role"], me["first_name"], me["language"]) == (email, "client", "דנה", "he")


async def test_signing_up_can_not_choose_a_role(client: httpx.AsyncClient) -> None:
    body = {"email": new_address(), "password": PASSWORD, "role": "admin"}
    answer = await client.post("/v1/auth/sign-up", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"location": "body.role", "code": "extra_forbidden", "message": "Extra inputs are not permitted"}
    ]


async def test_signing_up_does_not_tell_whether_an_address_is_known(
    client: httpx.AsyncClient, person: MakePerson, mailbox: Mailbox
) -> None:
    known = await person()
    first = await client.post("/v1/auth/sign-up", json={"email": known.email, "password": "another password"})
    second = await client.post("/v1/auth/sign-up", json={"email": new_address(), "password": "another password"})
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert (await mailbox.to(known.email))[-1].startswith("You already have an account")
    assert (await client.post("/v1/auth/sign-in", json=known.credentials)).status_code == 200


async def test_the_newest_sign_up_counts_until_the_address_is_proven(
    client: httpx.AsyncClient, mailbox: Mailbox
) -> None:
    email = new_address()
    await client.post("/v1/auth/sign-up", json={"email": email, "password": "the stranger's password"})
    strangers_link = await mailbox.token_to(email)
    await client.post("/v1/auth/sign-up", json={"email": email, "password": PASSWORD})
    assert (await client.post("/v1/auth/verify-email", json={"token": strangers_link})).status_code == 422
    token = await mailbox.token_to(email)
    assert (await client.post("/v1/auth/verify-email", json={"token": token})).status_code == 204
    assert (await client.post("/v1/auth/sign-in", json={"email": email, "password": PASSWORD})).status_code == 200


async def test_no_token_lies_in_clear_in_the_database(
    client: httpx.AsyncClient, mailbox: Mailbox, owner: Owner
) -> None:
    email = new_address()
    await client.post("/v1/auth/sign-up", json={"email": email, "password": PASSWORD})
    queued = owner.execute("select args from jobs.procrastinate_jobs where args ->> 'email' = %s", [email]).fetchall()
    assert [row["args"] for row in queued] == [{"purpose": "verify_email", "email": email}]
    token = await mailbox.token_to(email)
    kept = owner.execute("select t::text as row from private.one_time_tokens as t").fetchall()
    assert kept
    assert not any(token in row["row"] for row in kept)


async def test_a_closed_server_lets_nobody_sign_up(settings: Settings, db: Database) -> None:
    app = create_app(settings.model_copy(update={"allow_sign_up": False}), db)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://loom.test") as http:
        answer = await http.post("/v1/auth/sign-up", json={"email": new_address(), "password": PASSWORD})
    assert (answer.status_code, answer.json()["code"]) == (403, "sign_up_closed")


async def test_resetting_a_password_ends_every_sign_in(
    client: httpx.AsyncClient, person: MakePerson, mailbox: Mailbox
) -> None:
    somebody = await person()
    tokens = await signed_in(client, somebody)
    asked = await client.post("/v1/auth/request-password-reset", json={"email": somebody.email})
    assert asked.status_code == 202
    token = await mailbox.token_to(somebody.email)
    body = {"token": token, "password": "a brand new password"}
    assert (await client.post("/v1/auth/reset-password", json=body)).status_code == 204
    assert (await client.post("/v1/auth/reset-password", json=body)).json()["code"] == "invalid_link"

    refused = await client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert (refused.status_code, refused.json()["code"]) == (401, "refresh_token_invalid")
    assert (await client.post("/v1/auth/sign-in", json=somebody.credentials)).status_code == 401
    fresh = Person(somebody.id, somebody.email, "a brand new password")
    await signed_in(client, fresh)


async def test_asking_for_a_reset_does_not_tell_whether_an_address_is_known(
    client: httpx.AsyncClient, person: MakePerson, mailbox: Mailbox
) -> None:
    known, unknown = (await person()).email, new_address()
    answers = [
        await client.post("/v1/auth/request-password-reset", json={"email": email}) for email in (known, unknown)
    ]
    assert answers[0].content == answers[1].content
    assert len(await mailbox.to(known)) == 1
    assert await mailbox.to(unknown) == []


async def test_an_expired_link_is_refused(
    client: httpx.AsyncClient, person: MakePerson, mailbox: Mailbox, owner: Owner
) -> None:
    somebody = await person()
    await client.post("/v1/auth/request-password-reset", json={"email": somebody.email})
    token = await mailbox.token_to(somebody.email)
    owner.execute(
        "update private.one_time_tokens set expires_at = now() - interval '1 second' where user_id = %s", [somebody.id]
    )
    answer = await client.post("/v1/auth/reset-password", json={"token": token, "password": "a brand new password"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_link")
    await signed_in(client, somebody)


async def test_a_link_of_one_purpose_serves_no_other(
    client: httpx.AsyncClient, person: MakePerson, mailbox: Mailbox
) -> None:
    somebody = await person()
    await client.post("/v1/auth/request-password-reset", json={"email": somebody.email})
    token = await mailbox.token_to(somebody.email)
    assert (await client.post("/v1/auth/verify-email", json={"token": token})).status_code == 422
    body = {"challenge_token": token, "code": "123456"}
    assert (await client.post("/v1/auth/second-factor", json=body)).status_code == 401


async def test_changing_the_password_asks_for_the_old_one(client: httpx.AsyncClient, person: MakePerson) -> None:
    somebody = await person()
    tokens = await signed_in(client, somebody)
    body = {"current_password": "not the password", "new_password": "a brand new password"}
    wrong = await client.post("/v1/me/password", json=body, headers=as_bearer(tokens))
    assert (wrong.status_code, wrong.json()["code"]) == (403, "invalid_credentials")
    right = await client.post("/v1/me/password", json=body | {"current_password": PASSWORD}, headers=as_bearer(tokens))
    assert right.status_code == 200
    old = await client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert old.status_code == 401
    new = await client.post("/v1/auth/refresh", json={"refresh_token": right.json()["refresh_token"]})
    assert new.status_code == 200


async def test_the_operator_makes_a_coach_with_a_practice(db: Database, owner: Owner) -> None:
    made = await create_user(db, email="Noa.Levi@People.test", role="coach", first_name="Noa")
    assert made.email == "noa.levi@people.test"
    assert made.password
    found = owner.execute("select role::text, email from public.users where id = %s", [made.user_id]).fetchone()
    assert found == {"role": "coach", "email": "noa.levi@people.test"}
    practice = owner.execute("select 1 from public.practice_members where user_id = %s", [made.user_id]).fetchone()
    assert practice is not None
    with pytest.raises(AppError) as refused:
        await create_user(db, email="noa.levi@people.test", role="client")
    assert refused.value.code == "email_taken"


@pytest.mark.parametrize(("email", "password"), [("not an address", PASSWORD), ("fine@people.test", "short")])
async def test_the_operator_makes_no_odd_accounts(db: Database, email: str, password: str) -> None:
    with pytest.raises(AppError) as refused:
        await create_user(db, email=email, role="client", password=password)
    assert refused.value.code == "invalid_account"
