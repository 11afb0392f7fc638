"""The socket that a server listens on."""

from __future__ import annotations

import errno
import socket

from loom.core.errors import OperatorError

_UNTAKEN_MS = 60_000


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. OperatorError when the port is taken or the address is not this machine's."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=512)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Handed down to each connection: one whose other side takes nothing for so long is dropped by the system,
            # with all that was waiting for it.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNTAKEN_MS)
        return listener
    except OSError as exc:
        reason = "is in use" if exc.errno == errno.EADDRINUSE else f"can't be used: {exc.strerror}"
        raise OperatorError(
            f"Port {port} on {host} {reason}. Choose another with --port; --port 0 takes a free one."
        ) from exc
