"""A payment gateway of Loom's own: behaves like the real ones, and badly on demand. Never money."""

from loom.providers.payments.sandbox_server.app import SandboxServer

__all__ = ["SandboxServer"]
