"""Tranzila's notices: what came to an address of ours, as a reason to look."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from loom.providers.payments.protocol import GatewayEvent, Hint, WebhookRefusedError
from loom.providers.payments.tranzila_wire import proven

PROOF = "loom"
"""The parameter of a notice's address that proves it was made here."""
# What a notice tells of the card and its owner beyond what anybody needs here.
_NEVER_KEPT = frozenset(
    {
        "ccno",
        "cardno",
        "card_number",
        "expdate",
        "mycvv",
        "cvv",
        "myid",
        "credit_card_owner_id",
        "tranzilapw",
        "creditpass",
    }
)


class TranzilaWebhooks:
    """Reads Tranzila's notices. Not they but their address is signed; what they say is only a reason to look."""

    signed = False

    def read(
        self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes, secrets: list[str], now: datetime
    ) -> GatewayEvent:
        """See WebhookReader."""
        del headers
        reference = proven(query.get(PROOF), secrets)
        try:
            fields = dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=200))
        except (UnicodeDecodeError, ValueError) as exc:
            raise WebhookRefusedError("The notice can't be read.", reason="malformed") from exc
        if not fields:
            raise WebhookRefusedError("The notice is empty, or not the form that was expected.", reason="malformed")
        kept: dict[str, Any] = {name: value for name, value in fields.items() if name.lower() not in _NEVER_KEPT}
        kept[PROOF] = reference
        digest = hashlib.sha256(urlencode(sorted(fields.items())).encode()).hexdigest()
        return self._event(f"notice_{digest[:40]}", now, kept)

    def stored(self, payload: dict[str, Any]) -> GatewayEvent:
        """See WebhookReader."""
        return self._event("", None, payload)

    def _event(self, event_id: str, at: datetime | None, kept: dict[str, Any]) -> GatewayEvent:
        mode = str(kept.get("tranmode") or "").upper()
        setup = mode in ("K", "NK")
        return GatewayEvent(
            event_id=event_id,
            event_type=f"notice.{mode[:2].lower() or 'none'}.{str(kept.get('Response') or 'none')[:8]}",
            occurred_at=at,
            hint=Hint("setup" if setup else "intent", str(kept[PROOF]), str(kept[PROOF])),
            payload=kept,
        )
