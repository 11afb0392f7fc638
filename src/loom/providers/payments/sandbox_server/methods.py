"""Customers, saved cards and how they come to be saved."""

from __future__ import annotations

from loom.providers.payments.sandbox_server.cards import BY_TOKEN, Card, known_tokens
from loom.providers.payments.sandbox_server.desk import Desk, Refusal, flag, metadata_of, new_secret, part_of
from loom.providers.payments.sandbox_server.store import Object, new_id


class Methods:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def create_customer(self, body: Object) -> Object:
        """Somebody whose cards are kept."""
        return self._desk.keep({
            "id": new_id("cus"), "object": "customer", "created": self._desk.now(), "livemode": False,
            "email": body.get("email"), "name": body.get("name"), "metadata": metadata_of(body),
        })  # fmt: skip

    def create(self, body: Object) -> Object:
        """A payment method out of a test card's token; card numbers are only taken by the hosted page."""
        token = part_of(body, "card").get("token")
        if body.get("type") != "card" or not isinstance(token, str):
            raise Refusal(
                402, "card_number_refused", "Give a test token; numbers belong on the hosted page.", kind="card_error"
            )
        return self.make(token.replace("tok_", "pm_card_", 1))

    def make(self, token: str) -> Object:
        """A payment method out of a test card."""
        card = BY_TOKEN.get(token)
        if card is None:
            raise Refusal(
                404, "resource_missing", f"No such PaymentMethod: '{token}'; the sandbox has {known_tokens()}.",
                param="payment_method",
            )  # fmt: skip
        return self._desk.keep({
            "id": new_id("pm"), "object": "payment_method", "type": "card", "created": self._desk.now(),
            "livemode": False, "customer": None, "metadata": {}, "allow_redisplay": "unspecified",
            "card": {"brand": card.brand, "last4": card.last4, "exp_month": 12, "exp_year": 2034, "funding": "credit",
                     "country": "US", "wallet": None},
            "_card": card.token, "_proven": False,
        })  # fmt: skip

    def resolve(self, name: object) -> Object:
        """A payment method by its id, or made of a test card's token."""
        if not isinstance(name, str):
            raise Refusal(400, "parameter_missing", "Missing required param: payment_method.", param="payment_method")
        if name.startswith(("pm_card_", "pm_sandbox_")):
            return self.make(name)
        return self._desk.found("payment_method", name)

    def attach(self, method_id: str, body: Object) -> Object:
        """To a customer."""
        customer = self._desk.found("customer", str(body.get("customer")))
        method = self.resolve(method_id)
        card = card_of(method)
        if card.behaviour == "decline":
            raise Refusal(
                402, card.code or "card_declined", card.message, kind="card_error", decline_code=card.decline_code
            )
        method["customer"] = customer["id"]
        return self._desk.keep(method, "payment_method.attached")

    def detach(self, method_id: str) -> Object:
        """Forgets a card."""
        method = self._desk.found("payment_method", method_id)
        if method["customer"] is None:
            raise Refusal(
                400, "payment_method_unexpected_state", "The payment method you provided is not attached to a customer."
            )
        method["customer"] = None
        return self._desk.keep(method, "payment_method.detached")

    # setup intents

    def create_setup(self, body: Object) -> Object:
        """A plan to keep a card."""
        setup_id = new_id("seti")
        customer = body.get("customer")
        if customer is not None:
            self._desk.found("customer", str(customer))
        setup: Object = {
            "id": setup_id, "object": "setup_intent", "created": self._desk.now(), "livemode": False,
            "customer": customer, "payment_method": None, "usage": body.get("usage", "off_session"),
            "status": "requires_payment_method", "client_secret": new_secret(setup_id), "next_action": None,
            "last_setup_error": None, "metadata": metadata_of(body), "payment_method_types": ["card"],
            "cancellation_reason": None,
        }  # fmt: skip
        self._desk.keep(setup, "setup_intent.created", parent=str(customer) if customer else None)
        return self.confirm_setup(setup_id, body) if flag(body, "confirm") else setup

    def confirm_setup(self, setup_id: str, body: Object) -> Object:
        """Keeps the card, unless its issuer wants to be asked first."""
        setup = self._desk.found("setup_intent", setup_id)
        if setup["status"] not in ("requires_payment_method", "requires_confirmation"):
            raise Refusal(
                400, "setup_intent_unexpected_state", f"This SetupIntent is {setup['status']}.", setup_intent=setup
            )
        method = self.resolve(body.get("payment_method") or setup["payment_method"])
        card = card_of(method)
        setup["payment_method"] = method["id"]
        if card.behaviour == "decline":
            error: Object = {
                "type": "card_error",
                "code": card.code,
                "decline_code": card.decline_code,
                "message": card.message,
            }
            setup |= {"status": "requires_payment_method", "payment_method": None, "last_setup_error": error}
            self._desk.keep(setup, "setup_intent.setup_failed")
            raise Refusal(402, card.code or "card_declined", card.message, kind="card_error", keep=True,
                          decline_code=card.decline_code)  # fmt: skip
        if card.behaviour == "never_arrived":
            raise Refusal(504, "gateway_timeout", "The bank did not answer.", kind="api_error")
        if card.behaviour in ("ask", "ask_once"):
            setup["status"] = "requires_action"
            setup["next_action"] = redirect(f"{self._desk.base_url}/challenge/{setup_id}", body.get("return_url"))
            return self._desk.keep(setup, "setup_intent.requires_action")
        self._desk.answer_lost = card.behaviour == "answer_lost"
        return self._kept(setup, method)

    def answer_setup(self, setup_id: str, *, approved: bool) -> Object:
        """What the owner of the card told its issuer."""
        setup = self._desk.found("setup_intent", setup_id)
        if setup["status"] != "requires_action":
            raise Refusal(400, "setup_intent_unexpected_state", "Nothing is asked of the card's owner.")
        setup["next_action"] = None
        method = self._desk.found("payment_method", setup["payment_method"])
        if approved:
            method["_proven"] = True
            return self._kept(setup, method)
        setup |= {"status": "requires_payment_method", "payment_method": None,
                  "last_setup_error": {"type": "card_error", "code": "setup_intent_authentication_failure",
                                       "message": "The card's owner did not approve."}}  # fmt: skip
        return self._desk.keep(setup, "setup_intent.setup_failed")

    def cancel_setup(self, setup_id: str) -> Object:
        """Gives it up."""
        setup = self._desk.found("setup_intent", setup_id)
        if setup["status"] in ("succeeded", "canceled"):
            raise Refusal(400, "setup_intent_unexpected_state", f"This SetupIntent is {setup['status']}.")
        return self._desk.keep(setup | {"status": "canceled", "next_action": None}, "setup_intent.canceled")

    def _kept(self, setup: Object, method: Object) -> Object:
        if setup["customer"] is not None:
            method["customer"] = setup["customer"]
            self._desk.keep(method, "payment_method.attached")
        return self._desk.keep(
            setup | {"status": "succeeded", "payment_method": method["id"]}, "setup_intent.succeeded"
        )


def card_of(method: Object) -> Card:
    """The test card behind a payment method."""
    return BY_TOKEN[method["_card"]]


def redirect(url: str, return_url: object) -> Object:
    """What asks a person to go somewhere."""
    return {"type": "redirect_to_url", "redirect_to_url": {"url": url, "return_url": return_url}}
