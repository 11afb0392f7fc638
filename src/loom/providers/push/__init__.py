"""Web Push (RFC 8030, 8291, 8292): notices to people's devices."""

from __future__ import annotations

from loom.providers.push.protocol import PushGoneError, PushSender, PushTarget
from loom.providers.push.webpush import WebPushSender

__all__ = ["PushGoneError", "PushSender", "PushTarget", "WebPushSender"]
