"""Tranzila: what its own words mean, and how the client gets on with a terminal that has bad days."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
from tests.providers import tranzila_recorded as recorded
from tests.providers.test_tranzila_codes import STATES
from tests.support.sandbox import Sandbox, running_sandbox

from loom.core.clock import now
from loom.providers.errors import RetryableError
from loom.providers.payments import (
    GatewayRefusedError,
    IntentSnapshot,
    Order,
    OutcomeUnknownError,
    PageWish,
    Payer,
    RefundOrder,
    SetupOrder,
    WebhookRefusedError,
)
from loom.providers.payments.tranzila_calls import Addresses
from loom.providers.payments.tranzila_gateway import TranzilaGateway
from loom.providers.payments.tranzila_webhooks import PROOF, TranzilaWebhooks
from loom.providers.payments.tranzila_wire import Terminal, currency_of, from_report, headers, line_of, proof_of

TERMINAL = Terminal("myterminal", "app", "secret-app")


# what its words mean


def answered(said: Any, status: int = 200) -> TranzilaGateway:
    """A gateway whose every call gets this answer."""
    content = said if isinstance(said, str) else json.dumps(said)
    kind = {"content-type": "text/html" if isinstance(said, str) else "application/json"}
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=content, headers=kind))
    return TranzilaGateway(Addresses(), TERMINAL, httpx.AsyncClient(transport=transport))


def charge(gateway: TranzilaGateway, amount: int = 100, capture: Any = "automatic") -> IntentSnapshot:
    card = Payer(method_id="Xb70373db92230b1111")
    return asyncio.run(gateway.confirm(Order("r1", amount, "ILS", capture), card, "k"))


def test_a_recorded_approval_is_paid_with_its_own_sum_and_name() -> None:
    paid = charge(answered(recorded.DEBIT_APPROVED))
    assert (paid.status, paid.amount_received_cents, paid.amount_cents) == ("succeeded", 100, 100)
    assert paid.charge_id == "myterminal:213"
    held = charge(answered(recorded.HELD), 1000, "manual")
    assert (held.status, held.amount_capturable_cents, held.amount_received_cents) == ("processing", 1000, None)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (recorded.DEBIT_APPROVED | {"error_code": 20004}, 400),
        ({"error_code": 0, "message": "Success", "transaction_result": {"processor_response_code": "004"}}, 200),
        (recorded.OLD_EXPIRED, 400),
    ],
)
def test_half_a_yes_is_a_no(said: dict[str, Any], status: int) -> None:
    """The API and the processor both have to say yes; an older terminal's 036 is not known here, so it is no yes."""
    outcome: object
    try:
        outcome = charge(answered(said, status)).status
    except GatewayRefusedError as refused:
        outcome = refused.reason
    assert outcome in ("requires_payment_method", "invalid_request")


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("<html><body>Error</body></html>", 200),
        ("", 200),
        ("<html>", 502),
        ({"error_code": 0, "message": "Success"}, 200),
        ({"error_code": 0, "transaction_result": {"processor_response_code": "000"}}, 200),
        (
            {
                "error_code": 0,
                "transaction_result": {"processor_response_code": "000", "transaction_id": "1", "amount": "x"},
            },
            200,
        ),
    ],
)
def test_what_cannot_be_read_is_unknown_and_never_paid(said: Any, status: int) -> None:
    with pytest.raises(OutcomeUnknownError):
        charge(answered(said, status))


@pytest.mark.parametrize("said", [{"error_code": 0}, {"transactions": None}, {}, "<html>"])
def test_a_report_without_its_list_does_not_say_that_nothing_is_there(said: Any) -> None:
    with pytest.raises(RetryableError):
        asyncio.run(answered(said).look_up_intent(order()))
    assert asyncio.run(answered({"transactions": []}).look_up_intent(order())).status == "requires_payment_method"


def test_a_recorded_line_of_the_report_is_read_in_either_unit() -> None:
    line = line_of(recorded.REPORT_LINE, TERMINAL)
    assert (line.amount_cents, line.currency, line.kind, line.code) == (1_000_000, "ILS", "debit", "000")
    assert (line.exp_month, line.exp_year, line.at.isoformat()) == (8, 2027, "2025-01-01T12:33:20+02:00")
    minor = Terminal("myterminal", "app", "secret-app", report_in_minor=True)
    assert line_of(recorded.REPORT_LINE, minor).amount_cents == 10_000


