"""Conversations, messages, mentions, receipts and the delivery of each message."""
