"""Payment gateways behind one protocol."""

from loom.providers.payments.protocol import (
    CREDENTIALS_REFUSED,
    GatewayEvent,
    GatewayRefusedError,
    Hint,
    HostedPage,
    IntentSnapshot,
    Movement,
    Order,
    OutcomeUnknownError,
    PageWish,
    Payer,
    PaymentGateway,
    RefundOrder,
    RefundSnapshot,
    SavedMethod,
    SetupOrder,
    SetupSnapshot,
    UnknownStateError,
    WebhookReader,
    WebhookRefusedError,
)
from loom.providers.payments.registry import Credentials, new_sandbox_key, open_gateway, webhook_reader
from loom.providers.payments.tranzila_webhooks import PROOF
from loom.providers.payments.tranzila_wire import proof_of
from loom.providers.payments.vault import Vault, vault_of

__all__ = [
    "CREDENTIALS_REFUSED",
    "PROOF",
    "Credentials",
    "GatewayEvent",
    "GatewayRefusedError",
    "Hint",
    "HostedPage",
    "IntentSnapshot",
    "Movement",
    "Order",
    "OutcomeUnknownError",
    "PageWish",
    "Payer",
    "PaymentGateway",
    "RefundOrder",
    "RefundSnapshot",
    "SavedMethod",
    "SetupOrder",
    "SetupSnapshot",
    "UnknownStateError",
    "Vault",
    "WebhookReader",
    "WebhookRefusedError",
    "new_sandbox_key",
    "open_gateway",
    "proof_of",
    "vault_of",
    "webhook_reader",
]
