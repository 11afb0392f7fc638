"""The words that conversations are described with."""

from __future__ import annotations

from typing import Literal

ConversationType = Literal["direct", "group"]
ContextType = Literal["general", "session", "program"]
AttachmentKind = Literal["image", "document", "video", "audio", "other"]
MessageType = Literal["text", "file", "system"]
Channel = Literal["in_app", "email", "push"]
RollUp = Literal["pending", "sent", "failed"]
DeliveryState = Literal["pending", "leased", "sent", "failed", "suppressed"]
Reached = Literal["read", "told", "on_its_way", "in_the_app", "not_reached"]
UploadState = Literal["waiting", "checking", "clean", "refused", "attached", "removed"]
