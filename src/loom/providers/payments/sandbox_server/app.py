"""The sandbox over HTTP: a small ASGI application and the loop that delivers its events."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx

from loom.providers.payments.sandbox_server.desk import Desk, Refusal
from loom.providers.payments.sandbox_server.forms import parse_form
from loom.providers.payments.sandbox_server.pages import HTML, Ask, Page, serve_page
from loom.providers.payments.sandbox_server.routes import Call, serve
from loom.providers.payments.sandbox_server.store import EVERYBODY, Object, Store, new_id
from loom.providers.payments.sandbox_server.tranzila import serve_api, terminal_of
from loom.providers.payments.sandbox_server.tranzila_page import serve_tranzila_page
from loom.providers.payments.signatures import SIGNATURE_HEADER, sign

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_MAX_BODY = 65_536
_RETRY_SECONDS = (1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
_DELIVERY_TIMEOUT = 10.0
_KEY = re.compile(r"^sk_test_[A-Za-z0-9_]{1,120}$")
_MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `cut` ends the connection instead of giving it."""

    status: int
    content: bytes
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    cut: bool = False


class SandboxServer:
    """An ASGI application. State lies in the SQLite file `path`, and so survives a restart."""

    def __init__(self, path: Path | str) -> None:
        self.store = Store(path)
        self._wake = asyncio.Event()
        self._deliverer: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves HTTP; delivers events between start-up and shutdown."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            reply = await self._answer(scope, receive)
            headers = [(b"content-type", reply.kind.encode()), (b"cache-control", b"no-store")]
            headers += [(name.encode(), value.encode()) for name, value in reply.headers]
            headers.append((b"content-length", str(len(reply.content)).encode()))
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            self._wake.set()
            # Promised and not sent: the server ends the connection, as a network that breaks does.
            if not reply.cut:
                await send({"type": "http.response.body", "body": reply.content})

    # requests

    async def _answer(self, scope: Scope, receive: Receive) -> Reply:
        raw = await _read_body(receive)
        path = [part for part in str(scope["path"]).split("/") if part]
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            query = parse_form(scope["query_string"].decode("latin-1"))
            ask = Ask(scope["method"], path, query, headers, raw)
            if path[:1] in (["checkout"], ["challenge"]):
                with self.store.transaction():
                    return _of_page(serve_page(self.store, ask, _base_url(ask)))
            if path[:1] == ["tranzila"]:
                return self._serve_tranzila(ask, scope["query_string"].decode("latin-1"))
            return self._serve(ask)
        except ValueError:
            return _fault(Refusal(400, "malformed", "The request can't be read."))
        except Refusal as no:
            return _fault(no)

    def _serve_tranzila(self, ask: Ask, query: str) -> Reply:
        if ask.path[2:] == ["iframenew.php"]:
            with self.store.transaction():
                return _of_page(serve_tranzila_page(self.store, ask, _base_url(ask), query))
        terminal = terminal_of(ask.raw)
        fault = self._fault_for(self.store.account_of(f"sk_test_tranzila_{terminal}"), ask)
        if fault in ("lost_before", "error_before", "html"):
            return _misbehave(fault)
        with self.store.transaction():
            status, said = serve_api(self.store, ask.path[1:], ask.headers, ask.raw, _base_url(ask))
        return _misbehave(fault) if fault else Reply(status, json.dumps(said).encode())

    def _serve(self, ask: Ask) -> Reply:
        account = self._account(ask)
        fault = self._fault_for(account, ask)
        if fault in ("lost_before", "error_before", "html"):
            return _misbehave(fault)
        body = _parse(ask)
        key = ask.headers.get("idempotency-key") if ask.method == "POST" else None
        if key is not None and not 0 < len(key) <= _MAX_KEY:
            raise Refusal(400, "idempotency_key_invalid", "Keys have 1 to 255 characters.", kind="idempotency_error")
        fingerprint = hashlib.sha256(json.dumps([ask.path, body], sort_keys=True).encode()).hexdigest()
        earlier = self.store.answer_to(account, key) if key else None
        if earlier is not None:
            if earlier["fingerprint"] != fingerprint:
                message = (
                    "Keys for idempotent requests can only be used with the same parameters they were first used with."
                )
                raise Refusal(400, "idempotency_error", message, kind="idempotency_error")
            replayed = (("idempotent-replayed", "true"),)
            return Reply(earlier["status"], earlier["body"].encode(), headers=replayed)
        reply = self._act(account, ask, body, key, fingerprint)
        return _misbehave(fault) if fault else reply

    def _act(self, account: str, ask: Ask, body: Object, key: str | None, fingerprint: str) -> Reply:
        desk = Desk(self.store, account, _base_url(ask))
        call = Call(desk, ask.method, ask.path[1:], ask.query, body)
        try:
            with self.store.transaction():
                status, said = self._said(call, stripe=ask.path[0] == "v1")
                if key:
                    self.store.keep_answer(account, key, fingerprint, status, said)
        except Refusal as no:
            status, said = no.status, {"error": no.error}
            if key:
                self.store.keep_answer(account, key, fingerprint, status, said)
        return Reply(status, json.dumps(said).encode(), headers=(("request-id", new_id("req")),))

    def _said(self, call: Call, *, stripe: bool) -> tuple[int, Object]:
        try:
            said = serve(call, stripe=stripe)
        except Refusal as no:
            if not no.keep:
                raise
            return no.status, {"error": no.error}
        if call.desk.answer_lost:
            lost = Refusal(504, "gateway_timeout", "The bank did not answer.", kind="api_error")
            return lost.status, {"error": lost.error}
        return 200, said

    def _account(self, ask: Ask) -> str:
        if ask.path[:1] == ["sandbox"] and "authorization" not in ask.headers:
            return EVERYBODY
        scheme, _, key = ask.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            with suppress(ValueError):
                key = base64.b64decode(key).decode("latin-1").partition(":")[0]
        if ask.path[:1] not in (["v1"], ["sandbox"]):
            raise Refusal(404, "resource_missing", f"Unrecognized request URL ({ask.method}: /{'/'.join(ask.path)}).")
        if not _KEY.match(key.strip()):
            raise Refusal(401, "api_key_invalid", "Invalid API Key: the sandbox takes any sk_test_… key.")
        return self.store.account_of(key.strip())

    def _fault_for(self, account: str, ask: Ask) -> str | None:
        """The knob `faults`: [{"on": "POST /v1/refunds", "do": …, "times": 1}]; `on` may hold `*`."""
        if ask.path[0] == "sandbox":
            return None
        for holder in (account, EVERYBODY):
            knobs = self.store.told(holder)
            for fault in knobs.get("faults", []):
                pattern = re.escape(str(fault["on"])).replace(r"\*", "[^ ]+")
                if fault.get("times", 1) > 0 and re.fullmatch(pattern, f"{ask.method} /{'/'.join(ask.path)}"):
                    fault["times"] = fault.get("times", 1) - 1
                    self.store.set_knobs(holder, knobs)
                    return str(fault["do"])
        return None

    # deliveries

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._deliverer = asyncio.create_task(self._deliver())
            else:
                await self.close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def close(self) -> None:
        """Stops delivering and closes the file. What waits is delivered after the next start."""
        if self._deliverer is not None:
            self._deliverer.cancel()
            with suppress(asyncio.CancelledError):
                await self._deliverer
        self.store.close()

    async def _deliver(self) -> None:
        async with httpx.AsyncClient(timeout=_DELIVERY_TIMEOUT, trust_env=False) as http:
            while True:
                for delivery in self.store.due(20):
                    await self._deliver_one(http, delivery)
                self._wake.clear()
                pause = self.store.next_due()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), 5.0 if pause is None else min(pause, 5.0))

    async def _deliver_one(self, http: httpx.AsyncClient, delivery: Object) -> None:
        body = str(delivery["body"]).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if delivery["secret"]:
            headers["content-type"] = "application/json"
            # By the machine's clock, as the receiver's: only what is here grows older when the other is put forward.
            headers[SIGNATURE_HEADER] = sign(delivery["secret"], body, int(time.time()))
        try:
            status: int | None = (await http.post(delivery["url"], content=body, headers=headers)).status_code
        except (httpx.HTTPError, httpx.InvalidURL):
            status = None
        tries = int(delivery["tries"])
        self.store.delivered(delivery["seq"], status, _RETRY_SECONDS[tries] if tries < len(_RETRY_SECONDS) else None)


