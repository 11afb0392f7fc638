"""`t=<unix time>,v1=<hex HMAC-SHA256 of "t.body">`, as Stripe signs."""

from __future__ import annotations

import hashlib
import hmac

from loom.providers.payments.protocol import WebhookRefusedError

SIGNATURE_HEADER = "stripe-signature"
TOLERANCE_SECONDS = 300


def sign(secret: str, body: bytes, timestamp: int) -> str:
    """The header's value."""
    return f"t={timestamp},v1={_mac(secret, body, timestamp)}"


def verify(header: str | None, body: bytes, secrets: list[str], now: float) -> None:
    """Raises WebhookRefusedError unless one v1 fits one secret and the time is within the tolerance.

    The time is part of what is signed, so an old event cannot be sent again under a new one.
    """
    if not header:
        raise WebhookRefusedError("The event is not signed.", reason="signature_missing")
    if not any(secrets):
        raise WebhookRefusedError("There is no secret to check the signature with.", reason="signature_invalid")
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    given = [value.encode("latin-1", "replace") for name, _, value in pairs if name == "v1"]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) < 15) or not given:
        raise WebhookRefusedError("The signature has not the form it should have.", reason="signature_invalid")
    timestamp = int(times[0])
    wanted = [_mac(secret, body, timestamp).encode() for secret in secrets if secret]
    # Every pair is compared, whichever fits first: the time taken tells nothing.
    if not sum(hmac.compare_digest(one, other) for one in wanted for other in given):
        raise WebhookRefusedError("The signature does not fit.", reason="signature_invalid")
    if abs(now - timestamp) > TOLERANCE_SECONDS:
        raise WebhookRefusedError("The event is too old, or from the future.", reason="timestamp_out_of_range")


def _mac(secret: str, body: bytes, timestamp: int) -> str:
    return hmac.new(secret.encode(), str(timestamp).encode() + b"." + body, hashlib.sha256).hexdigest()
