"""Invoices, payments, refunds, payment methods and gateways."""
