"""Accounts: sign-up, sign-in, second factor, sessions of a user, profiles."""
