"""What can be asked of the sandbox in Stripe's dialect (`/v1/…`) and about itself (`/sandbox/…`)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from loom.providers.payments.sandbox_server.checkout import Checkout
from loom.providers.payments.sandbox_server.desk import API_VERSION, Desk, Refusal, shown
from loom.providers.payments.sandbox_server.intents import Intents
from loom.providers.payments.sandbox_server.methods import Methods
from loom.providers.payments.sandbox_server.refunds import Refunds
from loom.providers.payments.sandbox_server.store import Object, new_id
from loom.providers.payments.sandbox_server.wishes import ClockWish, Knobs, understood


@dataclass(frozen=True, slots=True)
class Call:
    """A request of an account. `path` is what follows `/v1` or `/sandbox`."""

    desk: Desk
    method: str
    path: list[str]
    query: Object
    body: Object

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.path[-1] if self.path[-1] not in _VERBS else self.path[-2]

    @property
    def intents(self) -> Intents:
        """The part for payment intents."""
        return Intents(self.desk)

    @property
    def methods(self) -> Methods:
        """The part for saved cards."""
        return Methods(self.desk)

    @property
    def refunds(self) -> Refunds:
        """The part for refunds."""
        return Refunds(self.desk)

    @property
    def checkout(self) -> Checkout:
        """The part for hosted pages."""
        return Checkout(self.desk)


Route = Callable[[Call], Object]
_VERBS = frozenset(
    {"confirm", "capture", "cancel", "attach", "detach", "expire", "answer", "settle", "fail", "complete"}
)
_BY_REFERENCE = re.compile(r"""^metadata\[['"]reference['"]\]:['"]([^'"]+)['"]$""")


def _get(kind: str) -> Route:
    return lambda call: call.desk.found(kind, call.id)


def _list(kind: str, narrowed_by: str | None = None) -> Route:
    def page(call: Call) -> Object:
        parent = call.query.get(narrowed_by) if narrowed_by else None
        return call.desk.list(kind, call.query, f"/v1/{'/'.join(call.path)}", parent)

    return page


def _search_intents(call: Call) -> Object:
    """Only by our reference, and like Stripe's a moment behind where the knob `search_lag_seconds` says so."""
    found = _BY_REFERENCE.match(str(call.query.get("query", "")))
    if found is None:
        raise Refusal(
            400, "parameter_invalid_string", "The sandbox searches by metadata['reference'] only.", param="query"
        )
    until = call.desk.store.now() - float(call.desk.knob("search_lag_seconds") or 0)
    data, _ = call.desk.store.page(call.desk.account, "payment_intent", parent=found[1], until=until, limit=100)
    return {"object": "search_result", "data": [shown(one) for one in data], "has_more": False, "url": "/v1/search"}


def _list_refunds(call: Call) -> Object:
    wanted = call.query.get("charge")
    if call.query.get("payment_intent"):
        wanted = call.desk.found("payment_intent", call.query["payment_intent"])["latest_charge"]
    return call.desk.list("refund", call.query, "/v1/refunds", wanted)


def _create_endpoint(call: Call) -> Object:
    url = str(call.body.get("url", ""))
    if not url.startswith(("http://", "https://")):
        raise Refusal(
            400, "url_invalid", "Invalid URL: An explicit scheme (such as https) must be provided.", param="url"
        )
    endpoint: Object = {
        "id": new_id("we"), "object": "webhook_endpoint", "created": call.desk.now(), "url": url, "livemode": False,
        "enabled_events": call.body.get("enabled_events") or ["*"], "api_version": API_VERSION, "status": "enabled",
        "secret": f"whsec_{secrets.token_urlsafe(24)}",
    }  # fmt: skip
    return call.desk.keep(endpoint)


def _without_secret(answer: Object) -> Object:
    return {name: value for name, value in answer.items() if name != "secret"}


def _delete_endpoint(call: Call) -> Object:
    endpoint = call.desk.found("webhook_endpoint", call.id)
    call.desk.keep(endpoint | {"status": "disabled"})
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def _list_events(call: Call) -> Object:
    events = call.desk.store.events(call.desk.account)
    since = float(call.query.get("created", {}).get("gte", 0))
    newest_first = [event for event in reversed(events) if event["created"] >= since]
    after = call.query.get("starting_after")
    if after:
        ids = [event["id"] for event in newest_first]
        newest_first = newest_first[ids.index(after) + 1 :] if after in ids else []
    limit = min(int(call.query.get("limit", "10")), 100)
    page = newest_first[:limit]
    return {"object": "list", "data": page, "has_more": len(newest_first) > limit, "url": "/v1/events"}


def _get_event(call: Call) -> Object:
    for event in call.desk.store.events(call.desk.account):
        if event["id"] == call.id:
            return event
    raise Refusal(404, "resource_missing", f"No such event: '{call.id}'", param="id")


def _deliver(call: Call) -> Object:
    return {"released": call.desk.store.release(call.desk.account, backwards=bool(call.body.get("backwards")))}


def _send_again(call: Call) -> Object:
    endpoints = [
        one for one in call.desk.store.all(call.desk.account, "webhook_endpoint") if one["status"] == "enabled"
    ]
    copies = int(call.body.get("copies", 1))
    call.desk.store.send_again(call.desk.account, str(call.body.get("event")), copies, endpoints)
    return {}


def _set_knobs(call: Call) -> Object:
    """How the account, or without a key everybody, behaves from now on. The guide to cards has all of them."""
    knobs = understood(Knobs, call.body).model_dump(exclude_unset=True)
    call.desk.store.set_knobs(call.desk.account, knobs)
    return knobs


def _advance(call: Call) -> Object:
    """There is one clock, whoever puts it forward."""
    store = call.desk.store
    try:
        now = store.advance(understood(ClockWish, call.body).seconds)
    except ValueError as exc:
        raise Refusal(422, "parameter_invalid", f"seconds: {exc}") from exc
    for account in store.accounts():
        Intents(Desk(store, account, call.desk.base_url)).expire_holds()
    return {"now": now}


def _approved(call: Call) -> bool:
    return bool(call.body.get("approved", True))


_STRIPE: dict[tuple[str, ...], Route] = {
    ("GET", "account"): lambda call: {"id": call.desk.account, "object": "account", "country": "IL"},
    ("POST", "payment_intents"): lambda call: call.intents.create(call.body),
    ("GET", "payment_intents"): _list("payment_intent"),
    ("GET", "payment_intents", "search"): _search_intents,
    ("GET", "payment_intents", "*"): _get("payment_intent"),
    ("POST", "payment_intents", "*"): lambda call: call.intents.update(call.id, call.body),
    ("POST", "payment_intents", "*", "confirm"): lambda call: call.intents.confirm(call.id, call.body),
    ("POST", "payment_intents", "*", "capture"): lambda call: call.intents.capture(call.id, call.body),
    ("POST", "payment_intents", "*", "cancel"): lambda call: call.intents.cancel(call.id, call.body),
    ("GET", "charges"): _list("charge", "payment_intent"),
    ("GET", "charges", "*"): _get("charge"),
    ("POST", "refunds"): lambda call: call.refunds.create(call.body),
    ("GET", "refunds"): _list_refunds,
    ("GET", "refunds", "*"): _get("refund"),
    ("POST", "refunds", "*", "cancel"): lambda call: call.refunds.cancel(call.id),
    ("POST", "customers"): lambda call: call.methods.create_customer(call.body),
    ("GET", "customers", "*"): _get("customer"),
    ("POST", "payment_methods"): lambda call: call.methods.create(call.body),
    ("GET", "payment_methods", "*"): _get("payment_method"),
    ("POST", "payment_methods", "*", "attach"): lambda call: call.methods.attach(call.id, call.body),
    ("POST", "payment_methods", "*", "detach"): lambda call: call.methods.detach(call.id),
    ("POST", "setup_intents"): lambda call: call.methods.create_setup(call.body),
    ("GET", "setup_intents"): _list("setup_intent", "customer"),
    ("GET", "setup_intents", "*"): _get("setup_intent"),
    ("POST", "setup_intents", "*", "confirm"): lambda call: call.methods.confirm_setup(call.id, call.body),
    ("POST", "setup_intents", "*", "cancel"): lambda call: call.methods.cancel_setup(call.id),
    ("POST", "checkout", "sessions"): lambda call: call.checkout.create(call.body),
    ("GET", "checkout", "sessions"): _list("checkout.session", "payment_intent"),
    ("GET", "checkout", "sessions", "*"): lambda call: call.checkout.get(call.id),
    ("POST", "checkout", "sessions", "*", "expire"): lambda call: call.checkout.expire(call.id),
    ("POST", "webhook_endpoints"): _create_endpoint,
    ("GET", "webhook_endpoints"): _list("webhook_endpoint"),
    ("GET", "webhook_endpoints", "*"): lambda call: _without_secret(call.desk.found("webhook_endpoint", call.id)),
    ("DELETE", "webhook_endpoints", "*"): _delete_endpoint,
    ("GET", "events"): _list_events,
    ("GET", "events", "*"): _get_event,
}
# What no real gateway lets its customers do.
_SANDBOX: dict[tuple[str, ...], Route] = {
    ("POST", "knobs"): _set_knobs,
    ("POST", "clock"): _advance,
    ("POST", "deliver"): _deliver,
    ("POST", "send_again"): _send_again,
    ("POST", "payment_intents", "*", "answer"): lambda call: call.intents.answer(call.id, approved=_approved(call)),
    ("POST", "payment_intents", "*", "settle"): lambda call: call.intents.settle(call.id, approved=_approved(call)),
    ("POST", "refunds", "*", "fail"): lambda call: call.refunds.fail(call.id),
    ("POST", "refunds", "*", "complete"): lambda call: call.refunds.complete(call.id),
}
_FIXED = frozenset(part for key in (*_STRIPE, *_SANDBOX) for part in key if part != "*")
_EXPANDABLE = {
    "latest_charge": "charge",
    "payment_intent": "payment_intent",
    "charge": "charge",
    "setup_intent": "setup_intent",
}


def serve(call: Call, *, stripe: bool) -> Object:
    """The answer, or Refusal."""
    pattern = tuple(part if part in _FIXED else "*" for part in call.path)
    route = (_STRIPE if stripe else _SANDBOX).get((call.method, *pattern))
    if route is None:
        raise Refusal(404, "resource_missing", f"Unrecognized request URL ({call.method}: /{'/'.join(call.path)}).")
    answer = shown(route(call))
    states: Object = call.desk.knob("states") or {}
    if stripe and answer.get("object") in states:
        answer["status"] = states[answer["object"]]
    for name in (call.query if call.method == "GET" else call.body).get("expand", []):
        kind = _EXPANDABLE.get(name)
        if kind is None:
            raise Refusal(400, "property_invalid", f"This property cannot be expanded ({name}).", param="expand")
        if answer.get(name):
            answer[name] = shown(call.desk.found(kind, answer[name]))
    return answer
