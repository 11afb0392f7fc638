"""Inviting a client: marked and queued together, mailed once it stands, answered by whoever has proven the address."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.practice.tasks import send_client_invitation
from loom.jobs.registry import JobContext
from loom.providers.email import Mailer, OutboxMailer
from tests.support.people import Owner, Person, a_coach, a_person, add_account, make_client, verify

Bearer = Callable[[Any], dict[str, str]]


@pytest.fixture
def coach(owner: Owner) -> Person:
    return a_coach(owner, "rivka")


async def invited(client: httpx.AsyncClient, headers: dict[str, str], email: str, name: str = "Dana") -> dict[str, Any]:
    added = await client.post("/v1/clients", json={"display_name": name, "email": email}, headers=headers)
    assert added.status_code == 201, added.text
    answer = await client.post(f"/v1/clients/{added.json()['id']}/invite", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def jobs(owner: Owner, relation: str) -> int:
    row = owner.execute(
        "select count(*) as n from jobs.procrastinate_jobs"
        " where task_name = 'practice.send_client_invitation' and args ->> 'coach_client_id' = %s",
        [relation],
    ).fetchone()
    assert row is not None
    return row["n"]


def later(owner: Owner, relation: str) -> None:
    """Ten minutes pass."""
    owner.execute(
        "update public.coach_clients set invited_at = invited_at - interval '11 minutes' where id = %s", [relation]
    )


@pytest.fixture
def outbox(tmp_path: Path) -> OutboxMailer:
    return OutboxMailer(tmp_path / "outbox")


@pytest.fixture
def context(db: Database, settings: Settings, outbox: OutboxMailer) -> JobContext:
    return JobContext(db, settings, {Mailer: outbox})


async def test_an_invitation_is_marked_and_queued_together(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    relation = await invited(client, bearer(coach.id), f"{uuid4().hex}@example.com")
    assert relation["status"] == "invited"
    assert relation["invited_at"] is not None
    assert jobs(owner, relation["id"]) == 1


async def test_a_second_invitation_waits_ten_minutes(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    relation = await invited(client, bearer(coach.id), f"{uuid4().hex}@example.com")
    again = await client.post(f"/v1/clients/{relation['id']}/invite", headers=bearer(coach.id))
    assert (again.status_code, again.json()["code"]) == (429, "invitation_too_soon")
    assert jobs(owner, relation["id"]) == 1
    later(owner, relation["id"])
    assert (await client.post(f"/v1/clients/{relation['id']}/invite", headers=bearer(coach.id))).status_code == 200
    assert jobs(owner, relation["id"]) == 2


async def test_who_has_no_address_or_an_account_is_not_invited(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    added = await client.post("/v1/clients", json={"display_name": "Noa"}, headers=bearer(coach.id))
    answer = await client.post(f"/v1/clients/{added.json()['id']}/invite", headers=bearer(coach.id))
    assert (answer.status_code, answer.json()["code"]) == (422, "client_email_missing")
    relation = make_client(owner, coach, a_person(owner))
    owner.execute("update public.coach_clients set email = %s where id = %s", [f"{uuid4().hex}@example.com", relation])
    answer = await client.post(f"/v1/clients/{relation}/invite", headers=bearer(coach.id))
    assert (answer.status_code, answer.json()["code"]) == (409, "client_has_account")


async def test_the_mail_leads_to_signing_up_with_the_address(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, context: JobContext, outbox: OutboxMailer
) -> None:
    address = f"{uuid4().hex}@example.com"
    relation = await invited(client, bearer(coach.id), address, "Dana <b>Levi</b>")
    await send_client_invitation(context, coach_client_id=relation["id"])
    await send_client_invitation(context, coach_client_id=relation["id"])
    first, second = outbox.entries()
    assert first.message_id == second.message_id, "a repeated try can be told by its id"
    message = outbox.read(first.name)
    assert message["To"].addresses[0].addr_spec == address
    assert message["Subject"] == "Rivka invites you to Rivka"
    plain, html = [part.get_content() for part in message.iter_parts()]
    link = f"{context.settings.base_url}/sign-up?lang=en&email={address}"
    assert link in plain
    assert f'href="{escape(link)}"' in html
    assert "<b>" not in html


async def test_a_hebrew_practice_writes_hebrew_from_right_to_left(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, context: JobContext, outbox: OutboxMailer
) -> None:
    await client.patch("/v1/practice", json={"language": "he", "name": "רבקה אימון"}, headers=bearer(coach.id))
    relation = await invited(client, bearer(coach.id), f"{uuid4().hex}@example.com", "דנה")
    await send_client_invitation(context, coach_client_id=relation["id"])
    message = outbox.read(outbox.entries()[0].name)
    assert "רבקה אימון" in message["Subject"]
    plain, html = [part.get_content() for part in message.iter_parts()]
    assert plain.startswith("שלום דנה,")
    assert '<html lang="he" dir="rtl">' in html


async def test_what_was_withdrawn_before_the_job_ran_is_not_mailed(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, context: JobContext, outbox: OutboxMailer
) -> None:
    relation = await invited(client, bearer(coach.id), f"{uuid4().hex}@example.com")
    await client.post(f"/v1/clients/{relation['id']}/end", headers=bearer(coach.id))
    await send_client_invitation(context, coach_client_id=relation["id"])
    await send_client_invitation(context, coach_client_id=str(uuid4()))
    assert outbox.entries() == []


async def test_signing_up_with_the_address_ties_the_client_once_it_is_proven(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    person = Person(uuid4(), f"{uuid4().hex}@example.com")
    relation = await invited(client, bearer(coach.id), person.email)
    url = f"/v1/clients/{relation['id']}"
    add_account(owner, person, verified=False)
    assert (await client.get(url, headers=bearer(person.id))).status_code == 404
    assert (await client.get("/v1/coach-invitations", headers=bearer(person.id))).json()["items"] == []
    verify(owner, person)
    tied = (await client.get(url, headers=bearer(coach.id))).json()
    assert (tied["client_id"], tied["status"]) == (str(person.id), "active")


async def test_who_has_an_account_already_answers_the_invitation(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    person = a_person(owner)
    relation = await invited(client, bearer(coach.id), person.email.upper())
    asked = (await client.get("/v1/coach-invitations", headers=bearer(person.id))).json()
    assert [(one["id"], one["coach_id"], one["coach_name"]) for one in asked["items"]] == [
        (relation["id"], str(coach.id), "Rivka")
    ]
    accepted = await client.post(f"/v1/coach-invitations/{relation['id']}/accept", headers=bearer(person.id))
    assert accepted.status_code == 204
    assert (await client.get("/v1/coach-invitations", headers=bearer(person.id))).json()["items"] == []
    assert [one["name"] for one in (await client.get("/v1/coaches", headers=bearer(person.id))).json()["items"]] == [
        "Rivka"
    ]
    tied = (await client.get(f"/v1/clients/{relation['id']}", headers=bearer(coach.id))).json()
    assert (tied["client_id"], tied["status"]) == (str(person.id), "active")


async def test_who_declines_is_asked_again_after_a_week_by_a_new_invitation(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    person = a_person(owner)
    relation = await invited(client, bearer(coach.id), person.email)
    url = f"/v1/coach-invitations/{relation['id']}/decline"
    assert (await client.post(url, headers=bearer(person.id))).status_code == 204
    assert (await client.post(url, headers=bearer(person.id))).status_code == 404
    ended = (await client.get(f"/v1/clients/{relation['id']}", headers=bearer(coach.id))).json()
    assert (ended["client_id"], ended["status"]) == (None, "ended")
    later(owner, relation["id"])
    again = await client.post(f"/v1/clients/{relation['id']}/invite", headers=bearer(coach.id))
    assert (again.status_code, again.json()["code"]) == (429, "invitation_too_soon")
    owner.execute(
        "update public.coach_clients set ended_at = now() - interval '8 days' where id = %s", [relation["id"]]
    )
    assert (await client.post(f"/v1/clients/{relation['id']}/invite", headers=bearer(coach.id))).status_code == 200
    assert len((await client.get("/v1/coach-invitations", headers=bearer(person.id))).json()["items"]) == 1


async def test_nobody_answers_somebody_elses_invitation(
    client: httpx.AsyncClient, bearer: Bearer, coach: Person, owner: Owner
) -> None:
    person = a_person(owner)
    relation = await invited(client, bearer(coach.id), person.email)
    unproven = Person(uuid4(), f"{uuid4().hex}@example.com")
    add_account(owner, unproven, verified=False)
    waiting = await invited(client, bearer(coach.id), unproven.email)
    for somebody, what in ((a_person(owner), relation), (coach, relation), (unproven, waiting)):
        for verb in ("accept", "decline"):
            answer = await client.post(f"/v1/coach-invitations/{what['id']}/{verb}", headers=bearer(somebody.id))
            assert answer.status_code == 404
    assert (await client.post(f"/v1/coach-invitations/{uuid4()}/accept", headers=bearer(person.id))).status_code == 404
