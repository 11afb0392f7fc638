"""Documents over HTTP: as PDFs, by mail and by link."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.documents import tasks
from loom.jobs.registry import JobContext
from loom.providers.email import Mailer, OutboxMailer
from loom.providers.errors import PermanentError, RetryableError
from tests.features.billing.world import World, addon, one, person
from tests.features.documents.test_pdf import PIXEL
from tests.support.pdf import text_of

Bearer = Callable[[Any], dict[str, str]]


async def test_payer_and_coach_get_the_same_pdf_and_strangers_none(
    client: httpx.AsyncClient, bearer: Bearer, world: World
) -> None:
    invoice = world.issued(12300)
    answers = [
        await client.get(f"/v1/invoices/{invoice}/pdf", headers=bearer(who)) for who in (world.coach, world.client)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].headers["content-type"] == "application/pdf"
    number = world.invoice(invoice)["document_number"]
    assert answers[0].headers["content-disposition"] == f'inline; filename="{number}.pdf"'
    assert answers[0].content == answers[1].content
    assert "123.00" in text_of(answers[0].content)
    hebrew = await client.get(f"/v1/invoices/{invoice}/pdf?language=he", headers=bearer(world.client))
    assert "סך הכול" in text_of(hebrew.content)
    for who in (person(world.owner, "client"), person(world.owner, "coach")):
        refused = await client.get(f"/v1/invoices/{invoice}/pdf", headers=bearer(who))
        unknown = await client.get(f"/v1/invoices/{uuid4()}/pdf", headers=bearer(who))
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        assert refused.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}


async def test_a_payment_does_not_change_the_pdf(client: httpx.AsyncClient, bearer: Bearer, world: World) -> None:
    invoice = world.issued(10000)
    before = await client.get(f"/v1/invoices/{invoice}/pdf", headers=bearer(world.coach))
    with world.coaching() as conn:
        conn.execute("select public.record_manual_payment(%s, 4000, 'cash')", [invoice])
    after = await client.get(f"/v1/invoices/{invoice}/pdf", headers=bearer(world.coach))
    assert after.content == before.content


async def test_receipts_and_credit_notes_are_documents_too(
    client: httpx.AsyncClient, bearer: Bearer, world: World
) -> None:
    world.owner.execute(
        "update public.practices set tax_scheme = 'registered', tax_id = '123456782' where id = %s", [world.practice]
    )
    invoice = world.draft(addon(10000), tax_rate_bp=1800)
    world.finalize(invoice)
    with world.coaching() as conn:
        conn.execute("select public.record_manual_payment(%s, 5900, 'bank_transfer', '4471')", [invoice])
        conn.execute("select public.credit_invoice(%s, 1180, 'agreed')", [invoice])
    kinds = {"invoice": "Invoice", "tax_invoice_receipt": "4471", "credit_note": "agreed"}
    for kind, said in kinds.items():
        found = one(
            world.owner,
            "select id as v from public.invoices where practice_id = %s and document_kind = %s",
            world.practice,
            kind,
        )
        answers = [
            await client.get(f"/v1/invoices/{found}/pdf?language=en", headers=bearer(who))
            for who in (world.coach, world.client)
        ]
        assert answers[0].content == answers[1].content
        assert said in text_of(answers[0].content), kind


async def test_a_draft_is_the_coachs_and_marked_as_one(client: httpx.AsyncClient, bearer: Bearer, world: World) -> None:
    draft = world.draft(addon(100))
    assert "Draft" in text_of((await client.get(f"/v1/invoices/{draft}/pdf", headers=bearer(world.coach))).content)
    assert (await client.get(f"/v1/invoices/{draft}/pdf", headers=bearer(world.client))).status_code == 404


async def test_a_link_shows_the_document_to_nobody_in_particular(
    client: httpx.AsyncClient, bearer: Bearer, world: World
) -> None:
    invoice = world.issued(10000)
    made = await client.post(f"/v1/invoices/{invoice}/links", json={"days": 3}, headers=bearer(world.coach))
    assert made.status_code == 201
    page = httpx.URL(made.json()["url"]).path
    path = page.replace("/pay/", "/v1/documents/")
    shown = await client.get(path)
    assert shown.json()["state"]["balance_cents"] == 10000
    pdf = await client.get(f"{path}/pdf")
    own = await client.get(f"/v1/invoices/{invoice}/pdf", headers=bearer(world.client))
    assert pdf.content == own.content
    revoked = await client.delete(f"/v1/invoices/{invoice}/links", headers=bearer(world.coach))
    assert revoked.json() == {"revoked": 1}
    for gone in (path, f"{path}/pdf", "/v1/documents/unknown"):
        assert (await client.get(gone)).json()["code"] == "not_found"
    assert (await client.get(page)).status_code == 404


async def test_the_letterhead_and_the_logo(client: httpx.AsyncClient, bearer: Bearer, world: World) -> None:
    coach = bearer(world.coach)
    empty = (await client.get("/v1/practice/letterhead", headers=coach)).json()
    assert empty == {
        "practice_id": str(world.practice),
        "footer": None,
        "transfer_details": None,
        "send_on_issue": False,
        "has_logo": False,
    }
    words = {"footer": "תודה", "transfer_details": "Bank 10", "send_on_issue": False}
    assert (await client.put("/v1/practice/letterhead", json=words, headers=coach)).json() == empty | words
    logo = {"content": base64.b64encode(PIXEL).decode()}
    assert (await client.put("/v1/practice/logo", json=logo, headers=coach)).json()["has_logo"] is True
    invoice = world.issued(10000)
    text = text_of((await client.get(f"/v1/invoices/{invoice}/pdf", headers=coach)).content)
    assert "Bank 10" in text
    assert "תודה" in text
    gone = await client.delete("/v1/practice/logo", headers=coach)
    assert gone.json() == empty | words
    for bad in (b"GIF89a", b"\xff\xd8\xff", PIXEL[:60]):
        refused = await client.put("/v1/practice/logo", json={"content": base64.b64encode(bad).decode()}, headers=coach)
        assert (refused.status_code, refused.json()["code"]) == (422, "logo_refused")
    for call in (client.get("/v1/practice/letterhead", headers=bearer(world.client)),
                 client.put("/v1/practice/letterhead", json=words, headers=bearer(world.client)),
                 client.put("/v1/practice/logo", json=logo, headers=bearer(world.client))):  # fmt: skip
        assert (await call).json()["code"] == "not_found"


class Broken(OutboxMailer):
    """A mail server that answers each try with the next of `answers`; None takes the mail."""

    def __init__(self, folder: Path, *answers: Exception | None) -> None:
        super().__init__(folder)
        self.answers = list(answers)

    async def send(self, message: Any) -> str:
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer
        return await super().send(message)


async def run_send(db: Database, settings: Settings, mailer: OutboxMailer, send_id: str) -> None:
    await tasks.send(JobContext(db, settings, {Mailer: mailer}), send_id=send_id)


async def asked(client: httpx.AsyncClient, bearer: Bearer, world: World, invoice: Any) -> str:
    answer = await client.post(f"/v1/invoices/{invoice}/send", json={}, headers=bearer(world.coach))
    assert answer.status_code == 202
    return answer.json()["id"]


@pytest.mark.parametrize(("language", "subject"), [("en", "Invoice"), ("he", "חשבון עסקה")])
async def test_the_mail_carries_the_pdf_and_a_link(
    client: httpx.AsyncClient,
    bearer: Bearer,
    world: World,
    db: Database,
    settings: Settings,
    tmp_path: Path,
    language: str,
    subject: str,
) -> None:
    world.owner.execute("update public.users set language = %s where id = %s", [language, world.client])
    invoice = world.issued(10000)
    mailer = OutboxMailer(tmp_path)
    send_id = await asked(client, bearer, world, invoice)
    await run_send(db, settings, mailer, send_id)
    await run_send(db, settings, mailer, send_id)
    [entry] = mailer.entries()
    mail = mailer.read(entry.name)
    number = world.invoice(invoice)["document_number"]
    assert mail["Subject"].startswith(f"{subject} {number}")
    assert mail["To"].endswith(f"{world.client}@example.test>")
    [attachment] = mail.iter_attachments()
    assert attachment.get_filename() == f"{number}.pdf"
    own = await client.get(f"/v1/invoices/{invoice}/pdf", headers=bearer(world.client))
    assert attachment.get_content() == own.content
    body = mail.get_body(("plain",))
    assert body is not None
    link = next(word for word in body.get_content().split() if "/pay/" in word)
    assert number in (await client.get(httpx.URL(link).path)).text
    [sent] = (await client.get(f"/v1/invoices/{invoice}/sends", headers=bearer(world.coach))).json()["items"]
    assert sent["sent_at"] is not None
    assert (await client.get(f"/v1/invoices/{invoice}/sends", headers=bearer(world.client))).json()["items"] == []


async def test_a_mail_that_cannot_leave_waits_and_one_that_is_refused_says_so(
    client: httpx.AsyncClient, bearer: Bearer, world: World, db: Database, settings: Settings, tmp_path: Path
) -> None:
    invoice = world.issued(100)
    send_id = await asked(client, bearer, world, invoice)
    mailer = Broken(tmp_path, RetryableError("busy"), PermanentError("550 no such mailbox"), None)
    with pytest.raises(RetryableError):
        await run_send(db, settings, mailer, send_id)
    row = world.row("select sent_at, failed_at from public.document_sends where id = %s", send_id)
    assert row == {"sent_at": None, "failed_at": None}
    await run_send(db, settings, mailer, send_id)
    row = world.row("select sent_at, failure from public.document_sends where id = %s", send_id)
    assert row == {"sent_at": None, "failure": "550 no such mailbox"}
    again = await asked(client, bearer, world, invoice)
    assert again != send_id
    await run_send(db, settings, mailer, again)
    assert len(mailer.entries()) == 1


async def test_nothing_is_sent_when_the_request_fails(client: httpx.AsyncClient, bearer: Bearer, world: World) -> None:
    draft = world.draft(addon(100))
    refused = await client.post(f"/v1/invoices/{draft}/send", json={}, headers=bearer(world.coach))
    assert refused.json()["code"] == "invoice_draft"
    assert one(world.owner, "select count(*) as v from public.document_sends where invoice_id = %s", draft) == 0
