"""Stripe's objects in Loom's words. An unknown state raises: it must not be taken for any known one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from loom.providers.payments.card_numbers import masked
from loom.providers.payments.protocol import (
    GatewayEvent,
    Hint,
    HintKind,
    IntentSnapshot,
    IntentStatus,
    Movement,
    RefundSnapshot,
    RefundStatus,
    SavedMethod,
    SetupSnapshot,
    UnknownStateError,
)

Object = Mapping[str, Any]

# requires_action waits for a person as requires_confirmation does; requires_capture is money that is not ours yet.
INTENT: dict[str, IntentStatus] = {
    "requires_payment_method": "requires_payment_method",
    "requires_confirmation": "requires_confirmation",
    "requires_action": "requires_confirmation",
    "processing": "processing",
    "requires_capture": "processing",
    "succeeded": "succeeded",
    "canceled": "canceled",
}
# A refund that is pending there has already been sent by us.
REFUND: dict[str, RefundStatus] = {
    "pending": "processing",
    "requires_action": "processing",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}
# Kinds of events that are a reason to look, and at what. Disputes and invoices of Stripe's are not followed.
_HINTS: dict[str, HintKind] = {
    "payment_intent": "intent",
    "charge": "intent",
    "refund": "refund",
    "checkout.session": "checkout",
    "setup_intent": "setup",
    "payment_method": "method",
}
EVENTS = (
    "payment_intent.created", "payment_intent.requires_action", "payment_intent.processing",
    "payment_intent.amount_capturable_updated", "payment_intent.partially_funded", "payment_intent.succeeded",
    "payment_intent.payment_failed", "payment_intent.canceled", "charge.pending", "charge.succeeded", "charge.failed",
    "charge.captured", "charge.updated", "charge.expired", "charge.refunded", "refund.created", "refund.updated",
    "refund.failed", "charge.refund.updated", "setup_intent.succeeded", "setup_intent.setup_failed",
    "payment_method.attached", "payment_method.detached", "payment_method.automatically_updated",
    "checkout.session.completed", "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed",
    "checkout.session.expired",
)  # fmt: skip


def intent_snapshot(said: Object) -> IntentSnapshot:
    """A PaymentIntent; its `latest_charge` may be expanded."""
    status = INTENT.get(said["status"])
    if status is None:
        raise UnknownStateError("payment intent", str(said["status"]))
    fault = cast("Object", said.get("last_payment_error") or {})
    return IntentSnapshot(
        provider_intent_id=said["id"],
        status=status,
        provider_status=said["status"],
        currency=said["currency"].upper(),
        reference=reference_of(said),
        client_secret=said.get("client_secret"),
        amount_cents=said.get("amount"),
        # What was received, not what was asked for: less of it is normal after a partial capture or approval.
        amount_received_cents=said.get("amount_received"),
        amount_capturable_cents=said.get("amount_capturable") or 0,
        charge_id=_id(said.get("latest_charge")),
        next_action=_action(said.get("next_action")),
        error_code=_code(fault),
        error_message=masked(fault.get("message") or "") or None,
        wallet=_wallet(said.get("latest_charge")),
    )


def refund_snapshot(said: Object) -> RefundSnapshot:
    """A Refund."""
    status = REFUND.get(said["status"])
    if status is None:
        raise UnknownStateError("refund", str(said["status"]))
    return RefundSnapshot(
        provider_refund_id=said["id"],
        status=status,
        provider_status=said["status"],
        currency=said["currency"].upper(),
        amount_cents=said["amount"],
        charge_id=_id(said["charge"]) or "",
        reference=reference_of(said),
        failure_reason="canceled" if said["status"] == "canceled" else said.get("failure_reason"),
    )


def setup_snapshot(said: Object, method: Object | None) -> SetupSnapshot:
    """A SetupIntent, with its payment method where it has succeeded."""
    status = INTENT.get(said["status"])
    if status is None:
        raise UnknownStateError("setup intent", str(said["status"]))
    fault = cast("Object", said.get("last_setup_error") or {})
    return SetupSnapshot(
        provider_setup_id=said["id"],
        status=status,
        provider_status=said["status"],
        saved=saved_method(method) if method is not None and status == "succeeded" else None,
        next_action=_action(said.get("next_action")),
        error_code=_code(fault),
        error_message=masked(fault.get("message") or "") or None,
    )


def saved_method(said: Object) -> SavedMethod:
    """A PaymentMethod."""
    card = cast("Object", said.get("card") or {})
    return SavedMethod(
        said["id"],
        card.get("brand"),
        card.get("last4"),
        card.get("exp_month"),
        card.get("exp_year"),
        _id(said.get("customer")),
    )


def movement_of_charge(said: Object) -> Movement:
    """A Charge in the list for reconciliation. Money that is only held has not moved."""
    status = {"succeeded": "paid" if said.get("captured") else "pending", "pending": "pending", "failed": "failed"}
    if status.get(said["status"]) == "pending" and said.get("refunded"):
        state = "canceled"
    else:
        state = status.get(said["status"], str(said["status"]))
    return Movement(
        kind="charge",
        provider_id=said["id"],
        amount_cents=said["amount_captured"] if state == "paid" else said["amount"],
        currency=said["currency"].upper(),
        status=state,
        at=moment(said["created"]),
        reference=reference_of(said),
        provider_intent_id=_id(said.get("payment_intent")),
    )


def movement_of_refund(said: Object) -> Movement:
    """A Refund in the list for reconciliation."""
    return Movement(
        kind="refund",
        provider_id=said["id"],
        amount_cents=said["amount"],
        currency=said["currency"].upper(),
        status=REFUND.get(said["status"], str(said["status"])),
        at=moment(said["created"]),
        reference=reference_of(said),
        provider_intent_id=_id(said.get("payment_intent")),
        charge_id=_id(said.get("charge")),
    )


def event(said: Object) -> GatewayEvent:
    """An event; raises KeyError, TypeError and the like where it has not Stripe's form."""
    subject = cast("Object", said["data"]["object"])
    kind = _HINTS.get(subject["object"]) if said["type"] in EVENTS else None
    return GatewayEvent(
        event_id=str(said["id"]),
        event_type=str(said["type"]),
        occurred_at=moment(said["created"]),
        hint=None if kind is None else _hint(kind, subject),
        payload=_kept(dict(said)),
    )


