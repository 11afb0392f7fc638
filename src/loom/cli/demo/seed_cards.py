"""The sample practice's gateways, a kept card, what was paid with it, and how the books compare with the gateways."""

from __future__ import annotations

from datetime import timedelta

import httpx

from loom.cli.demo import people
from loom.cli.demo.actors import Person
from loom.cli.demo.people import Account
from loom.core import clock
from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.billing.reconciliation import Reconciler

TRANZILA = {
    "provider": "tranzila",
    "display_name": "טרנזילה",
    "terminal": "demo",
    "app_key": "demo-application",
    "api_key": "secret-demo-application",
}
"""The sandbox takes any terminal, and knows this secret of an application; they open nothing anywhere else."""


async def cards(database: Database, settings: Settings) -> None:
    """Over HTTP, since all of it calls gateways. Each coach's first account is the one that new payments go to."""
    async with httpx.AsyncClient(base_url=settings.base_url, timeout=30) as http:

        async def signed_in(account: Account) -> Person:
            person = Person(account.name, account.email, http)
            await person.sign_in()
            return person

        maya, daniel, omer = [await signed_in(who) for who in (people.MAYA, people.DANIEL, people.OMER)]
        for coach in (maya, daniel):
            await coach.post("/v1/gateway-accounts", {"provider": "sandbox"})
        await maya.post("/v1/gateway-accounts", TRANZILA)
        await omer.post(
            "/v1/payment-methods",
            {
                "practice_id": (await maya.get("/v1/practice"))["id"],
                "card_token": "pm_card_visa",
                "consent_text": "מאיה כהן רשאית לחייב את הכרטיס עבור פגישות שהתקיימו.",
                "off_session": True,
                "is_default": True,
            },
        )
        [opened] = (await omer.get("/v1/invoices", status="pending"))["items"]
        await maya.post(f"/v1/invoices/{opened['id']}/charge")
    reconciler = Reconciler(database, settings)
    for account_id in await reconciler.accounts():
        await reconciler.run(account_id, clock.now() - timedelta(days=1), clock.now(), mend=False)
