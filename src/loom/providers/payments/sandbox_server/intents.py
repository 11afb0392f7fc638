"""How the sandbox treats money: intents, charges and refunds, in Stripe's seven states."""

from __future__ import annotations

from typing import cast

from loom.providers.payments.sandbox_server.cards import Card
from loom.providers.payments.sandbox_server.desk import (
    Desk,
    Refusal,
    amount_of,
    currency_of,
    flag,
    metadata_of,
    new_secret,
    shown,
)
from loom.providers.payments.sandbox_server.methods import Methods, card_of, redirect
from loom.providers.payments.sandbox_server.store import Object, new_id

_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action", "requires_capture")
# What a partial approval takes of the sum asked for.
_PART = 0.6
# Days that an authorisation holds.
_HOLD_DAYS = 7


class Intents:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._methods = Methods(desk)

    def create(self, body: Object) -> Object:
        """A plan to collect a sum."""
        intent_id = new_id("pi")
        capture = str(body.get("capture_method", "automatic"))
        if capture not in ("automatic", "automatic_async", "manual"):
            raise Refusal(400, "parameter_invalid_string", "Invalid capture_method.", param="capture_method")
        if body.get("customer") is not None:
            self._desk.found("customer", str(body["customer"]))
        method = self._methods.resolve(body["payment_method"]) if body.get("payment_method") else None
        metadata = metadata_of(body)
        intent: Object = {
            "id": intent_id, "object": "payment_intent", "created": self._desk.now(), "livemode": False,
            "amount": amount_of(body), "amount_received": 0, "amount_capturable": 0, "currency": currency_of(body),
            "capture_method": capture, "client_secret": new_secret(intent_id), "customer": body.get("customer"),
            "payment_method": method["id"] if method else None, "payment_method_types": ["card"],
            "status": "requires_confirmation" if method else "requires_payment_method", "latest_charge": None,
            "next_action": None, "last_payment_error": None, "cancellation_reason": None, "canceled_at": None,
            "description": body.get("description"), "setup_future_usage": body.get("setup_future_usage"),
            "metadata": metadata,
        }  # fmt: skip
        self._desk.keep(intent, "payment_intent.created", parent=metadata.get("reference"))
        return self.confirm(intent_id, body) if flag(body, "confirm") else intent

    def update(self, intent_id: str, body: Object) -> Object:
        """Other metadata, or another sum while nothing was charged."""
        intent = self._desk.found("payment_intent", intent_id)
        if "amount" in body:
            if intent["status"] not in _OPEN[:3]:
                raise _unexpected(intent, "updated")
            intent["amount"] = amount_of(body)
        intent["metadata"] |= metadata_of(body)
        return self._desk.keep(intent)

    def confirm(self, intent_id: str, body: Object) -> Object:
        """Charges. A decline puts the intent back to where it waits for a card, and is a 402."""
        intent = self._desk.found("payment_intent", intent_id)
        if intent["status"] not in ("requires_payment_method", "requires_confirmation"):
            raise _unexpected(intent, "confirmed")
        method = self._methods.resolve(body.get("payment_method") or intent["payment_method"])
        if method["customer"] is not None and intent["customer"] not in (None, method["customer"]):
            raise Refusal(400, "payment_method_unexpected_customer", "The card belongs to another customer.")
        intent |= {"payment_method": method["id"], "last_payment_error": None}
        card = card_of(method)
        off_session = flag(body, "off_session")
        if card.behaviour == "never_arrived":
            raise Refusal(504, "gateway_timeout", "The bank did not answer.", kind="api_error")
        if card.behaviour == "decline":
            raise self._declined(intent, card.code or "card_declined", card.decline_code, card.message)
        if card.behaviour == "ask" or (card.behaviour == "ask_once" and not (method["_proven"] and off_session)):
            if off_session:
                message = "Your card was declined. This transaction requires authentication."
                raise self._declined(intent, "authentication_required", "authentication_required", message)
            intent["status"] = "requires_action"
            return_url = body.get("return_url")
            intent["next_action"] = redirect(f"{self._desk.base_url}/challenge/{intent_id}", return_url)
            return self._desk.keep(intent, "payment_intent.requires_action")
        if card.behaviour == "processing":
            intent["status"] = "processing"
            return self._desk.keep(intent, "payment_intent.processing")
        self._desk.answer_lost = card.behaviour == "answer_lost"
        return self._charge(intent, card)

    def answer(self, intent_id: str, *, approved: bool) -> Object:
        """What the payer told the card's issuer."""
        intent = self._desk.found("payment_intent", intent_id)
        if intent["status"] != "requires_action":
            raise _unexpected(intent, "answered for")
        intent["next_action"] = None
        method = self._desk.found("payment_method", intent["payment_method"])
        if approved:
            self._desk.keep(method | {"_proven": True})
            return self._charge(intent, card_of(method))
        message = "The payer did not prove to be the card's owner."
        self._declined(intent, "payment_intent_authentication_failure", None, message)
        return intent

    def settle(self, intent_id: str, *, approved: bool) -> Object:
        """Ends the processing of an intent."""
        intent = self._desk.found("payment_intent", intent_id)
        if intent["status"] != "processing":
            raise _unexpected(intent, "settled")
        if approved:
            return self._charge(intent, card_of(self._desk.found("payment_method", intent["payment_method"])))
        self._declined(intent, "card_declined", "generic_decline", "Your card was declined.")
        return intent

    def capture(self, intent_id: str, body: Object) -> Object:
        """Takes money that was held, all or a part of it."""
        intent = self._desk.found("payment_intent", intent_id)
        if intent["status"] != "requires_capture":
            raise _unexpected(intent, "captured")
        amount = (
            amount_of(body, "amount_to_capture", intent["amount_capturable"]) if "amount_to_capture" in body else None
        )
        charge = self._desk.found("charge", intent["latest_charge"])
        charge |= {"captured": True, "amount_captured": amount or intent["amount_capturable"]}
        self._desk.keep(charge, "charge.captured")
        return self._succeed(intent, charge["amount_captured"])

    def cancel(self, intent_id: str, body: Object) -> Object:
        """Gives an intent up, and with it what was held."""
        intent = self._desk.found("payment_intent", intent_id)
        if intent["status"] not in _OPEN:
            raise _unexpected(intent, "canceled")
        if intent["status"] == "requires_capture":
            charge = self._desk.found("charge", intent["latest_charge"])
            self._desk.keep(charge | {"amount_refunded": charge["amount"], "refunded": True}, "charge.refunded")
        intent |= {
            "status": "canceled", "next_action": None, "amount_capturable": 0, "canceled_at": self._desk.now(),
            "cancellation_reason": body.get("cancellation_reason"),
        }  # fmt: skip
        return self._desk.keep(intent, "payment_intent.canceled")

    def expire_holds(self) -> None:
        """Authorisations lapse."""
        for intent in self._desk.store.all(self._desk.account, "payment_intent"):
            if intent["status"] != "requires_capture" or intent["_held_until"] > self._desk.now():
                continue
            charge = self._desk.found("charge", intent["latest_charge"])
            self._desk.keep(charge | {"refunded": True, "amount_refunded": charge["amount"]}, "charge.expired")
            intent |= {"status": "canceled", "amount_capturable": 0, "cancellation_reason": "expired"}
            self._desk.keep(intent, "payment_intent.canceled")

    # what these share

    def _declined(self, intent: Object, code: str, decline_code: str | None, message: str) -> Refusal:
        charge = self._new_charge(intent, "failed", 0)
        charge |= {"failure_code": code, "failure_message": message}
        self._desk.keep(charge, "charge.failed", parent=intent["id"])
        error: Object = {"type": "card_error", "code": code, "decline_code": decline_code, "message": message,
                         "charge": charge["id"]}  # fmt: skip
        intent |= {"status": "requires_payment_method", "payment_method": None, "next_action": None,
                   "latest_charge": charge["id"], "last_payment_error": error}  # fmt: skip
        self._desk.keep(intent, "payment_intent.payment_failed")
        return Refusal(402, code, message, kind="card_error", keep=True, decline_code=decline_code, charge=charge["id"],
                       payment_intent=shown(intent))  # fmt: skip

    def _new_charge(self, intent: Object, status: str, captured: int) -> Object:
        return {
            "id": new_id("ch"), "object": "charge", "created": self._desk.now(), "livemode": False,
            "amount": intent["amount"], "amount_captured": captured, "amount_refunded": 0, "refunded": False,
            "captured": captured > 0, "paid": status == "succeeded", "status": status, "currency": intent["currency"],
            "payment_intent": intent["id"], "payment_method": intent["payment_method"], "customer": intent["customer"],
            "failure_code": None, "failure_message": None, "balance_transaction": None, "metadata": intent["metadata"],
        }  # fmt: skip

    def _charge(self, intent: Object, card: Card) -> Object:
        manual = intent["capture_method"] == "manual"
        amount = int(intent["amount"] * _PART) or 1 if card.behaviour == "partial" else cast("int", intent["amount"])
        charge = self._new_charge(intent, "succeeded", 0 if manual else amount) | {
            "amount": amount,
            "_card": card.token,
        }
        self._desk.keep(charge, "charge.succeeded", parent=intent["id"])
        intent |= {"latest_charge": charge["id"], "next_action": None}
        if manual:
            intent |= {"status": "requires_capture", "amount_capturable": amount}
            intent["_held_until"] = self._desk.now() + _HOLD_DAYS * 86_400
            return self._desk.keep(intent, "payment_intent.amount_capturable_updated")
        return self._succeed(intent, amount)

    def _succeed(self, intent: Object, amount: int) -> Object:
        intent |= {"status": "succeeded", "amount_received": amount, "amount_capturable": 0}
        if intent["setup_future_usage"] and intent["customer"]:
            method = self._desk.found("payment_method", intent["payment_method"])
            self._desk.keep(method | {"customer": intent["customer"]}, "payment_method.attached")
        return self._desk.keep(intent, "payment_intent.succeeded")


def _unexpected(intent: Object, done: str) -> Refusal:
    return Refusal(
        400, "payment_intent_unexpected_state",
        f"This PaymentIntent could not be {done} because it has a status of {intent['status']}.",
        payment_intent=shown(intent),
    )  # fmt: skip
