"""The loom command."""
