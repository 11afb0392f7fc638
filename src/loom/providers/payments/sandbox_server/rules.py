"""How the sandbox treats money. Every function runs inside one transaction of the store.

Cards: tok_approve, tok_decline, tok_expired, tok_3ds (asks the payer), tok_timeout (charges, then answers 504),
tok_lost (answers 504 and charges nothing), tok_processing (stays so until it is settled), tok_late_refund_failure
(approved; its refunds succeed and fail later), tok_refund_failure (approved; its refunds fail at once).
"""

from __future__ import annotations

from typing import Any

from loom.providers.payments.sandbox_server.store import Object, Store, new_id

LARGEST_AMOUNT = 99_999_999
_LAST4 = {"tok_decline": "0002", "tok_expired": "0069", "tok_3ds": "3155", "tok_timeout": "5555", "tok_lost": "6666"}
CARDS = frozenset({*_LAST4, "tok_approve", "tok_processing", "tok_late_refund_failure", "tok_refund_failure"})
_DECLINES = {
    "tok_decline": ("card_declined", "The card was declined."),
    "tok_expired": ("expired_card", "The card has expired."),
}


class Refusal(Exception):
    """An answer that is no success: status, code, sentence. Nothing was changed."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


class Bank:
    """The rules, for one account. `answer_lost` is set where the change stands but the caller must not hear of it."""

    def __init__(self, store: Store, account: str, base_url: str = "") -> None:
        self._store = store
        self._account = account
        self._base_url = base_url
        self.answer_lost = False

    # intents

    def create_intent(self, body: Object) -> Object:
        """A plan to collect `amount` in `currency`; `capture` manual holds the money first."""
        amount = _amount(body)
        currency = body.get("currency")
        if (
            not isinstance(currency, str)
            or len(currency) != 3
            or not currency.isalpha()
            or currency != currency.upper()
        ):
            raise Refusal(400, "currency_invalid", "The currency must be a code of three capitals.")
        card = body.get("card")
        if card is not None:
            _known_card(card)
        intent_id = new_id("pi")
        intent: Object = {
            "id": intent_id, "object": "intent", "amount": amount, "amount_received": 0, "amount_capturable": 0,
            "currency": currency, "reference": body.get("reference"), "capture": body.get("capture", "automatic"),
            "client_secret": new_id(f"{intent_id}_secret"), "charge": None, "next_action": None, "last_error": None,
            "card": card, "status": "requires_confirmation" if card else "requires_payment_method",
        }  # fmt: skip
        return self._store_and_tell(intent, "intent.created")

    def intent(self, intent_id: str) -> Object:
        """The intent, or 404."""
        found = self._store.get(self._account, "intent", intent_id)
        if found is None:
            raise Refusal(404, "not_found", "There is no such intent.")
        return found

    def confirm(self, intent_id: str, body: Object) -> Object:
        """Charges. A decline puts the intent back to where it waits for a card."""
        intent = self.intent(intent_id)
        if intent["status"] not in ("requires_payment_method", "requires_confirmation"):
            raise Refusal(409, "intent_state", f"An intent that is {intent['status']} can't be confirmed.")
        card = self._card(body, intent)
        intent["card"], intent["last_error"] = card, None
        if card == "tok_lost":
            raise Refusal(504, "gateway_timeout", "The bank did not answer.")
        if card in _DECLINES:
            return self._decline(intent, *_DECLINES[card])
        if card == "tok_3ds":
            intent["status"] = "requires_action"
            intent["next_action"] = {"type": "redirect", "url": f"{self._base_url}/authenticate/{intent_id}"}
            return self._store_and_tell(intent, "intent.requires_action")
        if card == "tok_processing":
            intent["status"] = "processing"
            return self._store_and_tell(intent, "intent.processing")
        self.answer_lost = card == "tok_timeout"
        return self._charge(intent)

    def authenticate(self, intent_id: str, *, approved: bool) -> Object:
        """What the payer told the card's issuer."""
        intent = self.intent(intent_id)
        if intent["status"] != "requires_action":
            raise Refusal(409, "intent_state", "Nothing is asked of the payer.")
        intent["next_action"] = None
        if approved:
            return self._charge(intent)
        return self._decline(intent, "authentication_failed", "The payer did not prove to be the card's owner.")

    def settle(self, intent_id: str, *, approved: bool) -> Object:
        """Ends the processing of an intent."""
        intent = self.intent(intent_id)
        if intent["status"] != "processing":
            raise Refusal(409, "intent_state", "The intent is not being processed.")
        return self._charge(intent) if approved else self._decline(intent, "card_declined", "The card was declined.")

    def capture(self, intent_id: str) -> Object:
        """Takes money that was held."""
        intent = self.intent(intent_id)
        if intent["status"] != "requires_capture":
            raise Refusal(409, "intent_state", "Nothing is held.")
        intent["amount_capturable"] = 0
        return self._take(intent)

    def cancel(self, intent_id: str) -> Object:
        """Gives an intent up; one that is canceled already stays so."""
        intent = self.intent(intent_id)
        if intent["status"] == "canceled":
            return intent
        if intent["status"] in ("succeeded", "processing"):
            raise Refusal(409, "intent_state", f"An intent that is {intent['status']} can't be canceled.")
        intent["status"], intent["next_action"], intent["amount_capturable"] = "canceled", None, 0
        return self._store_and_tell(intent, "intent.canceled")

    # refunds

    def create_refund(self, body: Object) -> Object:
        """Gives back what is left of a charge, never more."""
        amount = _amount(body)
        charge = self._store.get(self._account, "charge", str(body.get("charge")))
        if charge is None:
            raise Refusal(404, "not_found", "There is no such charge.")
        if charge["refunded"] + amount > charge["amount"]:
            raise Refusal(409, "refund_exceeds_charge", "That is more than is left of the charge.")
        intent = self.intent(charge["intent"])
        refund: Object = {
            "id": new_id("re"), "object": "refund", "charge": charge["id"], "amount": amount,
            "currency": charge["currency"], "reference": body.get("reference"), "failure_reason": None,
        }  # fmt: skip
        if intent["card"] == "tok_refund_failure":
            refund |= {"status": "failed", "failure_reason": "lost_or_stolen_card"}
            return self._store_and_tell(refund, "refund.failed")
        charge["refunded"] += amount
        self._store.put(self._account, charge)
        refund["status"] = "pending" if self._store.knobs(self._account).get("refunds") == "pending" else "succeeded"
        made = self._store_and_tell(refund, "refund.created")
        if intent["card"] == "tok_late_refund_failure":
            return self.fail_refund(refund["id"])
        return made

    def refund(self, refund_id: str) -> Object:
        """The refund, or 404."""
        found = self._store.get(self._account, "refund", refund_id)
        if found is None:
            raise Refusal(404, "not_found", "There is no such refund.")
        return found

    def fail_refund(self, refund_id: str) -> Object:
        """The money could not be given back after all."""
        refund = self.refund(refund_id)
        if refund["status"] == "failed":
            return refund
        charge = self._store.get(self._account, "charge", refund["charge"])
        if charge is not None:
            charge["refunded"] -= refund["amount"]
            self._store.put(self._account, charge)
        refund |= {"status": "failed", "failure_reason": "lost_or_stolen_card"}
        return self._store_and_tell(refund, "refund.failed")

    def complete_refund(self, refund_id: str) -> Object:
        """A pending refund went through."""
        refund = self.refund(refund_id)
        if refund["status"] != "pending":
            raise Refusal(409, "refund_state", "The refund is not pending.")
        refund["status"] = "succeeded"
        return self._store_and_tell(refund, "refund.updated")

    # methods

    def save_method(self, body: Object) -> Object:
        """Keeps a card."""
        card = _known_card(body.get("card"))
        if card in _DECLINES:
            raise Refusal(402, *_DECLINES[card])
        method: Object = {
            "id": new_id("pm"), "object": "payment_method", "card": card, "brand": "visa",
            "last4": _LAST4.get(card, "4242"), "exp_month": 12, "exp_year": 2034,
            "reference": body.get("reference"), "detached": False,
        }  # fmt: skip
        return self._store.put(self._account, method)

    def detach_method(self, method_id: str) -> Object:
        """Forgets a card."""
        method = self._store.get(self._account, "payment_method", method_id)
        if method is None:
            raise Refusal(404, "not_found", "There is no such card.")
        method["detached"] = True
        return self._store.put(self._account, method)

    # what these share

    def _card(self, body: Object, intent: Object) -> str:
        if body.get("payment_method") is not None:
            method = self._store.get(self._account, "payment_method", str(body["payment_method"]))
            if method is None or method["detached"]:
                raise Refusal(404, "not_found", "There is no such card.")
            return str(method["card"])
        return _known_card(body.get("card") or intent["card"])

    def _decline(self, intent: Object, code: str, message: str) -> Object:
        intent |= {"status": "requires_payment_method", "card": None, "last_error": {"code": code, "message": message}}
        return self._store_and_tell(intent, "intent.payment_failed")

    def _charge(self, intent: Object) -> Object:
        charge: Object = {
            "id": new_id("ch"), "object": "charge", "intent": intent["id"], "amount": intent["amount"],
            "currency": intent["currency"], "refunded": 0,
        }  # fmt: skip
        self._store.put(self._account, charge)
        intent["charge"] = charge["id"]
        if intent["capture"] == "manual":
            intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
            return self._store_and_tell(intent, "intent.amount_capturable_updated")
        return self._take(intent)

    def _take(self, intent: Object) -> Object:
        intent |= {"status": "succeeded", "amount_received": intent["amount"]}
        return self._store_and_tell(intent, "intent.succeeded")

    def _store_and_tell(self, body: Object, event: str) -> Object:
        self._store.put(self._account, body)
        knobs = self._store.knobs(self._account)
        mode = knobs.get("delivery", "normal")
        self._store.add_event(
            self._account,
            event,
            {name: value for name, value in body.items() if name not in ("client_secret", "card")},
            delay=float(knobs.get("delay_seconds", 0)) if mode == "late" else 0,
            copies={"twice": 2, "never": 0}.get(mode, 1),
            withheld=mode == "withhold",
        )
        return body


def _amount(body: Object) -> int:
    amount: Any = body.get("amount")
    if not isinstance(amount, int) or isinstance(amount, bool) or not 0 < amount <= LARGEST_AMOUNT:
        raise Refusal(400, "amount_invalid", f"The amount must be a whole number from 1 to {LARGEST_AMOUNT}.")
    return amount


def _known_card(card: object) -> str:
    if not isinstance(card, str) or card not in CARDS:
        raise Refusal(402, "card_unknown", f"The sandbox has no such card. It has {', '.join(sorted(CARDS))}.")
    return card
