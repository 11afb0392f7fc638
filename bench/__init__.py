"""Budgets of the design, measured: each script prints a ratio against a baseline of the same minute, and a verdict."""
