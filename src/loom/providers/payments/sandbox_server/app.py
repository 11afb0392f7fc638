"""The sandbox over HTTP: a small ASGI application and the loop that delivers its events."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

import httpx

from loom.providers.payments.sandbox import SIGNATURE_HEADER
from loom.providers.payments.sandbox_server.routes import Call, serve
from loom.providers.payments.sandbox_server.rules import Bank, Refusal
from loom.providers.payments.sandbox_server.store import Object, Store
from loom.providers.payments.signatures import sign

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_MAX_BODY = 65_536
_RETRY_SECONDS = (1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
_DELIVERY_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class _Ask:
    """A request, read."""

    method: str
    path: list[str]
    query: dict[str, str]
    headers: dict[str, str]
    body: Object


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
            status, content, kind = await self._answer(scope, receive)
            headers = [(b"content-type", kind.encode()), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": content})
            self._wake.set()

    # requests

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, bytes, str]:
        raw = await _read_body(receive)
        path = [part for part in str(scope["path"]).split("/") if part]
        if path[:1] == ["authenticate"] and len(path) == 2:
            return self._authenticate_page(scope["method"], path[1], raw)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        try:
            status, said = self._serve(_Ask(scope["method"], path, query, headers, _parse(raw)))
        except Refusal as no:
            status, said = no.status, _fault(no.code, no.message)
        return status, json.dumps(said).encode(), "application/json"

    def _serve(self, ask: _Ask) -> tuple[int, Object]:
        if (ask.method, ask.path) == ("POST", ["v1", "accounts"]):
            with self.store.transaction():
                return 201, self.store.add_account(str(ask.body.get("name", "")))
        account = self._account(ask)
        key = ask.headers.get("idempotency-key") if ask.method == "POST" else None
        fingerprint = hashlib.sha256(json.dumps([ask.path, ask.body], sort_keys=True).encode()).hexdigest()
        earlier = self.store.answer_to(account, key) if key else None
        if earlier is not None:
            if earlier["fingerprint"] != fingerprint:
                raise Refusal(400, "idempotency_mismatch", "That key was used with other parameters.")
            return earlier["status"], json.loads(earlier["body"])
        try:
            with self.store.transaction():
                status, said = self._act(account, ask)
                if key:
                    self.store.keep_answer(account, key, fingerprint, status, said)
        except Refusal as no:
            status, said = no.status, _fault(no.code, no.message)
            if key:
                with self.store.transaction():
                    self.store.keep_answer(account, key, fingerprint, status, said)
        return status, said

    def _account(self, ask: _Ask) -> str:
        scheme, _, key = ask.headers.get("authorization", "").partition(" ")
        account = self.store.account_of(key.strip()) if scheme.lower() == "bearer" else None
        if account is not None and ask.path[:1] == ["v1"]:
            return str(account["id"])
        # A payer's browser has no account key, but the secret of the one intent.
        if ask.path[:2] == ["v1", "intents"] and len(ask.path) == 4 and ask.path[3] == "confirm":
            owner = self.store.owner_of(ask.path[2])
            intent = self.store.get(owner, "intent", ask.path[2]) if owner else None
            if owner and intent and ask.headers.get("intent-secret") == intent["client_secret"]:
                return owner
        raise Refusal(401, "key_invalid", "This needs the account's key.")

    def _act(self, account: str, ask: _Ask) -> tuple[int, Object]:
        bank = Bank(self.store, account, f"http://{ask.headers.get('host', 'localhost')}")
        said = serve(Call(self.store, bank, account, ask.method, ask.path[1:], ask.query, ask.body))
        return (504, _fault("gateway_timeout", "The bank did not answer.")) if bank.answer_lost else (200, said)

    def _authenticate_page(self, method: str, intent_id: str, raw: bytes) -> tuple[int, bytes, str]:
        """What a card issuer shows: a question, and what the payer answers."""
        owner = self.store.owner_of(intent_id)
        intent = self.store.get(owner, "intent", intent_id) if owner else None
        if owner is None or intent is None:
            return 404, b"<p>There is no such payment.</p>", "text/html; charset=utf-8"
        said = "The payer is not asked anything."
        if method == "POST":
            form = parse_qs(raw.decode("latin-1"))
            with suppress(Refusal), self.store.transaction():
                Bank(self.store, owner).authenticate(intent_id, approved=form.get("answer") == ["approve"])
            said = "Thank you. You may close this page."
        elif intent["status"] == "requires_action":
            amount = f"{intent['amount']} {escape(intent['currency'])} (minor units)"
            said = (
                f"A sandbox, no real money. Do you approve {amount}? <form method=post>"
                "<button name=answer value=approve>Approve</button>"
                " <button name=answer value=refuse>Refuse</button></form>"
            )
        page = f"<!doctype html><html lang=en><meta charset=utf-8><title>Sandbox bank</title><p>{said}"
        return 200, page.encode(), "text/html; charset=utf-8"

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
        headers = {
            "content-type": "application/json",
            SIGNATURE_HEADER: sign(delivery["webhook_secret"], body, int(time.time())),
        }
        try:
            status: int | None = (await http.post(delivery["webhook_url"], content=body, headers=headers)).status_code
        except (httpx.HTTPError, httpx.InvalidURL):
            status = None
        tries = int(delivery["tries"])
        self.store.delivered(delivery["seq"], status, _RETRY_SECONDS[tries] if tries < len(_RETRY_SECONDS) else None)


def _fault(code: str, message: str) -> Object:
    return {"error": {"code": code, "message": message}}


def _parse(raw: bytes) -> Object:
    if not raw:
        return {}
    try:
        said: object = json.loads(raw)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise Refusal(400, "malformed", "The body must be a JSON object.")
    return cast("Object", said)


async def _read_body(receive: Receive) -> bytes:
    body = b""
    while True:
        part = await receive()
        body += cast("bytes", part.get("body", b""))
        if part["type"] != "http.request" or not part.get("more_body", False) or len(body) > _MAX_BODY:
            return body[:_MAX_BODY]
