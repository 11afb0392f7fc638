"""Billing, against a real PostgreSQL."""
