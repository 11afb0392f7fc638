"""What can be asked of the sandbox, by method and path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from loom.providers.payments.sandbox_server.rules import Bank, Refusal
from loom.providers.payments.sandbox_server.store import Object, Store


@dataclass(frozen=True, slots=True)
class Call:
    """A request of an account. `path` is what follows `/v1`."""

    store: Store
    bank: Bank
    account: str
    method: str
    path: list[str]
    query: dict[str, str]
    body: Object

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.path[1]

    def found(self, kind: str) -> Object:
        """Objects of a kind, perhaps by reference."""
        return {"data": self.store.find(self.account, kind, self.query.get("reference"))}


Route = Callable[[Call], Object]


def _set_webhook(call: Call) -> Object:
    url = str(call.body.get("url", ""))
    if not url.startswith(("http://", "https://")):
        raise Refusal(400, "url_invalid", "The address must be http or https.")
    call.store.set_webhook(call.account, url)
    return {"url": url}


def _set_knobs(call: Call) -> Object:
    """delivery: normal, twice, late (with delay_seconds), withhold, never; refunds: pending."""
    call.store.set_knobs(call.account, call.body)
    return call.body


def _deliver(call: Call) -> Object:
    return {"released": call.store.release(call.account, backwards=bool(call.body.get("backwards")))}


def _send_again(call: Call) -> Object:
    call.store.send_again(call.account, str(call.body.get("event")), int(call.body.get("copies", 1)))
    return {}


def _approved(call: Call) -> bool:
    return bool(call.body.get("approved", True))


_ROUTES: dict[tuple[str, ...], Route] = {
    ("POST", "intents"): lambda call: call.bank.create_intent(call.body),
    ("GET", "intents"): lambda call: call.found("intent"),
    ("GET", "intents", "*"): lambda call: call.bank.intent(call.id),
    ("POST", "intents", "*", "confirm"): lambda call: call.bank.confirm(call.id, call.body),
    ("POST", "intents", "*", "capture"): lambda call: call.bank.capture(call.id),
    ("POST", "intents", "*", "cancel"): lambda call: call.bank.cancel(call.id),
    ("POST", "refunds"): lambda call: call.bank.create_refund(call.body),
    ("GET", "refunds"): lambda call: call.found("refund"),
    ("GET", "refunds", "*"): lambda call: call.bank.refund(call.id),
    ("GET", "charges"): lambda call: call.found("charge"),
    ("POST", "payment_methods"): lambda call: call.bank.save_method(call.body),
    ("DELETE", "payment_methods", "*"): lambda call: call.bank.detach_method(call.id),
    ("PUT", "webhook_endpoint"): _set_webhook,
    ("GET", "events"): lambda call: {"data": call.store.events(call.account)},
    # What no real gateway lets its customers do.
    ("POST", "control"): _set_knobs,
    ("POST", "deliver"): _deliver,
    ("POST", "send_again"): _send_again,
    ("POST", "intents", "*", "authenticate"): lambda call: call.bank.authenticate(call.id, approved=_approved(call)),
    ("POST", "intents", "*", "settle"): lambda call: call.bank.settle(call.id, approved=_approved(call)),
    ("POST", "refunds", "*", "fail"): lambda call: call.bank.fail_refund(call.id),
    ("POST", "refunds", "*", "complete"): lambda call: call.bank.complete_refund(call.id),
}


def serve(call: Call) -> Object:
    """The answer, or Refusal."""
    pattern = ["*" if place == 1 else part for place, part in enumerate(call.path)]
    route = _ROUTES.get((call.method, *pattern))
    if route is None:
        raise Refusal(404, "not_found", "The sandbox has no such address.")
    return route(call)
