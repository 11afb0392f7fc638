"""Rules of accounts: plain functions over transactions, no HTTP and no SQL text."""

from loom.features.identity.service.accounts import CreatedUser, create_user

__all__ = ["CreatedUser", "create_user"]
