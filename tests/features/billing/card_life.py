"""A practice's life with cards, and the gateway's side of it: how things are done, and what the gateway really has."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from loom.core.errors import AppError
from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.billing import gateway_queries
from loom.features.billing.inbox import Inbox
from loom.features.billing.service import HEARING, Billing
from loom.jobs.registry import TASKS, JobContext
from loom.providers.errors import ProviderError
from loom.providers.payments import webhook_reader
from tests.features.billing.crashing import CALLS, Crash, CrashingDatabase, Doom, Point, Way, doomed_calls
from tests.features.billing.test_crash_matrix import Till
from tests.features.billing.world import Owner, World, one
from tests.support.acting import AsRole
from tests.support.sandbox import Sandbox

Movements = dict[str, int]
"""Sums by the gateway's own names."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Of one account: charges that were taken, for which of our intents, and refunds by their state."""

    charges: Movements
    intents: list[str]
    refunds: dict[str, tuple[int, str]]

    @property
    def given_back(self) -> Movements:
        return {name: amount for name, (amount, status) in self.refunds.items() if status == "succeeded"}


def truth(file: Path, api_key: str) -> Truth:
    """The sandbox's own file is read: asking it would use up the faults that it was told to show."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
        rows = db.execute(
            "select o.kind, o.body from objects o join accounts a on a.id = o.account where a.api_key = ?"
            " and o.kind in ('charge', 'refund', 'tranzila_transaction')",
            [api_key],
        ).fetchall()
    bodies: dict[str, list[dict[str, Any]]] = {"charge": [], "refund": [], "tranzila_transaction": []}
    for kind, body in rows:
        bodies[kind].append(json.loads(body))
    lines = [line for line in bodies["tranzila_transaction"] if line["processor_response_code"] in ("000", "010")]
    debits = [line for line in lines if line["txn_type"] == "DEBIT"]
    taken = [charge for charge in bodies["charge"] if charge["captured"]]
    charges = {charge["id"]: charge["amount_captured"] for charge in taken}
    refunds = {refund["id"]: (refund["amount"], refund["status"]) for refund in bodies["refund"]}
    return Truth(
        charges | {line["id"]: line["amount"] for line in debits},
        [charge["metadata"]["reference"] for charge in taken] + [line["user_defined_1"] for line in debits],
        refunds | {line["id"]: (line["amount"], "succeeded") for line in lines if line["txn_type"] == "CREDIT"},
    )


def booked_charges(owner: Owner, account: UUID) -> Movements:
    rows = owner.execute(
        "select provider_transaction_id as name, amount_cents from public.payments"
        " where gateway_account_id = %s and status in ('paid', 'refunded')",
        [account],
    )
    return {row["name"]: row["amount_cents"] for row in rows}


def booked_refunds(owner: Owner, account: UUID) -> Movements:
    rows = owner.execute(
        "select r.provider_refund_id as name, r.amount_cents from public.payment_refunds r"
        " join public.payments p on p.id = r.payment_id"
        " where p.gateway_account_id = %s and r.status = 'succeeded'",
        [account],
    )
    return {row["name"]: row["amount_cents"] for row in rows}


Dying = tuple[Point, Way, int]
"""Where a process dies, how, and how often it passes there before."""
QUIET = {"delivery": "never", "notify": "never"}
EVERY_CALL = CALLS | {"create_intent", "open_page", "look_up_intent", "look_up_refund"}


@dataclass
class Ground:
    """What all lives share: the database, the gateway and a loop that the service runs in."""

    owner: Owner
    superuser_url: str
    api_url: str
    door: AsRole
    runner: asyncio.Runner
    database: Database
    settings: Settings
    sandbox: Sandbox
    file: Path


class Life:
    """One practice with an account, on the common ground."""

    ground: Ground

    def begin_life(self, *, keys: bool) -> None:
        ground = self.ground
        self.world = World.make(ground.owner, lambda user: ground.door("authenticated", sub=str(user)), ground.door)
        self.till = Till(self.world, ground.sandbox, ground.settings, ground.api_url, keys=keys)
        self.keys = keys
        self.gateway_key = self.till.key if keys else f"sk_test_tranzila_{self.till.terminal}"
        self.knobs(QUIET)

    def knobs(self, knobs: dict[str, Any]) -> None:
        self.ground.sandbox.call("POST", "/sandbox/knobs", knobs, self.gateway_key)

    def there(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """At the gateway, past Loom. Shows no fault: those are for Loom's own calls."""
        return self.ground.sandbox.call(method, path, body, self.gateway_key)

    def truth(self) -> Truth:
        return truth(self.ground.file, self.gateway_key)

    def asked(self, who: Any, query: str, *arguments: object) -> Any:
        """The value, or None where the database refused."""
        try:
            with who() as conn:
                return one(conn, query, *arguments)
        except psycopg.Error as refused:
            if not (refused.sqlstate or "").startswith("PT4"):
                raise
            return None

    def serve(self, work: Callable[[Any], Awaitable[Any]], dies: Dying | None = None) -> None:
        """What a request or a job does. It may die on the way; what the gateway refused or left open is no defect."""
        doom = (
            None
            if dies is None
            else Doom(dies[0], dies[1], self.ground.superuser_url, calls=EVERY_CALL, spared=dies[2])
        )
        database: Any = self.ground.database
        if doom is not None:
            database = CrashingDatabase(database, doom)
            database.beginning = False
        with ExitStack() as stack:
            if doom is not None:
                stack.enter_context(doomed_calls(doom))
            try:
                self.ground.runner.run(_awaited(work(database)))
            except Crash:
                pass
            except ProviderError:
                # A job that ends so runs again.
                pass
            except AppError as refused:
                if refused.status >= 500 and refused.code != "gateway_unavailable" and not (doom and doom.happened):
                    raise

    def billing(self, database: Any) -> Billing:
        return Billing(database, self.ground.settings)

    def work_the_queue(self, dies: Dying | None = None) -> None:
        """Each job that waits runs once; one that dies or is refused waits on."""
        rows = self.ground.owner.execute(
            "select id, task_name, args from jobs.procrastinate_jobs where status = 'todo'"
            " and task_name in ('billing.cancel_intent', 'billing.handle_webhook') order by id"
        ).fetchall()
        done: list[int] = []
        for row in rows:

            async def work(database: Any, row: Any = row) -> None:
                await TASKS[row["task_name"]].handler(JobContext(database, self.ground.settings), **row["args"])
                done.append(row["id"])

            self.serve(work, dies)
        self.ground.owner.execute("delete from jobs.procrastinate_jobs where id = any (%s)", [done])

    def look(self, dies: Dying | None = None) -> None:
        for table in ("payment_intents", "payment_refunds"):
            self.ground.owner.execute(
                f"update public.{table} set next_check_at = now() where next_check_at is not null and practice_id = %s",
                [self.world.practice],
            )
        self.serve(lambda database: Inbox(database, self.ground.settings).repair(), dies)

    def events(self) -> list[dict[str, Any]]:
        return self.there("GET", "/v1/events?limit=100")["data"] if self.keys else []

    def receive(self, event: dict[str, Any]) -> None:
        reader = webhook_reader("sandbox")
        assert reader is not None
        told = reader.stored(event)

        async def work(database: Any) -> None:
            await database.run(HEARING, lambda tx: gateway_queries.receive(tx, self.world.account, told))

        self.serve(work)


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work
