"""Web Push over HTTP: payloads encrypted for the device (RFC 8291), requests signed with this installation's key."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast

import httpx
from py_vapid import Vapid02
from pywebpush import WebPusher, WebPushException

from loom.providers.errors import PermanentError, RetryableError
from loom.providers.push.guard import Destination, resolve_endpoint
from loom.providers.push.keys import load_vapid_key, public_point
from loom.providers.push.protocol import MAX_PAYLOAD_BYTES, PushGoneError, PushTarget

if TYPE_CHECKING:
    from pathlib import Path

_TOKEN_LIFE = 12 * 3600
_TOKEN_RENEWAL = 3600


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
        # No redirects and no proxy from the environment: the address that was checked is the address that is called.
        self._client = httpx.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False)

    @property
    def public_key(self) -> str:
        """The application server key that browsers subscribe with."""
        return self._public_key

    async def send(self, target: PushTarget, payload: bytes, *, ttl: int = 86_400, topic: str | None = None) -> str:
        """Encrypts and hands over; returns the push service's address of the notice."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PermanentError(f"a notice holds {MAX_PAYLOAD_BYTES} bytes at most", reason="too_large")
        destination = await resolve_endpoint(target.endpoint, allow_local=self._allow_local)
        headers = {
            "Authorization": self._authorization(destination.origin),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "Host": destination.parts.netloc,
            "TTL": str(ttl),
            "Urgency": "normal",
        }
        if topic is not None:
            headers["Topic"] = topic
        body = _encrypt(target, payload)
        url = _pinned(destination)
        try:
            response = await self._client.post(
                url, content=body, headers=headers, extensions={"sni_hostname": destination.parts.hostname}
            )
        except httpx.HTTPError as error:
            detail = f"the push service cannot be reached: {type(error).__name__}"
            raise RetryableError(detail, reason="push_unreachable") from error
        _raise_for(response)
        return response.headers.get("location", "")[:500] or str(response.status_code)

    async def close(self) -> None:
        """Closes the kept connections; the sender cannot be used again."""
        await self._client.aclose()

    def _authorization(self, origin: str) -> str:
        now = time.time()
        expires, header = self._tokens.get(origin, (0.0, ""))
        if expires - now < _TOKEN_RENEWAL:
            expires = now + _TOKEN_LIFE
            claims = {"aud": origin, "exp": int(expires), "sub": self._contact}
            header = str(self._vapid.sign(claims)["Authorization"])
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


def _pinned(destination: Destination) -> str:
    host = f"[{destination.address}]" if ":" in destination.address else destination.address
    path = destination.parts.path or "/"
    query = f"?{destination.parts.query}" if destination.parts.query else ""
    return f"{destination.parts.scheme}://{host}:{destination.port}{path}{query}"


def _raise_for(response: httpx.Response) -> None:
    """RFC 8030 and what push services document: which answers retire, which stop, which wait."""
    status = response.status_code
    if response.is_success:
        return
    detail = f"the push service answered {status}"
    if status in {404, 410}:
        raise PushGoneError(detail)
    if status == 413:
        raise PermanentError(detail, reason="too_large")
    if status in {401, 403}:
        raise PermanentError(f"{detail}: it does not accept this installation's key", reason="push_key_refused")
    if status == 429 or status >= 500:
        raise RetryableError(detail, reason="push_busy", retry_after=_retry_after(response))
    raise PermanentError(detail, reason="push_refused")


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
