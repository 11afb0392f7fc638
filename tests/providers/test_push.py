"""Web Push for real: encrypted, signed, over HTTP, to a push service that checks and decrypts."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from loom.core.settings import Settings
from loom.providers.errors import PermanentError, RetryableError
from loom.providers.push import PushGoneError, PushTarget, WebPushSender
from loom.providers.push.guard import EndpointRefusedError, check_endpoint, resolve_host
from loom.providers.push.sink import PushSink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def sink() -> Iterator[PushSink]:
    listening = socket.create_server(("127.0.0.1", 0))
    app = PushSink(f"http://127.0.0.1:{listening.getsockname()[1]}")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield app
    server.should_exit = True
    thread.join()
    listening.close()


def send(keys: Path, target: PushTarget, payload: bytes = b"hello", *, allow_local: bool = True) -> str:
    async def once() -> str:
        sender = WebPushSender(keys, contact="mailto:ops@example.com", allow_local=allow_local)
        try:
            return await sender.send(target, payload)
        finally:
            await sender.close()

    return asyncio.run(once())


def test_a_device_gets_what_was_sent_to_it(sink: PushSink, tmp_path: Path) -> None:
    device = sink.add_device("phone")
    answer = send(tmp_path, device.target(sink.base_url), "פגישה מחר".encode())
    assert answer.startswith(f"{sink.base_url}/message/")
    assert device.received == ["פגישה מחר".encode()]


@pytest.mark.parametrize(
    ("status", "expected", "reason"),
    [
        (404, PushGoneError, "subscription_gone"),
        (410, PushGoneError, "subscription_gone"),
        (413, PermanentError, "too_large"),
        (401, PermanentError, "push_key_refused"),
        (403, PermanentError, "push_key_refused"),
        (400, PermanentError, "push_refused"),
        (301, PermanentError, "push_refused"),
        (429, RetryableError, "push_busy"),
        (500, RetryableError, "push_busy"),
        (503, RetryableError, "push_busy"),
    ],
)
def test_each_answer_of_a_push_service_has_one_meaning(
    sink: PushSink, tmp_path: Path, status: int, expected: type[PermanentError | RetryableError], reason: str
) -> None:
    device = sink.add_device("other", status=status)
    device.retry_after = 17 if status == 429 else None
    with pytest.raises(expected) as caught:
        send(tmp_path, device.target(sink.base_url))
    assert caught.value.reason == reason
    assert device.received == []
    if status == 429:
        assert caught.value.retry_after == 17


def test_the_service_refuses_a_token_made_out_to_another(sink: PushSink, tmp_path: Path) -> None:
    device = sink.add_device("strict")
    honest, sink.base_url = sink.base_url, "http://127.0.0.1:9"
    try:
        with pytest.raises(PermanentError) as caught:
            send(tmp_path, device.target(honest))
    finally:
        sink.base_url = honest
    assert caught.value.reason == "push_key_refused"


def test_a_device_cannot_read_what_was_encrypted_for_another(sink: PushSink, tmp_path: Path) -> None:
    device, other = sink.add_device("mine"), sink.add_device("theirs")
    mixed = PushTarget(
        device.target(sink.base_url).endpoint,
        other.target(sink.base_url).p256dh,
        other.target(sink.base_url).auth,
    )
    with pytest.raises(PermanentError):
        send(tmp_path, mixed)
    assert device.received == []


def test_broken_device_keys_and_large_payloads_are_permanent(sink: PushSink, tmp_path: Path) -> None:
    device = sink.add_device("keys")
    good = device.target(sink.base_url)
    for broken in (PushTarget(good.endpoint, "AAAA", good.auth), PushTarget(good.endpoint, "", ""), good):
        with pytest.raises(PermanentError):
            send(tmp_path, broken, b"x" * (4000 if broken is good else 5))


def test_the_key_is_made_once_and_kept(tmp_path: Path) -> None:
    async def public_keys() -> list[str]:
        senders = [WebPushSender(tmp_path / "keys", contact="mailto:ops@example.com") for _ in range(2)]
        return [sender.public_key for sender in senders]

    first, second = asyncio.run(public_keys())
    assert first == second
    assert len(first) == 87
    assert (tmp_path / "keys" / "vapid.pem").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example.com/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://10.1.2.3/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://db.internal/x",
        "https://intranet/x",
        "https://push.example.com:22/x",
        "https://user:pw@push.example.com/x",
        "ftp://push.example.com/x",
        "https://push.example.com/x y",
        "https://push.example.com/\r\nHost: evil",
        "https://[broken/x",
        "",
        "https://push.example.com/" + "x" * 2000,
        "https://[2001:4860:4860::8888]/x",
        "https://push.example.com:/x",
        "https://пример.invalid/x",
        "https://push.example.com/é",
    ],
)
def test_an_address_inside_the_operators_network_is_refused(endpoint: str) -> None:
    with pytest.raises(EndpointRefusedError):
        check_endpoint(endpoint)


def test_loopback_is_open_only_where_a_setting_allows_it() -> None:
    assert check_endpoint("http://127.0.0.1:4000/push/phone", allow_local=True).port == 4000
    with pytest.raises(EndpointRefusedError):
        check_endpoint("http://127.0.0.1:4000/push/phone")
    with pytest.raises(EndpointRefusedError):
        check_endpoint("http://10.0.0.1/push/phone", allow_local=True)
    assert check_endpoint("https://fcm.googleapis.com/fcm/send/abc").hostname == "fcm.googleapis.com"


@pytest.mark.parametrize(
    "contact", ["mailto:loom@localhost", "mailto:admin@example.org", "https://practice.example.org"]
)
def test_each_contact_that_the_settings_take_can_be_signed_with(sink: PushSink, tmp_path: Path, contact: str) -> None:
    device = sink.add_device("signed")

    async def once() -> None:
        taken = Settings(data_dir=tmp_path, push_contact=contact).push_contact
        sender = WebPushSender(tmp_path, contact=taken, allow_local=True)
        await sender.send(device.target(sink.base_url), b"hello")
        await sender.close()

    asyncio.run(once())
    assert device.received == [b"hello"]


@pytest.mark.parametrize(
    "contact",
    ["admin@example.org", "mailto:admin", "mailto:a@b", "mailto:a b@example.org", "https://example.org/about", ""],
)
def test_a_contact_that_no_signature_takes_is_refused_at_the_start(
    sink: PushSink, tmp_path: Path, contact: str
) -> None:
    with pytest.raises(ValidationError, match="push_contact"):
        Settings(data_dir=tmp_path, push_contact=contact)

    async def once() -> None:
        sender = WebPushSender(tmp_path, contact=contact, allow_local=True)
        with pytest.raises(PermanentError) as caught:
            await sender.send(sink.add_device("unsigned").target(sink.base_url), b"hello")
        assert caught.value.reason == "push_refused"
        await sender.close()

    if contact in {"admin@example.org", ""}:
        asyncio.run(once())


def test_a_name_that_resolves_into_a_private_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(answer: str) -> str:
        async def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, 443))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        return await resolve_host("rebound.example.com", 443)

    assert asyncio.run(resolve("93.184.216.34")) == "93.184.216.34"
    for inside in ("10.0.0.5", "127.0.0.1", "100.64.0.1", "fd00::1"):
        with pytest.raises(EndpointRefusedError):
            asyncio.run(resolve(inside))


def test_a_connection_is_made_only_after_looking_at_what_a_name_means(
    monkeypatch: pytest.MonkeyPatch, sink: PushSink, tmp_path: Path
) -> None:
    device = sink.add_device("rebound")
    port = int(sink.base_url.rpartition(":")[2])
    target = device.target(f"https://rebound.example.com:{port}")

    async def once() -> None:
        async def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        sender = WebPushSender(tmp_path, contact="mailto:ops@example.com")
        try:
            with pytest.raises(EndpointRefusedError):
                await sender.send(target, b"hello")
        finally:
            await sender.close()

    asyncio.run(once())
    assert device.received == []


def test_two_services_at_one_address_never_share_a_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sink: PushSink
) -> None:
    """TLS for real: the certificate must be the named service's, and a kept connection is not used for another name."""
    authority, server_context = make_certificate(tmp_path, "push.example.com")
    seen: list[tuple[str, str]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = writer.get_extra_info("ssl_object").sni
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            except asyncio.IncompleteReadError:
                return
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            lower = {key.lower(): value for key, value in fields.items()}
            await reader.readexactly(int(lower["content-length"]))
            seen.append((name, lower["host"]))
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()

    def note_name(connection: ssl.SSLObject, name: str, _: ssl.SSLContext) -> None:
        connection.sni = name  # type: ignore[attr-defined]

    async def run() -> None:
        server_context.sni_callback = note_name
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context)
        port = server.sockets[0].getsockname()[1]

        async def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        monkeypatch.setattr("loom.providers.push.guard._is_public", lambda _: True)
        monkeypatch.setattr("httpx.create_ssl_context", lambda **_: ssl.create_default_context(cafile=authority))
        sender = WebPushSender(tmp_path, contact="mailto:ops@example.com")
        device = sink.add_device("tls")
        async with server:
            try:
                for _ in range(2):
                    await sender.send(device.target(f"https://push.example.com:{port}"), b"hello")
                with pytest.raises(RetryableError):
                    await sender.send(device.target(f"https://other.example.com:{port}"), b"hello")
            finally:
                await sender.close()
        assert seen == [("push.example.com", f"push.example.com:{port}")] * 2

    asyncio.run(run())


def make_certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate for one host name, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority, both = folder / "authority.pem", folder / "server.pem"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both.write_bytes(private + authority.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return authority, context
