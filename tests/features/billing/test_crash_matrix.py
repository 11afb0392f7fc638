"""Six operations, five points, gateways with keys and without, three ways to die: the books are the gateway's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.db.database import Database
from loom.features.billing.cards import Cards
from loom.features.billing.inbox import Inbox
from loom.features.billing.service import Billing
from loom.providers.payments import new_sandbox_key, vault_of
from tests.features.billing.crashing import POINTS, WAYS, Doom, Point, Way, crashed
from tests.features.billing.world import World, one
from tests.support.sandbox import Sandbox

OPERATIONS = ("charge", "capture", "refund", "void", "save", "page")
CELLS = [
    (operation, point, keys, way)
    for operation in OPERATIONS
    for point in POINTS
    for keys in (True, False)
    for way in WAYS
]
CARD = {"number": "4242424242424242", "expiry": "12/34", "cvc": "123"}
TEST = Actor.service("crash on purpose")


class Till:
    """A practice with an account at one gateway, and a client with a kept card."""

    def __init__(self, world: World, sandbox: Sandbox, settings: Settings, api_url: str, *, keys: bool) -> None:
        self.world, self.sandbox, self.settings, self.api_url, self.keys = world, sandbox, settings, api_url, keys
        vault = vault_of(settings)
        self.key = new_sandbox_key()
        self.terminal = f"t{uuid4().hex[:16]}"
        secret = vault.seal(self.key if keys else "secret-app")
        world.owner.execute(
            "update public.gateway_accounts set provider = %s, external_id = %s, public_key = 'app' where id = %s",
            ["sandbox" if keys else "tranzila", self.terminal, world.account],
        )
        world.owner.execute(
            "insert into private.gateway_secrets (account_id, api_key, webhook_secret, webhook_token)"
            " values (%s, %s, %s, %s)",
            [world.account, secret, vault.seal("hook"), vault.seal("token")],
        )

    def go(self, work: Callable[[Database], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            async with await Database.open(self.api_url, max_size=2) as database:
                return await work(database)

        return asyncio.run(run())

    def janitor(self, looks: int = 3) -> None:
        """One pass: three looks, each when its time has come."""
        for _ in range(looks):
            for table in ("payment_intents", "payment_refunds", "payment_method_setups"):
                self.world.owner.execute(
                    f"update public.{table} set next_check_at = now() where next_check_at is not null"
                )
            self.go(lambda database: Inbox(database, self.settings).repair())

    def one(self, query: str, *params: object) -> Any:
        return one(self.world.owner, query, *params)

    async def keep_card(self, database: Any) -> None:
        async def begin(tx: Any) -> UUID:
            return await tx.fetch_value(
                "select public.begin_method_setup(%(p)s, 'Keep it.', true)", {"p": self.world.practice}
            )

        setup = await database.run(Actor.user(self.world.client), begin)
        database.beginning = False
        kept = Cards(database, self.settings)
        if self.keys:
            await kept.send_setup(setup, "pm_card_visa")
        else:
            page = await kept.open_page(setup, success_url="http://x/", cancel_url="http://x/", locale="en")
            async with httpx.AsyncClient(trust_env=False) as person:
                await person.post(page.url, data=CARD)
            await kept.check_setup(setup)

    # what the gateway has

    def at_gateway(self) -> list[tuple[str, int]]:
        """Movements there: charges less what is only held or was let go, and refunds."""
        if self.keys:
            charges = self.sandbox.call("GET", "/v1/charges?limit=100", None, self.key)["data"]
            refunds = self.sandbox.call("GET", "/v1/refunds?limit=100", None, self.key)["data"]
            moved = [("charge", charge["amount_captured"]) for charge in charges if charge["captured"]]
            return sorted(moved + [("refund", refund["amount"]) for refund in refunds])
        account = self.world.account

        async def listed(database: Database) -> list[tuple[str, int]]:
            from loom.features.billing import gateway_queries
            from loom.features.billing.reconciliation import days_before
            from loom.providers.payments import open_gateway

            call = await gateway_queries.account_call(database.reader(TEST), account)
            async with open_gateway(call.credentials, self.settings) as gateway:
                # Its clock may have been put forward.
                since, until = days_before(1)
                moved = [movement async for movement in gateway.list_movements(since, until + timedelta(hours=1))]
            return sorted((movement.kind, movement.amount_cents) for movement in moved if movement.status != "failed")

        return self.go(listed)

    def in_books(self) -> list[tuple[str, int]]:
        charges = self.world.owner.execute(
            "select 'charge', amount_cents from public.payments where gateway_account_id = %(a)s and status in"
            " ('paid', 'refunded') union all select 'refund', r.amount_cents from public.payment_refunds r"
            " join public.payments p on p.id = r.payment_id where p.gateway_account_id = %(a)s"
            " and r.status = 'succeeded'",
            {"a": self.world.account},
        ).fetchall()
        return sorted(tuple(row.values()) for row in charges)

    def held_at_gateway(self) -> int:
        """Holds that stand: neither captured nor let go."""
        if self.keys:
            intents = self.sandbox.call("GET", "/v1/payment_intents?limit=100", None, self.key)["data"]
            return sum(intent["status"] == "requires_capture" for intent in intents)
        return 0


class Operation:
    """One of the six: what has to be there before, what it does, and how to tell that it is done."""

    def __init__(self, till: Till, name: str) -> None:
        self.till, self.name = till, name
        world = till.world
        if name not in ("save", "page"):
            till.go(lambda database: till.keep_card(Plain(database)))
        self.method = (
            None
            if name in ("save", "page")
            else till.one("select id as v from public.payment_methods where user_id = %s", world.client)
        )
        self.invoice = None if name == "save" else world.issued(5000)
        self.intent: Any = None
        if name in ("capture", "void"):
            till.go(lambda database: self._charge(Plain(database), "manual"))
        if name == "refund":
            till.go(lambda database: self._charge(Plain(database), "automatic"))

    async def act(self, database: Any) -> None:
        """The whole of it, as a request does it: commit the wish, call, commit the outcome."""
        if self.name == "save":
            await self.till.keep_card(database)
        elif self.name == "charge":
            await self._charge(database, "automatic")
        elif self.name == "refund":
            await self._refund(database)
        elif self.name == "page":
            await self._page(database)
        else:
            await self._hold(database)

    async def _charge(self, database: Any, capture: str) -> None:
        billing = Billing(database, self.till.settings)
        payer = Actor.user(self.till.world.client)
        begin = "select public.begin_payment_intent(%(i)s, null, 'direct', %(c)s)"
        # The intent is there before; what may crash is the attempt.
        plain = getattr(database, "_real", database)
        self.intent = await plain.run(payer, lambda tx: tx.fetch_value(begin, {"i": self.invoice, "c": capture}))
        await Billing(plain, self.till.settings).send_intent(self.intent)
        attempt = "select public.begin_payment_attempt(%(i)s, %(m)s)"
        payment = await database.run(payer, lambda tx: tx.fetch_value(attempt, {"i": self.intent, "m": self.method}))
        database.beginning = False
        await billing.send_attempt(payment, None)

    async def _page(self, database: Any) -> None:
        billing = Billing(database, self.till.settings)
        payer = Actor.user(self.till.world.client)
        begin = "select public.begin_payment_intent(%(i)s, null, 'hosted')"
        self.intent = await database.run(payer, lambda tx: tx.fetch_value(begin, {"i": self.invoice}))
        page = await billing.open_page(self.intent, success_url="http://x/", cancel_url="http://x/", locale="en")
        async with httpx.AsyncClient(trust_env=False) as person:
            await person.post(page.url, data=CARD)
        database.beginning = False
        await billing.check_intent(self.intent)

    async def _refund(self, database: Any) -> None:
        coach = Actor.user(self.till.world.coach)
        payment = self.till.one(
            "select id as v from public.payments where invoice_id = %s and status = 'paid'", self.invoice
        )
        wish = "select public.request_refund(%(p)s, 2000, 'x')"
        refund = await database.run(coach, lambda tx: tx.fetch_value(wish, {"p": payment}))
        database.beginning = False
        await Billing(database, self.till.settings).send_refund(refund)

    async def _hold(self, database: Any) -> None:
        coach = Actor.user(self.till.world.coach)
        wish = {"capture": "select public.begin_capture(%(i)s)", "void": "select public.cancel_payment_intent(%(i)s)"}
        await database.run(coach, lambda tx: tx.fetch_value(wish[self.name], {"i": self.intent}))
        database.beginning = False
        billing = Billing(database, self.till.settings)
        await (billing.send_capture if self.name == "capture" else billing.cancel_at_gateway)(self.intent)

    def done(self) -> bool:
        """Whether the books say so."""
        world = self.till.world
        queries = {
            "charge": "select count(*) = 1 as v from public.payments where invoice_id = %s and status = 'paid'",
            "capture": "select count(*) = 1 as v from public.payments where invoice_id = %s and status = 'paid'",
            "refund": "select count(*) = 1 as v from public.payment_refunds r"
            " join public.payments p on p.id = r.payment_id where p.invoice_id = %s and r.status = 'succeeded'",
            "void": "select count(*) = 1 as v from public.payment_intents"
            " where invoice_id = %s and status = 'canceled'",
            "save": "select count(*) = 1 as v from public.payment_methods where user_id = %s",
            "page": "select count(*) = 1 as v from public.payments where invoice_id = %s and status = 'paid'",
        }
        return self.till.one(queries[self.name], world.client if self.name == "save" else self.invoice)


class Plain:
    """A database that does not crash, with the switch that one that does has."""

    def __init__(self, real: Database) -> None:
        self._real = real
        self.beginning = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


MOVED = {
    "charge": [("charge", 5000)],
    "capture": [("charge", 5000)],
    "refund": [("charge", 5000), ("refund", 2000)],
    "void": [],
    "save": [],
    "page": [("charge", 5000)],
}


@pytest.fixture
def settings(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(
        data_dir=tmp_path_factory.mktemp("crash"), sandbox_url=sandbox.url, tranzila_url=f"{sandbox.url}/tranzila"
    )


def cell_outcome(
    world: World,
    sandbox: Sandbox,
    settings: Settings,
    api_url: str,
    superuser_url: str,
    cell: tuple[Any, ...],
) -> str | None:
    """What is wrong after the crash, a pass of the janitor and, where nothing had happened, another try."""
    name, point, keys, way = cell
    till = Till(world, sandbox, settings, api_url, keys=keys)
    operation = Operation(till, name)
    doom = Doom(point, way, superuser_url)
    if not crashed(api_url, doom, operation.act):
        return f"{cell}: the point was not reached"
    till.janitor()
    if till.at_gateway() != till.in_books():
        return f"{cell}: at the gateway {till.at_gateway()}, in the books {till.in_books()}"
    if not operation.done():
        # Nothing had happened, and the books say so: whoever wanted it tries again.
        till.go(lambda database: operation.act(Plain(database)))
        till.janitor()
    if not operation.done():
        return f"{cell}: not done"
    if till.at_gateway() != MOVED[name] or till.in_books() != MOVED[name] or till.held_at_gateway():
        return f"{cell}: at the gateway {till.at_gateway()}, in the books {till.in_books()}, wanted {MOVED[name]}"
    return None


def few(campaign: bool) -> list[tuple[str, Point, bool, Way]]:
    """All cells of the campaign; else each operation at each point once, with kinds and ways in turn."""
    if campaign:
        return CELLS
    return [
        (operation, point, (row + column) % 2 == 0, WAYS[(row + column) % 3])
        for row, operation in enumerate(OPERATIONS)
        for column, point in enumerate(POINTS)
    ]


def test_after_a_crash_the_books_are_the_gateways_and_money_moved_once(
    owner: Any, as_user: Any, as_role: Any, sandbox: Sandbox, settings: Settings, api_url: str, superuser_url: str,
    campaign: bool,
) -> None:  # fmt: skip
    assert len(CELLS) == 180
    wrong = [
        problem
        for cell in few(campaign)
        if (
            problem := cell_outcome(
                World.make(owner, as_user, as_role), sandbox, settings, api_url, superuser_url, cell
            )
        )
    ]
    assert wrong == []


def test_without_the_janitor_a_lost_answer_leaves_the_books_behind(
    world: World,
    sandbox: Sandbox,
    settings: Settings,
    api_url: str,
    superuser_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The negative control: the same crash, and nobody who looks."""
    monkeypatch.setattr(Till, "janitor", lambda _: None)
    till = Till(world, sandbox, settings, api_url, keys=True)
    operation = Operation(till, "charge")
    crashed(api_url, Doom("response_lost", "exception", superuser_url), operation.act)
    assert (till.at_gateway(), till.in_books()) == ([("charge", 5000)], [])
