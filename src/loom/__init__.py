"""Loom: the practice system for coaches, on one PostgreSQL guarded by row-level security."""

from importlib.metadata import version

__version__ = version("loom-practice")