def _base_url(ask: Ask) -> str:
    return f"http://{ask.headers.get('host', 'localhost')}"


def _fault(no: Refusal) -> Reply:
    return Reply(no.status, json.dumps({"error": no.error}).encode())


def _of_page(page: Page) -> Reply:
    headers = (("location", page.location),) if page.location else ()
    return Reply(page.status, page.content.encode(), HTML, headers)


def _misbehave(how: str) -> Reply:
    """lost_…: the connection breaks; error_…: 500; html…: a page where data was expected; …_after: it was done."""
    if how.startswith("lost"):
        return Reply(200, b'{"id": "', cut=True)
    if how.startswith("error"):
        return _fault(Refusal(500, "api_error", "Something went wrong on the gateway's end.", kind="api_error"))
    return Reply(200, b"<html><body>Service temporarily unavailable</body></html>", HTML)


def _parse(ask: Ask) -> Object:
    if not ask.raw:
        return {}
    if ask.headers.get("content-type", "").startswith("application/json"):
        try:
            said: object = json.loads(ask.raw)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise Refusal(400, "malformed", "The body must be a JSON object.")
        return cast("Object", said)
    return parse_form(ask.raw.decode("utf-8"))


async def _read_body(receive: Receive) -> bytes:
    body = b""
    while True:
        part = await receive()
        body += cast("bytes", part.get("body", b""))
        if part["type"] != "http.request" or not part.get("more_body", False) or len(body) > _MAX_BODY:
            return body[:_MAX_BODY]
