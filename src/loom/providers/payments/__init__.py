"""Payment gateways behind one protocol."""

from loom.providers.payments.protocol import (
    GatewayEvent,
    GatewayRefusedError,
    IntentSnapshot,
    OpenedAccount,
    OutcomeUnknownError,
    PaymentGateway,
    RefundSnapshot,
    SavedMethod,
    WebhookReader,
    WebhookRefusedError,
)
from loom.providers.payments.registry import (
    Credentials,
    open_gateway,
    open_new_account,
    read_stored_event,
    webhook_reader,
)

__all__ = [
    "Credentials",
    "GatewayEvent",
    "GatewayRefusedError",
    "IntentSnapshot",
    "OpenedAccount",
    "OutcomeUnknownError",
    "PaymentGateway",
    "RefundSnapshot",
    "SavedMethod",
    "WebhookReader",
    "WebhookRefusedError",
    "open_gateway",
    "open_new_account",
    "read_stored_event",
    "webhook_reader",
]
