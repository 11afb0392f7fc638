"""Cards lived through at random, at a gateway that misbehaves and with processes that die at any point.

After every step the books hold together and say of no money that the gateway does not have; and once nothing is wrong
any more, and everybody has looked, they have all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.billing.reconciliation import Reconciler, days_before
from loom.features.billing.service import Billing
from tests.features.billing.card_life import QUIET, Dying, Ground, Life, booked_charges, booked_refunds
from tests.features.billing.invariants import ALL
from tests.features.billing.test_crash_matrix import CARD
from tests.support.acting import standing
from tests.support.sandbox import running_sandbox

# In parts, so that the cores of a machine share them.
PARTS = 2
EXAMPLES, STEPS = 12, 16
CHANNELS = ["direct", "hosted"]
NUMBERS = [
    "4242424242424242", "4242424242424242", "4000000000000002", "4000002760003184", "4000000000000504",
    "4000000000000505", "4000000000000506", "4000000000000010", "4000000000005126", "4000000000007726",
]  # fmt: skip
TOKENS = [
    "pm_card_visa", "pm_card_visa", "pm_card_chargeDeclined", "pm_card_authenticationRequired", "pm_sandbox_answerLost",
    "pm_sandbox_neverArrived", "pm_sandbox_processing", "pm_sandbox_partial", "pm_card_refundFail",
    "pm_card_pendingRefund", "pm_sandbox_refundRefused",
]  # fmt: skip
points = st.sampled_from(["after_commit", "response_lost", "before_outcome"])
dying = st.one_of(
    st.none(), st.none(), st.tuples(points, st.sampled_from(["exception", "terminate"]), st.integers(0, 2))
)


class Cards(Life, RuleBasedStateMachine):
    """`ground` is given by the test; each life gets a practice and an account of its own."""

    invoices = Bundle("invoices")
    intents = Bundle("intents")

    @initialize(target=intents, keys=st.sampled_from([True, True, False]), channel=st.sampled_from(CHANNELS))
    def open_account(self, keys: bool, channel: str = "direct") -> UUID:
        """An account, and an invoice that somebody has begun to pay."""
        self.begin_life(keys=keys)
        self.sent: set[UUID] = set()
        return self.begin(self.issue(500), channel if keys else "hosted", "automatic", None)

    # what people do

    @rule(target=invoices, amount=st.integers(100, 3000))
    def issue(self, amount: int) -> UUID:
        return self.world.issued(amount)

    @rule(
        target=intents,
        invoice=invoices,
        channel=st.sampled_from(CHANNELS),
        capture=st.sampled_from(["automatic", "automatic", "manual"]),
        dies=dying,
    )
    def begin(self, invoice: UUID, channel: str, capture: str, dies: Dying | None) -> Any:
        query = "select public.begin_payment_intent(%s, null, %s, %s) as v"
        intent = self.asked(self.world.paying, query, invoice, channel, capture)
        if intent is None:
            return multiple()
        self.serve(lambda database: self.billing(database).send_intent(intent), dies)
        return intent

    @rule(intent=intents, token=st.sampled_from(TOKENS), dies=dying)
    def confirm(self, intent: UUID, token: str, dies: Dying | None) -> None:
        payment = self.asked(self.world.paying, "select public.begin_payment_attempt(%s) as v", intent)
        if payment is not None:
            self.serve(lambda database: self.billing(database).send_attempt(payment, token), dies)

    @rule(intent=intents, number=st.sampled_from(NUMBERS), dies=dying)
    def pay_on_the_page(self, intent: UUID, number: str, dies: Dying | None) -> None:
        row = self.world.row("select channel from public.payment_intents where id = %s", intent)
        if row["channel"] != "hosted":
            return
        ways = {"success_url": "http://127.0.0.1/", "cancel_url": "http://127.0.0.1/", "locale": "he"}
        self.serve(lambda database: self.billing(database).open_page(intent, **ways), dies)
        url = self.world.row("select page_url from public.payment_intents where id = %s", intent)["page_url"]
        # Tranzila's page takes money each time it is sent: that a payer does it twice is another story.
        if url is not None and (self.keys or intent not in self.sent):
            self.sent.add(intent)
            httpx.post(url, data=CARD | {"number": number}, timeout=20)

    @rule(intent=intents)
    def give_up(self, intent: UUID) -> None:
        self.asked(self.world.paying, "select public.cancel_payment_intent(%s)::text as v", intent)

    @rule(intent=intents, part=st.sampled_from([None, 60]), dies=dying)
    def capture(self, intent: UUID, part: int | None, dies: Dying | None) -> None:
        if self.asked(self.world.coaching, "select public.begin_capture(%s, %s)::text as v", intent, part) is not None:
            self.serve(lambda database: self.billing(database).send_capture(intent), dies)

    @rule(intent=intents, amount=st.one_of(st.none(), st.integers(1, 1500)), dies=dying)
    def refund(self, intent: UUID, amount: int | None, dies: Dying | None) -> None:
        paid = self.ground.owner.execute(
            "select p.id from public.payments p where p.intent_id = %s and p.status = 'paid'", [intent]
        ).fetchone()
        query = "select public.request_refund(%s, %s, 'x') as v"
        refund = None if paid is None else self.asked(self.world.coaching, query, paid["id"], amount)
        if refund is not None:
            self.serve(lambda database: self.billing(database).send_refund(refund), dies)

    @rule(invoice=invoices, void=st.booleans())
    def settle_otherwise(self, invoice: UUID, void: bool) -> None:
        query = (
            "select public.void_invoice(%s)::text as v"
            if void
            else "select public.record_manual_payment(%s, 100, 'cash') as v"
        )
        self.asked(self.world.coaching, query, invoice)

    # what the gateway does

    @rule(
        do=st.sampled_from(["lost_before", "lost_after", "error_before", "error_after", "html", "html_after"]),
        times=st.integers(1, 3),
        pending=st.booleans(),
    )
    def misbehave(self, do: str, times: int, pending: bool) -> None:
        faults = [{"on": "POST /*", "do": do, "times": times}, {"on": "GET /v1/payment_intents/*", "do": do}]
        self.knobs(QUIET | {"faults": faults} | ({"refunds": "pending"} if pending else {}))

    @rule()
    def behave(self) -> None:
        self.knobs(QUIET)

    @precondition(lambda self: self.keys)
    @rule(approved=st.booleans())
    def end_what_waits(self, approved: bool) -> None:
        """Payers answer their issuers, and networks make up their minds."""
        self.behave()
        for intent in self.there("GET", "/v1/payment_intents?limit=100")["data"]:
            verb = {"requires_action": "answer", "processing": "settle"}.get(intent["status"])
            if verb:
                self.there("POST", f"/sandbox/payment_intents/{intent['id']}/{verb}", {"approved": approved})

    @precondition(lambda self: self.keys)
    @rule(fails=st.booleans())
    def end_refunds(self, fails: bool) -> None:
        self.behave()
        for refund in self.there("GET", "/v1/refunds?limit=100")["data"]:
            self.there("POST", f"/sandbox/refunds/{refund['id']}/{'fail' if fails else 'complete'}")

    @precondition(lambda self: self.keys)
    @rule(pay=st.booleans())
    def by_hand_at_the_gateway(self, pay: bool) -> None:
        """Somebody pays, or gives back, in the gateway's own pages."""
        self.behave()
        if pay:
            for intent in self.there("GET", "/v1/payment_intents?limit=1")["data"]:
                wish = {"payment_method": "pm_card_visa"}
                self.there("POST", f"/v1/payment_intents/{intent['id']}/confirm", wish)
            return
        for charge in self.there("GET", "/v1/charges?limit=1")["data"]:
            self.there("POST", "/v1/refunds", {"charge": charge["id"], "amount": 50})

    @precondition(lambda self: self.keys)
    @rule(picks=st.lists(st.integers(0, 99), min_size=1, max_size=4), copies=st.integers(1, 2))
    def deliver(self, picks: list[int], copies: int) -> None:
        """Some events, in any order, old ones too."""
        self.behave()
        events = self.events()
        for pick in picks * copies:
            if events:
                self.receive(events[pick % len(events)])

    # what Loom does by itself

    @rule(dies=dying)
    def jobs_run(self, dies: Dying | None) -> None:
        self.work_the_queue(dies)

    @rule(dies=dying)
    def janitor(self, dies: Dying | None) -> None:
        self.look(dies)

    @rule(dies=dying)
    def reconcile(self, dies: Dying | None) -> None:
        since, until = days_before(1)

        async def work(database: Any) -> None:
            await Reconciler(database, self.ground.settings).run(self.world.account, since, until, mend=True)

        self.serve(work, dies)

    # what must hold

    @invariant()
    def the_books_are_right(self) -> None:
        if hasattr(self, "till"):
            keys = {"practice": self.world.practice, "coach": self.world.coach}
            assert self.ground.owner.execute(ALL, keys, prepare=True).fetchall() == []

    @invariant()
    def the_books_say_of_no_money_that_is_not_there(self) -> None:
        if not hasattr(self, "till"):
            return
        there = self.truth()
        assert booked_charges(self.ground.owner, self.world.account).items() <= there.charges.items()
        sums = {name: amount for name, (amount, _) in there.refunds.items()}
        assert booked_refunds(self.ground.owner, self.world.account).items() <= sums.items()
        assert len(there.intents) == len(set(there.intents)), "an intent was charged twice"

    def teardown(self) -> None:
        """Nothing is wrong any more, everything is told, and everybody looks: the books are the gateway's."""
        if not hasattr(self, "till"):
            return
        self.behave()
        for event in self.events():
            self.receive(event)
        for _ in range(4):
            self.work_the_queue()
            self.look()
        self.reconcile(None)
        self.the_books_are_right()
        there, owner = self.truth(), self.ground.owner
        assert booked_charges(owner, self.world.account) == there.charges
        assert booked_refunds(owner, self.world.account) == there.given_back
        left = owner.execute(
            "select count(*) as n from jobs.procrastinate_jobs where status = 'todo' and task_name like 'billing.%'"
            " and task_name not in ('billing.repair_unknown', 'billing.reconcile')"
        ).fetchone()
        assert left == {"n": 0}, "a job finds no end"


