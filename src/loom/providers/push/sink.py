"""A push service of Loom's own, for demos and tests: an ASGI app that takes Web Push as real services do.

It checks what they check (VAPID signature and audience, encoding, TTL, size) and, since it plays the devices too,
decrypts what arrives. A device may be told to be gone, or to answer any other status.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, cast

import http_ece
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from loom.providers.push.keys import decode_base64url, encode_base64url, public_point
from loom.providers.push.protocol import PushTarget

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_MAX_BODY = 4096
_LONGEST_TOKEN_LIFE = 86_400


@dataclass(slots=True)
class SinkDevice:
    """One pretended device: its keys, how its address answers (201 unless told otherwise), and what reached it."""

    name: str
    key: ec.EllipticCurvePrivateKey
    auth: bytes
    status: int = 201
    retry_after: int | None = None
    received: list[bytes] = field(default_factory=list[bytes])

    def target(self, base_url: str) -> PushTarget:
        """The subscription that the device's browser would hand to Loom."""
        point = public_point(self.key.public_key())
        return PushTarget(f"{base_url.rstrip('/')}/push/{self.name}", point, encode_base64url(self.auth))


class PushSink:
    """The push service. `base_url` is where it is served; tokens must be made out to its origin."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self.devices: dict[str, SinkDevice] = {}

    def add_device(self, name: str, *, status: int = 201, seed: int | None = None) -> SinkDevice:
        """A device under `/push/<name>`. With `seed` its keys are the same after a restart (never for real devices)."""
        if seed is None:
            key, auth = ec.generate_private_key(ec.SECP256R1()), secrets.token_bytes(16)
        else:
            key, auth = ec.derive_private_key(seed, ec.SECP256R1()), seed.to_bytes(16, "big")
        device = self.devices[name] = SinkDevice(name, key, auth, status)
        return device

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves `POST /push/<device>` and nothing else."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        body = await _read_body(receive)
        path = str(scope["path"])
        device = self.devices.get(path.removeprefix("/push/")) if path.startswith("/push/") else None
        if device is None or scope["method"] != "POST":
            await _answer(send, 404, "no such device")
            return
        raw = cast("list[tuple[bytes, bytes]]", scope["headers"])
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in raw}
        status, text = self._judge(device, headers, body)
        extra = {"location": f"{self.base_url}/message/{secrets.token_hex(8)}"} if status == 201 else {}
        if device.retry_after is not None and status == device.status:
            extra["retry-after"] = str(device.retry_after)
        await _answer(send, status, text, extra)

    def _judge(self, device: SinkDevice, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        try:
            check_vapid(headers.get("authorization", ""), self.base_url)
        except ValueError as fault:
            return 401, str(fault)
        if headers.get("content-encoding") != "aes128gcm" or not headers.get("ttl", "").isdigit():
            return 400, "the request must be aes128gcm and name its TTL"
        if len(body) > _MAX_BODY:
            return 413, "the payload is too large"
        if device.status != 201:
            return device.status, "as this device was told to answer"
        try:
            plain = _decrypt(body, device)
        except (http_ece.ECEException, ValueError) as error:
            return 400, f"the payload cannot be decrypted: {error}"
        device.received.append(plain)
        return 201, "created"


def check_vapid(authorization: str, base_url: str) -> None:
    """Checks `vapid t=<signed token>, k=<public key>` (RFC 8292); ValueError says what is wrong with it."""
    scheme, _, rest = authorization.partition(" ")
    fields: dict[str, str] = {}
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        fields[name] = value
    if scheme.lower() != "vapid" or not {"t", "k"} <= fields.keys():
        raise ValueError("the request is not signed")
    said = _verified_claims(fields["t"], fields["k"])
    now = time.time()
    if said.get("aud") != base_url:
        raise ValueError("the token is made out to somebody else")
    if not now < float(said.get("exp", 0)) <= now + _LONGEST_TOKEN_LIFE:
        raise ValueError("the token has expired or lives too long")
    if not str(said.get("sub", "")).startswith(("mailto:", "https:")):
        raise ValueError("the token names no contact")


def _verified_claims(token: str, public_key: str) -> dict[str, Any]:
    try:
        head, claims, signature = token.split(".")
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decode_base64url(public_key))
        raw = decode_base64url(signature)
        pair = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        public.verify(pair, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
        return cast("dict[str, Any]", json.loads(decode_base64url(claims)))
    except (ValueError, InvalidSignature) as error:
        raise ValueError("the token's signature is not valid") from error


def _decrypt(body: bytes, device: SinkDevice) -> bytes:
    decrypt = cast("Callable[..., bytes]", http_ece.decrypt)  # pyright: ignore[reportUnknownMemberType]
    return decrypt(body, private_key=device.key, auth_secret=device.auth, version="aes128gcm")


async def _read_body(receive: Receive) -> bytes:
    body = b""
    while True:
        part = await receive()
        if part["type"] != "http.request":
            return body
        if len(body) <= _MAX_BODY:
            body += cast("bytes", part.get("body", b""))
        if not part.get("more_body", False):
            return body


async def _answer(send: Send, status: int, text: str, extra: dict[str, str] | None = None) -> None:
    headers = {"content-type": "text/plain; charset=utf-8", **(extra or {})}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": text.encode()})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
