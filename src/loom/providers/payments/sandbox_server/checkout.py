"""Checkout Sessions: the address of a hosted card page, and what the page does."""

from __future__ import annotations

from typing import Any, cast

from loom.providers.payments.sandbox_server.desk import (
    Desk,
    Refusal,
    amount_of,
    currency_of,
    metadata_of,
    part_of,
    whole,
)
from loom.providers.payments.sandbox_server.intents import Intents
from loom.providers.payments.sandbox_server.methods import Methods
from loom.providers.payments.sandbox_server.store import Object, new_id

_LIFE_SECONDS = 86_400
_LEAST_LIFE_SECONDS = 1_800


class Checkout:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._intents = Intents(desk)
        self._methods = Methods(desk)

    def create(self, body: Object) -> Object:
        """A session. As at Stripe, its PaymentIntent is made when the payer pays."""
        mode = str(body.get("mode"))
        if mode not in ("payment", "setup"):
            raise Refusal(
                400, "parameter_invalid_string", "The sandbox knows the modes payment and setup.", param="mode"
            )
        if not str(body.get("success_url", "")).startswith(("http://", "https://")):
            raise Refusal(400, "url_invalid", "Not a valid URL.", param="success_url")
        session_id = new_id("cs_test")
        amount, currency, name = self._sum(body) if mode == "payment" else (None, body.get("currency"), None)
        expires_at, ahead = self._expiry(body)
        session: Object = {
            "id": session_id, "object": "checkout.session", "created": self._desk.now(), "livemode": False,
            "mode": mode, "status": "open", "payment_status": "unpaid" if mode == "payment" else "no_payment_required",
            "amount_total": amount, "currency": currency, "customer": body.get("customer"),
            "locale": body.get("locale"),
            "client_reference_id": body.get("client_reference_id"), "metadata": metadata_of(body),
            "payment_intent": None, "setup_intent": None, "url": f"{self._desk.base_url}/checkout/{session_id}",
            "success_url": body["success_url"], "cancel_url": body.get("cancel_url"),
            "expires_at": expires_at, "_until": expires_at + ahead, "_name": name, "_error": None,
            "_intent": part_of(body, "payment_intent_data"), "_setup": part_of(body, "setup_intent_data"),
        }  # fmt: skip
        return self._desk.keep(session)

    def _expiry(self, body: Object) -> tuple[int, int]:
        """When it is over, by the clock of whoever opens it, and what ours is ahead of that."""
        ahead = int(self._desk.store.ahead)
        now = self._desk.now() - ahead
        if "expires_at" not in body:
            return now + _LIFE_SECONDS, ahead
        wanted = whole(body["expires_at"], "expires_at")
        if not _LEAST_LIFE_SECONDS <= wanted - now + 60 <= _LIFE_SECONDS + 120:
            raise Refusal(
                400, "parameter_invalid_integer", "expires_at is 30 minutes to 24 hours away.", param="expires_at"
            )
        return wanted, ahead

    def _sum(self, body: Object) -> tuple[int, str, str]:
        items = body.get("line_items")
        if not isinstance(items, list) or len(cast("list[Any]", items)) != 1:
            raise Refusal(400, "parameter_invalid_array", "The sandbox takes one line item.", param="line_items")
        item = cast("list[Object]", items)[0]
        price = part_of(item, "price_data")
        total = amount_of(price, "unit_amount") * whole(item.get("quantity", "1"), "quantity")
        return total, currency_of(price), str(part_of(price, "product_data").get("name", ""))

    def get(self, session_id: str) -> Object:
        """The session, expired if its time is over."""
        session = self._desk.found("checkout.session", session_id)
        if session["status"] == "open" and session["_until"] <= self._desk.now():
            return self._desk.keep(session | {"status": "expired", "url": None}, "checkout.session.expired")
        return session

    def expire(self, session_id: str) -> Object:
        """Nobody can pay by it any more."""
        session = self.get(session_id)
        if session["status"] != "open":
            raise Refusal(400, "checkout_session_unexpected_state", f"The session is {session['status']}.")
        return self._desk.keep(session | {"status": "expired", "url": None}, "checkout.session.expired")

    def submit(self, session_id: str, token: str) -> Object:
        """The payer sent the page. Where the issuer asks, the session stays open until the payer has answered."""
        session = self.get(session_id)
        if session["status"] != "open":
            return session
        try:
            made = self._act(session, token)
        except Refusal as no:
            if not no.keep:
                raise
            inner = part_of(no.error, "payment_intent")
            named = {"payment_intent": inner.get("id")} if inner else {}
            return self._desk.keep(session | named | {"_error": no.error["message"]})
        # payment_intent or setup_intent: the kind of what was made is the name of the field.
        return self.follow(self._desk.keep(session | {made["object"]: made["id"], "_error": None}))

    def _act(self, session: Object, token: str) -> Object:
        if session["mode"] == "setup":
            if session["setup_intent"]:
                return self._methods.confirm_setup(session["setup_intent"], {"payment_method": token})
            metadata = metadata_of(session["_setup"])
            wanted = {"customer": session["customer"], "metadata": metadata, "payment_method": token, "confirm": "true"}
            return self._methods.create_setup({name: value for name, value in wanted.items() if value is not None})
        if session["payment_intent"]:
            return self._intents.confirm(session["payment_intent"], {"payment_method": token})
        wanted = {
            "amount": session["amount_total"], "currency": session["currency"], "customer": session["customer"],
            "payment_method": token, "confirm": "true", **session["_intent"],
        }  # fmt: skip
        return self._intents.create({name: value for name, value in wanted.items() if value is not None})

    def follow(self, session: Object) -> Object:
        """The session after what became of its intent."""
        kind = "setup_intent" if session["mode"] == "setup" else "payment_intent"
        made = self._desk.store.get(self._desk.account, kind, str(session[kind])) if session[kind] else None
        if made is None or session["status"] != "open":
            return session
        if made["status"] == "requires_payment_method":
            error = part_of(made, "last_payment_error") or part_of(made, "last_setup_error")
            return self._desk.keep(session | {"_error": error.get("message", "Your card was declined.")})
        if made["status"] in ("succeeded", "requires_capture", "processing"):
            done = session | {"status": "complete", "url": None}
            if session["mode"] == "payment" and made["status"] == "succeeded":
                done["payment_status"] = "paid"
            return self._desk.keep(done, "checkout.session.completed")
        return session

    def of_intent(self, intent_id: str) -> Object | None:
        """The open session that made an intent."""
        for session in self._desk.store.all(self._desk.account, "checkout.session"):
            if intent_id in (session["payment_intent"], session["setup_intent"]):
                return session
        return None
