"""Loom: the practice system for coaches, on one PostgreSQL guarded by row-level security."""
