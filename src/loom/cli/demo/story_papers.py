"""Step 6: sessions paid in advance are used up one by one, and a document reaches somebody without an account."""

from __future__ import annotations

from datetime import timedelta

import httpx

from loom.cli.demo import people
from loom.cli.demo.stage import Stage
from loom.core import clock


async def papers(stage: Stage) -> None:
    """From a package to its last line in the ledger, and the invoice that sold it as a PDF."""
    maya, sarah = stage.people[people.MAYA.email], stage.people[people.SARAH.email]
    package = await maya.post(
        "/v1/packages",
        {
            "template_id": stage.facts["single_template"],
            "title": "Five single sessions",
            "sessions": 5,
            "price_cents": 170000,
            "currency": "ILS",
            "valid_days": 365,
        },
    )
    draft = await maya.post("/v1/invoices", {"client_id": sarah.user_id, "lines": []})
    sold = await maya.post(f"/v1/invoices/{draft['id']}/packages", {"package_id": package["id"]})
    invoice = await maya.post(f"/v1/invoices/{draft['id']}/finalize")
    stage.check("a package that is not paid yet is empty", sold["balance"] == 0)
    await maya.post(
        "/v1/payments",
        {"invoice_id": invoice["id"], "amount_cents": invoice["total_amount_cents"], "method": "cash"},
    )
    await _use(stage, sold["id"])
    await _on_paper(stage, invoice["id"])


async def _use(stage: Stage, credit_id: str) -> None:
    maya, sarah = stage.people[people.MAYA.email], stage.people[people.SARAH.email]
    start = clock.now() + timedelta(days=8)
    slots = (
        await sarah.get(
            f"/v1/coaches/{maya.user_id}/slots",
            template_id=stage.facts["single_template"],
            **{"from": start.isoformat(), "to": (start + timedelta(days=2)).isoformat()},
        )
    )["items"]
    wanted = {"template_id": stage.facts["single_template"], "starts_at": slots[0]["starts_at"]}
    session = await sarah.post("/v1/sessions", wanted)
    spent = await sarah.get(f"/v1/credits/{credit_id}")
    stage.check("booking takes one of five", spent["balance"] == 4)
    await sarah.post(f"/v1/sessions/{session['id']}/cancel", {"reason": "travelling"})
    left = await sarah.get(f"/v1/credits/{credit_id}")
    stage.table("the ledger of the package", [{k: e[k] for k in ("change", "reason")} for e in left["entries"]])
    stage.check("giving it up in time brings it back", left["balance"] == 5)
    much = await maya.call("POST", f"/v1/credits/{credit_id}/move", {"change": -6, "reason": "more than there is"})
    stage.check("below zero it never goes: 409", (much.status_code, much.json()["code"]) == (409, "credits_used_up"))


async def _on_paper(stage: Stage, invoice_id: str) -> None:
    maya, sarah = stage.people[people.MAYA.email], stage.people[people.SARAH.email]
    prints = [await person.call("GET", f"/v1/invoices/{invoice_id}/pdf") for person in (maya, sarah)]
    stage.check("the invoice is a PDF", prints[0].content.startswith(b"%PDF"))
    stage.check("to coach and client the same, byte for byte", prints[0].content == prints[1].content)
    link = httpx.URL((await maya.post(f"/v1/invoices/{invoice_id}/links", {"days": 7}))["url"]).path
    nobody = await maya.http.get(f"{link}/document.pdf")
    stage.check("a link shows it to whoever has no account", nobody.content == prints[0].content)
    await maya.call("DELETE", f"/v1/invoices/{invoice_id}/links")
    stage.check("until it is taken back: 404", (await maya.http.get(link)).status_code == 404)
    await maya.post(f"/v1/invoices/{invoice_id}/send")

    async def sent() -> bool:
        [send] = (await maya.get(f"/v1/invoices/{invoice_id}/sends"))["items"]
        return send["sent_at"] is not None

    await stage.until("the mail", sent)
    mail = await stage.mail_to(people.SARAH.email)
    names = [part.get_filename() for part in mail.iter_attachments()]
    stage.check("the mail carries it", names and str(names[0]).endswith(".pdf"))