def test_sums_are_in_major_units_only_at_the_border() -> None:
    assert [from_report(text, "ILS") for text in ("1", 1, 1.0, "10.00", "0.07", "200")] == [
        100,
        100,
        100,
        1000,
        7,
        20000,
    ]
    assert [currency_of(text) for text in ("1", "ILS", 1, "978", "826", "2")] == [
        "ILS",
        "ILS",
        "ILS",
        "EUR",
        "GBP",
        "USD",
    ]
    for wrong in ("", "abc", "1,5", None, "NaN", "-NaN", "Infinity", "-5", "-0.01", "1e30", "21474836.48", {}, []):
        with pytest.raises(ValueError, match="is no sum"):
            from_report(wrong, "ILS")
    # 987 stands for the euro in one public test, by a slip; taken at its word it is another currency.
    for wrong in ("987", "", "ZZZ"):
        with pytest.raises(ValueError, match="is no currency"):
            currency_of(wrong)


def test_the_headers_are_those_of_the_documentation() -> None:
    said = headers(TERMINAL, 1_700_000_000.5, unit="seconds", nonce_bytes=40)
    at, nonce = said["X-tranzila-api-request-time"], said["X-tranzila-api-nonce"]
    assert (at, len(nonce)) == ("1700000000", 80)
    wanted = hmac.new(f"secret-app{at}{nonce}".encode(), b"app", hashlib.sha256).hexdigest()
    assert said["X-tranzila-api-access-token"] == wanted
    assert (
        headers(TERMINAL, 1_700_000_000.5, unit="milliseconds", nonce_bytes=32)["X-tranzila-api-request-time"]
        == "1700000000500"
    )


@pytest.mark.parametrize("notice", [recorded.CARD_NOTICE, recorded.BIT_NOTICE])
def test_a_recorded_notice_is_a_hint_and_loses_what_it_tells_of_the_card(notice: dict[str, str]) -> None:
    query = {PROOF: proof_of("r1", "secret")}
    event = TranzilaWebhooks().read({}, query, urlencode(notice).encode(), ["secret"], now())
    assert event.hint is not None
    assert (event.hint.kind, event.hint.reference) == ("intent", "r1")
    assert "ccno" not in event.payload
    assert TranzilaWebhooks().stored(event.payload).hint == event.hint
    again = TranzilaWebhooks().read({}, query, urlencode(notice).encode(), ["secret"], now())
    assert again.event_id == event.event_id


@pytest.mark.parametrize("carried", [None, "", "r1", "r1.", "r1.00", proof_of("r2", "secret"), proof_of("r1", "other")])
def test_a_notice_to_an_address_that_was_not_made_here_is_refused(carried: str | None) -> None:
    query = {} if carried is None else {PROOF: carried}
    body = urlencode(recorded.CARD_NOTICE).encode()
    if carried == proof_of("r2", "secret"):
        # It may only speak of what its address was made for.
        assert TranzilaWebhooks().read({}, query, body, ["secret"], now()).hint.reference == "r2"  # type: ignore[union-attr]
        return
    with pytest.raises(WebhookRefusedError):
        TranzilaWebhooks().read({}, query, body, ["secret"], now())


# a terminal at the sandbox


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("tranzila")) as running:
        yield running


