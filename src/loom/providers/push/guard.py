"""Where notices may be sent: a subscription's address comes from a browser, so it is a stranger's word.

Without this guard anyone with an account could make the server call addresses inside the operator's network.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from loom.providers.errors import PermanentError, RetryableError

MAX_ENDPOINT_LENGTH = 2000


class EndpointRefusedError(PermanentError):
    """The address is none that notices may be sent to."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, reason="endpoint_refused")


def check_endpoint(endpoint: str, *, allow_local: bool = False) -> SplitResult:
    """The address in parts if it may be kept at all; EndpointRefusedError otherwise.

    Only https with a host name that is not plainly local. With `allow_local`, for demos and tests, http on a loopback
    address passes as well. What a name resolves to is looked at when something is sent.
    """
    if len(endpoint) > MAX_ENDPOINT_LENGTH or any(char.isspace() or not char.isprintable() for char in endpoint):
        raise EndpointRefusedError("the address is too long or holds characters that addresses do not have")
    if not endpoint.isascii():
        raise EndpointRefusedError("the address holds letters that must be written as a browser sends them, in ASCII")
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise EndpointRefusedError("this is no address") from error
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise EndpointRefusedError("the address must have a host and neither user name nor fragment")
    if ":" in host or parts.netloc.endswith(":"):
        # Push services have names; and no signature can be made out to such an origin.
        raise EndpointRefusedError("the address must name its host, and a port only where a number follows the colon")
    literal = _literal(host)
    if allow_local and literal is not None and literal.is_loopback and parts.scheme in {"http", "https"}:
        return parts
    if parts.scheme != "https":
        raise EndpointRefusedError("the address must begin with https://")
    if port not in {None, 443} and port is not None and port < 1024:
        raise EndpointRefusedError("the address names a port that no push service uses")
    if literal is not None and not _is_public(literal):
        raise EndpointRefusedError("the address points into a private network")
    if literal is None and ("." not in host or host.endswith((".localhost", ".local", ".internal", ".home.arpa"))):
        raise EndpointRefusedError("the address points into a private network")
    return parts


async def resolve_host(host: str, port: int, *, allow_local: bool = False) -> str:
    """The one network address to connect to for a host; EndpointRefusedError where any it has is not public.

    Resolving once and connecting to that very address leaves no moment in which the name can change its mind.
    """
    literal = _literal(host)
    if literal is not None:
        if not _is_public(literal) and not (allow_local and literal.is_loopback):
            raise EndpointRefusedError("the address points into a private network")
        return str(literal)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise RetryableError(f"{host} does not resolve", reason="push_unreachable") from error
    addresses = [str(info[4][0]) for info in found]
    if not addresses or not all(_is_public(ipaddress.ip_address(one.partition("%")[0])) for one in addresses):
        raise EndpointRefusedError("the address points into a private network")
    return addresses[0]


def origin_of(parts: SplitResult) -> str:
    """Scheme, host and port where it is not the scheme's own; the audience of a VAPID token."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        # Resolvers also read 127.1, 0x7f000001 and 2130706433 as addresses.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return _is_public(inner)
        if address in ipaddress.ip_network("64:ff9b::/96"):
            return _is_public(ipaddress.IPv4Address(address.packed[12:]))
    return address.is_global and not address.is_multicast
