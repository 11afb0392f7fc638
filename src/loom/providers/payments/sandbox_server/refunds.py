"""Money that goes back, and sometimes does not arrive."""

from __future__ import annotations

from loom.providers.payments.sandbox_server.cards import BY_TOKEN
from loom.providers.payments.sandbox_server.desk import Desk, Refusal, amount_of, metadata_of
from loom.providers.payments.sandbox_server.store import Object, new_id


class Refunds:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def create(self, body: Object) -> Object:
        """Gives back what is left of a charge, never more."""
        charge = self._desk.found("charge", self._charge_id(body))
        if not charge["captured"] or charge["status"] != "succeeded":
            raise Refusal(400, "charge_not_refundable", f"Charge {charge['id']} has not been captured.")
        left = charge["amount_captured"] - charge["amount_refunded"]
        if left == 0:
            raise Refusal(400, "charge_already_refunded", f"Charge {charge['id']} has already been refunded.")
        amount = amount_of(body) if "amount" in body else left
        if amount > left:
            message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})."
            raise Refusal(400, "refund_exceeds_charge", message, param="amount")
        refund: Object = {
            "id": new_id("re"), "object": "refund", "created": self._desk.now(), "amount": amount,
            "currency": charge["currency"], "charge": charge["id"], "payment_intent": charge["payment_intent"],
            "reason": body.get("reason"), "metadata": metadata_of(body), "failure_reason": None,
        }  # fmt: skip
        behaviour = BY_TOKEN[charge["_card"]].refunds
        if behaviour == "refuse":
            refund |= {"status": "failed", "failure_reason": "declined"}
            return self._desk.keep(refund, "refund.failed", parent=charge["id"])
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
        refund["status"] = (
            "pending" if behaviour == "pending" or self._desk.knob("refunds") == "pending" else "succeeded"
        )
        self._desk.keep(refund, "refund.created", parent=charge["id"])
        self._desk.keep(charge, "charge.refunded")
        # The answer to the call still says succeeded; the bank thinks otherwise a moment later.
        return dict(refund) if behaviour != "fail_later" else self._failed_behind(dict(refund))

    def _failed_behind(self, answered: Object) -> Object:
        self.fail(answered["id"])
        return answered

    def fail(self, refund_id: str, reason: str = "lost_or_stolen_card") -> Object:
        """The money could not be given back after all."""
        refund = self._desk.found("refund", refund_id)
        if refund["status"] in ("failed", "canceled"):
            return refund
        self._give_charge_back(refund)
        return self._desk.keep(refund | {"status": "failed", "failure_reason": reason}, "refund.failed")

    def complete(self, refund_id: str) -> Object:
        """A pending refund went through."""
        refund = self._desk.found("refund", refund_id)
        if refund["status"] != "pending":
            raise Refusal(400, "refund_unexpected_state", "The refund is not pending.")
        return self._desk.keep(refund | {"status": "succeeded"}, "refund.updated")

    def cancel(self, refund_id: str) -> Object:
        """Calls a pending refund off."""
        refund = self._desk.found("refund", refund_id)
        if refund["status"] != "pending":
            raise Refusal(400, "refund_unexpected_state", "Only a pending refund can be canceled.")
        self._give_charge_back(refund)
        return self._desk.keep(refund | {"status": "canceled"}, "refund.updated")

    def _give_charge_back(self, refund: Object) -> None:
        charge = self._desk.found("charge", refund["charge"])
        charge["amount_refunded"] -= refund["amount"]
        self._desk.keep(charge | {"refunded": False})

    def _charge_id(self, body: Object) -> str:
        if body.get("charge"):
            return str(body["charge"])
        if not body.get("payment_intent"):
            raise Refusal(400, "parameter_missing", "Give a charge or a payment_intent.", param="charge")
        intent = self._desk.found("payment_intent", str(body["payment_intent"]))
        return str(intent["latest_charge"])