@pytest.fixture(scope="module")
def ground(
    api_url: str, database_url: str, superuser_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Ground]:
    folder = tmp_path_factory.mktemp("machine")
    with (
        running_sandbox(folder) as sandbox,
        standing(api_url) as door,
        psycopg.connect(database_url, autocommit=True, row_factory=psycopg.rows.dict_row) as owner,
        asyncio.Runner() as runner,
    ):
        told = Settings(data_dir=folder / "loom", sandbox_url=sandbox.url, tranzila_url=f"{sandbox.url}/tranzila")
        database = runner.run(Database.open(api_url, max_size=4))
        yield Ground(owner, superuser_url, api_url, door, runner, database, told, sandbox, folder / "sandbox.sqlite3")
        runner.run(database.close())


@pytest.fixture
def machine(ground: Ground) -> type[Cards]:
    class Bound(Cards):
        pass

    Bound.ground = ground
    return Bound


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_the_gateway_does_and_wherever_a_process_dies_the_books_end_as_the_gateways(
    machine: type[Cards], campaign: bool, part: int
) -> None:
    """With --campaign 500 lives of 40 steps instead, other ones each time."""
    run_state_machine_as_test(
        machine if campaign else seed(part)(machine),
        settings=settings(
            max_examples=(500 if campaign else EXAMPLES) // PARTS,
            stateful_step_count=40 if campaign else STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_machine_sees_money_that_nobody_looked_for(machine: type[Cards], monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: an answer is lost, and nobody looks at the gateway."""
    life = machine()
    intent = life.open_account(keys=True)
    life.confirm(intent, "pm_sandbox_answerLost", None)
    life.the_books_say_of_no_money_that_is_not_there()
    with monkeypatch.context() as patch:

        async def unseen(*_: Any) -> str:
            return "unchanged"

        patch.setattr(Billing, "check_intent", unseen)
        with pytest.raises(AssertionError):
            life.teardown()
    life.teardown()


def test_the_machine_sees_a_payment_that_the_gateway_does_not_have(machine: type[Cards]) -> None:
    """The negative control of the other side."""
    life = machine()
    intent = life.open_account(keys=True)
    with life.world.paying() as conn:
        conn.execute("select public.begin_payment_attempt(%s)", [intent])
    life.the_books_say_of_no_money_that_is_not_there()
    assert (
        life.world.outcome(intent, {"status": "succeeded", "currency": "ILS", "charge_id": "ch_invented"}) == "applied"
    )
    with pytest.raises(AssertionError):
        life.the_books_say_of_no_money_that_is_not_there()