def _hint(kind: HintKind, subject: Object) -> Hint:
    own_id = str(subject["id"])
    if subject["object"] == "charge":
        # A charge is looked at by its intent; refunds of it are looked at by refund.* alone, lest they count twice.
        own_id = _id(subject.get("payment_intent")) or own_id
    parent = {"refund": "charge", "checkout": "payment_intent"}.get(kind)
    return Hint(
        kind=kind,
        provider_id=own_id,
        reference=reference_of(subject),
        parent_id=_id(subject.get(parent)) if parent else None,
    )


def _kept(said: Any) -> Any:
    """What may be stored of an event: all but what lets its holder pay."""
    if isinstance(said, Mapping):
        members = cast("Mapping[str, Any]", said)
        return {name: _kept(value) for name, value in members.items() if name not in ("client_secret", "fingerprint")}
    if isinstance(said, list):
        return [_kept(one) for one in cast("list[Any]", said)]
    return said


def moment(seconds: float) -> datetime:
    """Stripe's time."""
    return datetime.fromtimestamp(float(seconds), UTC)


def reference_of(said: Object) -> str | None:
    """Our id of it."""
    metadata = cast("Object", said.get("metadata") or {})
    return metadata.get("reference")


def _id(value: Any) -> str | None:
    """The id of something that may be expanded."""
    if isinstance(value, Mapping):
        return str(cast("Object", value)["id"])
    return None if value is None else str(value)


def _code(fault: Object) -> str | None:
    """The most telling of the codes: authentication_required and insufficient_funds are decline codes."""
    return fault.get("decline_code") if fault.get("code") == "card_declined" else fault.get("code")


def _action(said: Any) -> dict[str, Any] | None:
    if not said:
        return None
    action = cast("Object", said)
    where = cast("Object", action.get("redirect_to_url") or {})
    return {"type": "redirect" if where else str(action.get("type")), "url": where.get("url")}


def _wallet(charge: Any) -> str | None:
    said = charge
    for name in ("payment_method_details", "card", "wallet"):
        said = cast("Object", said).get(name) if isinstance(said, Mapping) else None
    return str(cast("Object", said)["type"]) if isinstance(said, Mapping) else None