class Till:
    """A terminal at the sandbox, and its knobs."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.terminal = Terminal(f"t{uuid4().hex[:12]}", "app", "secret-app")
        self.notices: list[str] = []

    def knobs(self, **knobs: Any) -> None:
        self.sandbox.call("POST", "/sandbox/knobs", knobs, f"sk_test_tranzila_{self.terminal.name}")

    def ask(self, work: Callable[[TranzilaGateway], Awaitable[Any]], **addresses: Any) -> Any:
        base = f"{self.sandbox.url}/tranzila"

        async def run() -> Any:
            async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
                return await work(TranzilaGateway(Addresses(base, base, base, **addresses), self.terminal, http))

        return asyncio.run(run())

    def page(self, order: Order, locale: str = "he") -> str:
        wish = PageWish("http://127.0.0.1/ok", "http://127.0.0.1/no", "", locale, "Invoice 7", now())
        return self.ask(lambda gateway: gateway.open_page(order, wish, "k")).url

    def token(self, number: str = "4242424242424242") -> str:
        """A card kept by way of the page that only checks it."""
        order = SetupOrder(str(uuid4()), "owner", "ILS")
        wish = PageWish("http://127.0.0.1/ok", "http://127.0.0.1/no", "", "en", "Card", now())
        url = self.ask(lambda gateway: gateway.open_setup_page(order, wish, "k")).url
        assert httpx.post(url, data={"number": number}).status_code == 303
        said = self.ask(lambda gateway: gateway.look_up_setup(order))
        assert said.status == "succeeded"
        return said.saved.provider_method_id

    def stand(self, order: Order) -> IntentSnapshot:
        return self.ask(lambda gateway: gateway.look_up_intent(order))

    def pay(self, order: Order, token: str) -> IntentSnapshot:
        payer = Payer(method_id=token, exp_month=12, exp_year=2034)
        return self.ask(lambda gateway: gateway.confirm(order, payer, "k"))


@pytest.fixture
def till(sandbox: Sandbox) -> Till:
    return Till(sandbox)


def order(amount: int = 35000, **more: Any) -> Order:
    return Order(str(uuid4()), amount, "ILS", **more)


def test_the_page_takes_a_card_and_the_report_tells_of_it(till: Till) -> None:
    plan = order()
    url = till.page(plan)
    assert "dir=rtl" in httpx.get(url).text
    assert "₪" in httpx.get(url).text
    assert till.stand(plan).status == "requires_payment_method"
    assert httpx.post(url, data={"number": "4242 4242 4242 4242"}).headers["location"] == "http://127.0.0.1/ok"
    paid = till.stand(plan)
    assert (paid.status, paid.amount_received_cents, paid.currency) == ("succeeded", 35000, "ILS")


def test_a_sum_that_was_changed_on_the_way_is_refused(till: Till) -> None:
    plan = order()
    url = till.page(plan).replace("sum=350.00", "sum=1.00")
    assert httpx.post(url, data={"number": "4242424242424242"}).headers["location"] == "http://127.0.0.1/no"
    said = till.stand(plan)
    assert (said.status, said.error_code) == ("canceled", "sum_was_changed")


def test_a_kept_card_is_charged_and_money_goes_back_with_the_originals_authorisation(till: Till) -> None:
    token, plan = till.token(), order()
    paid = till.pay(plan, token)
    assert (paid.status, paid.amount_received_cents) == ("succeeded", 35000)
    assert till.stand(plan).charge_id == paid.charge_id
    back = RefundOrder(str(uuid4()), 10000, "ILS", str(paid.charge_id))
    assert till.ask(lambda gateway: gateway.look_up_refund(back)) is None
    done = till.ask(lambda gateway: gateway.refund(back, "k"))
    assert done == till.ask(lambda gateway: gateway.look_up_refund(back))
    with pytest.raises(GatewayRefusedError) as refused:
        till.ask(lambda gateway: gateway.refund(RefundOrder("r9", 25001, "ILS", str(paid.charge_id)), "k"))
    assert refused.value.reason == "refund_exceeds_charge"

    async def moved(gateway: TranzilaGateway) -> Any:
        since, until = now() - timedelta(hours=1), now() + timedelta(hours=1)
        return [(line.kind, line.status, line.amount_cents) async for line in gateway.list_movements(since, until)]

    assert till.ask(moved) == [("charge", "paid", 35000), ("refund", "succeeded", 10000)]


def test_a_hold_is_captured_in_part_or_let_go(till: Till) -> None:
    token = till.token()
    for let_go in (False, True):
        plan = order(capture="manual")
        held = till.pay(plan, token)
        assert (held.status, held.amount_capturable_cents) == ("processing", 35000)
        assert till.stand(plan).amount_capturable_cents == 35000
        known = Order(plan.reference, plan.amount_cents, "ILS", "manual", charge_id=held.charge_id)
        if let_go:
            assert till.ask(lambda gateway, known=known: gateway.cancel(known, "k")).status == "canceled"
            assert till.stand(plan).status == "canceled"
        else:
            taken = till.ask(lambda gateway, known=known: gateway.capture(known, 20000, "k"))
            assert (taken.status, taken.amount_received_cents) == ("succeeded", 20000)
            assert till.stand(known).amount_received_cents == 20000


@pytest.mark.parametrize("no", [{"error_code": 20112}, {"error_code": 5, **recorded.OLD_EXPIRED}])
def test_a_void_that_was_refused_lets_nothing_go(no: dict[str, Any]) -> None:
    held = recorded.REPORT_LINE | {"txn_type": "VERIFY", "tranmode": "V", "user_defined_1": "r1"}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"transactions": [held]} if "report" in request.url.host else no)

    gateway = TranzilaGateway(Addresses(), TERMINAL, httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    with pytest.raises(GatewayRefusedError):
        asyncio.run(gateway.cancel(Order("r1", 100, "ILS", "manual"), "k"))


@pytest.mark.parametrize("do", ["lost_before", "lost_after", "error_before", "error_after", "html", "html_after"])
def test_a_lost_answer_is_looked_up_and_never_sent_again(till: Till, do: str) -> None:
    token, plan = till.token(), order()
    till.knobs(faults=[{"on": "POST /tranzila/v1/transaction/credit_card/create", "do": do}])
    with pytest.raises(OutcomeUnknownError):
        till.pay(plan, token)
    assert till.stand(plan).status == ("succeeded" if do.endswith("after") else "requires_payment_method")


def test_a_report_that_lags_tells_nothing_yet(till: Till) -> None:
    token, plan = till.token(), order()
    till.knobs(report_lag_seconds=3600)
    assert till.pay(plan, token).status == "succeeded"
    assert till.stand(plan).status == "requires_payment_method"
    till.knobs()
    assert till.stand(plan).status == "succeeded"


@pytest.mark.parametrize(
    ("kind", "code"), [(kind, code) for kind, codes in STATES.items() for code in codes if code.strip()]
)
def test_every_code_of_a_charge_lands_in_its_state(till: Till, kind: str, code: str) -> None:
    token, plan = till.token(), order()
    till.knobs(tranzila_code=code)
    status = {
        "approved": "succeeded", "partial": "succeeded", "declined": "requires_payment_method",
        "canceled": "requires_payment_method", "tampered": "canceled", "unknown": "processing", "waiting": "processing",
    }[kind]  # fmt: skip
    try:
        said = till.pay(plan, token)
        assert said.status == status
        assert said.amount_received_cents == {"approved": 35000, "partial": 21000}.get(kind)
    except OutcomeUnknownError:
        assert status == "processing"
    assert till.stand(plan).status == status


def test_keys_that_do_not_fit_a_terminal_that_is_none_and_an_hour_that_is_wrong(till: Till) -> None:
    till.terminal = Terminal(till.terminal.name, "app", "wrong")
    with pytest.raises(GatewayRefusedError) as refused:
        till.stand(order())
    assert refused.value.reason == "credentials_refused"
    till.terminal = Terminal("not a terminal", "app", "secret-app")
    with pytest.raises(GatewayRefusedError):
        till.stand(order())
    till.terminal = Terminal(f"t{uuid4().hex[:12]}", "app", "secret-app")
    assert (
        till.ask(lambda gateway: gateway.look_up_intent(order()), time_unit="milliseconds").status
        == "requires_payment_method"
    )


def test_a_terminal_that_is_away_has_certainly_not_acted() -> None:
    async def run() -> None:
        async with httpx.AsyncClient(timeout=1, trust_env=False) as http:
            base = "http://127.0.0.1:9"
            gateway = TranzilaGateway(Addresses(base, base, base), TERMINAL, http)
            with pytest.raises(RetryableError) as lost:
                await gateway.confirm(order(), Payer(method_id="X"), "k")
            assert (type(lost.value), lost.value.reason) == (RetryableError, "gateway_unreachable")

    asyncio.run(run())


def test_the_report_is_read_to_its_last_page() -> None:
    rows = [recorded.REPORT_LINE | {"index": str(number)} for number in range(1, 1502)]
    asked: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        page = json.loads(request.content).get("page", 1)
        asked.append(page)
        return httpx.Response(200, json={"transactions": rows[(page - 1) * 1000 : page * 1000]})

    async def run() -> int:
        gateway = TranzilaGateway(Addresses(), TERMINAL, httpx.AsyncClient(transport=httpx.MockTransport(answer)))
        since, until = datetime(2024, 12, 31, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC)
        return len([line async for line in gateway.list_movements(since, until)])

    assert asyncio.run(run()) == 1501
    assert asked == [1, 2]


def test_no_card_number_is_kept(tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as own:
        till = Till(own)
        till.token("5555555555554444")
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"4444" in kept
    assert b"5555555555554444" not in kept
