"""What the sandbox is told about itself: taken where it makes sense, refused with the reason where not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.sandbox import Sandbox, running_sandbox

KEY = "sk_test_wishes"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"faults": [{}]}, "faults.0.on"),
        ({"faults": [{"on": "*"}]}, "faults.0.do"),
        ({"faults": [{"on": "*", "do": "explode"}]}, "faults.0.do"),
        ({"faults": [{"on": "*", "do": "html", "times": -1}]}, "faults.0.times"),
        ({"faults": [{"on": "*", "do": "html", "time": 1}]}, "faults.0.time"),
        ({"faults": {"on": "*", "do": "html"}}, "faults"),
        ({"delivary": "late"}, "delivary"),
        ({"delivery": "sometimes"}, "delivery"),
        ({"delay_seconds": "soon"}, "delay_seconds"),
        ({"delay_seconds": -1}, "delay_seconds"),
        ({"search_lag_seconds": 1e300}, "search_lag_seconds"),
        ({"states": {"refund": None}}, "states.refund"),
        ({"refunds": "never"}, "refunds"),
        ({"notify": "withhold"}, "notify"),
    ],
    ids=str,
)
def test_a_knob_that_makes_no_sense_is_refused_by_its_name_and_changes_nothing(
    sandbox: Sandbox, wish: dict[str, Any], named: str
) -> None:
    said = sandbox.call("POST", "/sandbox/knobs", wish, KEY)
    assert said["http_status"] == 422, said
    assert said["error"]["message"].startswith(f"{named}: ")
    assert sandbox.call("POST", "/v1/customers", {}, KEY)["object"] == "customer"


def test_knobs_are_taken_as_they_are_documented(sandbox: Sandbox) -> None:
    fault = {"on": "POST /v1/refunds", "do": "lost_after", "times": 2}
    wish = {
        "delivery": "late", "delay_seconds": 1, "faults": [fault], "refunds": "pending",
        "states": {"refund": "on_the_moon"}, "search_lag_seconds": 0.5, "report_lag_seconds": 60, "notify": "twice",
        "notify_sum": 1, "notify_currency": "ILS", "tranzila_code": "004",
    }  # fmt: skip
    said = sandbox.call("POST", "/sandbox/knobs", wish, "sk_test_all")
    assert said == wish | {"notify_sum": "1", "http_status": 200}


@pytest.mark.parametrize("seconds", [1e300, -1e300, 3.2e8, "much", None, "NaN", "Infinity"])
def test_a_clock_that_is_put_nowhere_stays(sandbox: Sandbox, seconds: Any) -> None:
    before = sandbox.call("POST", "/sandbox/clock", {"seconds": 0})["now"]
    said = sandbox.call("POST", "/sandbox/clock", {"seconds": seconds})
    assert (said["http_status"], said["error"]["message"].partition(":")[0]) == (422, "seconds")
    assert sandbox.call("POST", "/sandbox/clock", {"seconds": 0})["now"] - before < 86_400
    assert sandbox.call("POST", "/sandbox/clock", {})["http_status"] == 422


def test_a_clock_is_not_put_further_than_it_goes_by_steps(tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as own:
        steps = [own.call("POST", "/sandbox/clock", {"seconds": 2e8})["http_status"] for _ in range(2)]
        assert steps == [200, 422]


def test_an_event_is_had_by_its_name_by_its_own_account(sandbox: Sandbox) -> None:
    sandbox.call("POST", "/v1/payment_intents", {"amount": 100, "currency": "ils"}, "sk_test_events")
    [event] = sandbox.call("GET", "/v1/events", None, "sk_test_events")["data"]
    path = f"/v1/events/{event['id']}"
    assert sandbox.call("GET", path, None, "sk_test_events") == event | {"http_status": 200}
    assert sandbox.call("GET", path, None, "sk_test_another")["error"]["code"] == "resource_missing"
