"""Web Push over HTTP: payloads encrypted for the device (RFC 8291), requests signed with this installation's key."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast

import httpcore
import httpx
from py_vapid import Vapid02, VapidException
from pywebpush import WebPusher, WebPushException

from loom.providers.errors import PermanentError, RetryableError
from loom.providers.push.guard import check_endpoint, origin_of, resolve_host
from loom.providers.push.keys import load_vapid_key, public_point
from loom.providers.push.protocol import MAX_PAYLOAD_BYTES, PushGoneError, PushTarget

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_TOKEN_LIFE = 12 * 3600
_TOKEN_RENEWAL = 3600


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects only to addresses that notices may go to, looked at at the moment of connecting."""

    def __init__(self, allow_local: bool) -> None:
        self._inner = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())
        self._allow_local = allow_local

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolves, checks and connects."""
        address = await resolve_host(host, port, allow_local=self._allow_local)
        return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """As the base class has it."""
        await self._inner.sleep(seconds)


class WebPushSender:
    """Sends notices to push services; keeps connections, and one signed token per service for some hours."""

    def __init__(self, keys: Path, *, contact: str, allow_local: bool = False, timeout: float = 10.0) -> None:
        """`keys` is the folder of the installation's keys; `contact` a mailto: or https: address for push services.

        `allow_local` lets notices go to loopback addresses, for demos and tests.
        """
        key = load_vapid_key(keys)
        self._vapid = cast("Any", Vapid02)(key)
        self._public_key = public_point(key.public_key())
        self._contact = contact
        self._allow_local = allow_local
        self._tokens: dict[str, tuple[float, str]] = {}
        self._timeout = timeout
        # A bare pool follows no redirect and knows no proxy: what was checked is what is called.
        # Connections are kept by the service's name, so none is used for another service at the same address.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=20,
            keepalive_expiry=60.0,
            network_backend=_Guarded(allow_local),
        )

    @property
    def public_key(self) -> str:
        """The application server key that browsers subscribe with."""
        return self._public_key

    async def send(self, target: PushTarget, payload: bytes, *, ttl: int = 86_400, topic: str | None = None) -> str:
        """Encrypts and hands over; returns the push service's address of the notice."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PermanentError(f"a notice holds {MAX_PAYLOAD_BYTES} bytes at most", reason="too_large")
        parts = check_endpoint(target.endpoint, allow_local=self._allow_local)
        headers = {
            "Host": parts.netloc,
            "Authorization": self._authorization(origin_of(parts)),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(ttl),
            "Urgency": "normal",
        }
        if topic is not None:
            headers["Topic"] = topic
        body = _encrypt(target, payload)
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout)
        try:
            response = await self._pool.request(
                "POST", target.endpoint, headers=list(headers.items()), content=body, extensions={"timeout": timeouts}
            )
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            detail = f"the push service cannot be reached: {type(error).__name__}"
            raise RetryableError(detail, reason="push_unreachable") from error
        answered = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        _raise_for(response.status, answered)
        return answered.get("location", "")[:500] or str(response.status)

    async def close(self) -> None:
        """Closes the kept connections; the sender cannot be used again."""
        await self._pool.aclose()

    def _authorization(self, origin: str) -> str:
        now = time.time()
        expires, header = self._tokens.get(origin, (0.0, ""))
        if expires - now < _TOKEN_RENEWAL:
            expires = now + _TOKEN_LIFE
            claims = {"aud": origin, "exp": int(expires), "sub": self._contact}
            try:
                header = str(self._vapid.sign(claims)["Authorization"])
            except VapidException as error:
                raise PermanentError(f"the request cannot be signed: {error}", reason="push_refused") from error
            if len(self._tokens) > 100:
                self._tokens.clear()
            self._tokens[origin] = (expires, header)
        return header


def _encrypt(target: PushTarget, payload: bytes) -> bytes:
    keys = {"p256dh": target.p256dh, "auth": target.auth}
    try:
        encoded = WebPusher({"endpoint": target.endpoint, "keys": keys}).encode(payload, "aes128gcm")
    except (WebPushException, ValueError, IndexError) as error:
        raise PermanentError("the device's keys are not valid", reason="device_keys") from error
    return cast("bytes", encoded["body"])


def _raise_for(status: int, headers: dict[str, str]) -> None:
    """RFC 8030 and what push services document: which answers retire, which stop, which wait."""
    if 200 <= status <= 299:
        return
    detail = f"the push service answered {status}"
    if status in {404, 410}:
        raise PushGoneError(detail)
    if status == 413:
        raise PermanentError(detail, reason="too_large")
    if status in {401, 403}:
        raise PermanentError(f"{detail}: it does not accept this installation's key", reason="push_key_refused")
    if status in {408, 425, 429} or status >= 500:
        raise RetryableError(detail, reason="push_busy", retry_after=_retry_after(headers.get("retry-after", "")))
    raise PermanentError(detail, reason="push_refused")


def _retry_after(text: str) -> float | None:
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
