"""What the parts of the Stripe dialect share: the account they act for, its events, and how they say no."""

from __future__ import annotations

import secrets
from typing import Any, cast

from loom.core.money import currencies
from loom.providers.payments.sandbox_server.store import Object, Store, new_id

API_VERSION = "2026-10-28.endive"
LARGEST_AMOUNT = 99_999_999
_METADATA_KEYS = 50
_METADATA_TEXT = 500


class Refusal(Exception):
    """An answer that is no success. What was changed before it stands where `keep` is set."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        kind: str = "invalid_request_error",
        keep: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.keep = keep
        self.error: Object = {"type": kind, "code": code, "message": message, **more}


class Desk:
    """One account during one request. `answer_lost`: the change stands but the caller must not hear of it."""

    def __init__(self, store: Store, account: str, base_url: str) -> None:
        self.store = store
        self.account = account
        self.base_url = base_url
        self.answer_lost = False

    def now(self) -> int:
        """Whole seconds, as Stripe counts."""
        return int(self.store.now())

    def knob(self, name: str) -> Any:
        """How the account was told to behave in one respect."""
        return self.store.knobs(self.account).get(name)

    def found(self, kind: str, object_id: str) -> Object:
        """The object, or 404."""
        found = self.store.get(self.account, kind, object_id)
        if found is None:
            raise Refusal(404, "resource_missing", f"No such {kind}: '{object_id}'", param="id")
        return found

    def keep(self, body: Object, event: str | None = None, parent: str | None = None) -> Object:
        """Writes an object, and tells of it."""
        self.store.put(self.account, body, parent)
        if event is not None:
            self.tell(body, event)
        return body

    def tell(self, body: Object, event: str) -> None:
        """An event with the object as it is now."""
        endpoints = [
            endpoint
            for endpoint in self.store.all(self.account, "webhook_endpoint")
            if endpoint["status"] == "enabled" and {event, "*"} & set(endpoint["enabled_events"])
        ]
        said: Object = {
            "id": new_id("evt"), "object": "event", "api_version": API_VERSION, "created": self.now(), "type": event,
            "data": {"object": shown(body)}, "livemode": False, "pending_webhooks": len(endpoints),
            "request": {"id": None, "idempotency_key": None},
        }  # fmt: skip
        self.store.add_event(self.account, said, endpoints)

    def list(self, kind: str, query: Object, url: str, parent: str | None = None) -> Object:
        """A page as Stripe gives them."""
        created: object = query.get("created", {})
        within: Object = cast("Object", created) if isinstance(created, dict) else {"gte": created, "lte": created}
        limit = min(max(whole(query.get("limit", "10"), "limit"), 1), 100)
        data, more = self.store.page(
            self.account,
            kind,
            parent=parent,
            since=float(within["gte"]) if "gte" in within else None,
            until=float(within["lte"]) if "lte" in within else None,
            after=query.get("starting_after"),
            limit=limit,
        )
        return {"object": "list", "data": [shown(one) for one in data], "has_more": more, "url": url}


def shown(body: Object) -> Object:
    """An object without what only the sandbox knows of it."""
    return {name: value for name, value in body.items() if not name.startswith("_")}


def new_secret(object_id: str) -> str:
    """A client secret, in Stripe's form."""
    return f"{object_id}_secret_{secrets.token_urlsafe(18)}"


def whole(value: object, name: str) -> int:
    """A whole number out of a form, or 400."""
    text = str(value)
    if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 15:
        raise Refusal(400, "parameter_invalid_integer", f"Invalid integer: {text}", param=name)
    return int(text)


def amount_of(body: Object, name: str = "amount", most: int = LARGEST_AMOUNT) -> int:
    """A sum of money, or 400."""
    if name not in body:
        raise Refusal(400, "parameter_missing", f"Missing required param: {name}.", param=name)
    amount = whole(body[name], name)
    if amount < 1:
        raise Refusal(400, "parameter_invalid_integer", "This value must be greater than or equal to 1.", param=name)
    if amount > most:
        code = "amount_too_large" if most == LARGEST_AMOUNT else "parameter_invalid_integer"
        raise Refusal(400, code, f"Amount must be no more than {most}.", param=name)
    return amount


def currency_of(body: Object) -> str:
    """A currency in Stripe's lower case, or 400."""
    code = str(body.get("currency", "")).lower()
    if code.upper() not in currencies():
        raise Refusal(400, "parameter_invalid_string", f"Invalid currency: {code}.", param="currency")
    return code


def part_of(body: Object, name: str) -> Object:
    """The members under a name; none where there are none."""
    given: object = body.get(name) or {}
    if not isinstance(given, dict):
        raise Refusal(400, "parameter_invalid_hash", f"Invalid hash: {name}.", param=name)
    return cast("Object", given)


def metadata_of(body: Object) -> dict[str, str]:
    """Plain strings within Stripe's limits, or 400."""
    given = part_of(body, "metadata")
    if len(given) > _METADATA_KEYS or any(not isinstance(v, str) or len(v) > _METADATA_TEXT for v in given.values()):
        raise Refusal(400, "parameter_invalid_hash", "Invalid metadata.", param="metadata")
    return given


def flag(body: Object, name: str) -> bool:
    """A boolean out of a form."""
    return str(body.get(name, "")).lower() == "true"
