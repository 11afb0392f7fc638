"""Types that several features share."""

from __future__ import annotations

from typing import NewType
from uuid import UUID

UserId = NewType("UserId", UUID)
PracticeId = NewType("PracticeId", UUID)
SessionId = NewType("SessionId", UUID)
"""A coaching session, never a sign-in session."""
AttendeeId = NewType("AttendeeId", UUID)
InvoiceId = NewType("InvoiceId", UUID)
PaymentId = NewType("PaymentId", UUID)
ConversationId = NewType("ConversationId", UUID)
MessageId = NewType("MessageId", UUID)
