"""Around every request: its id, its line in the log, the limits of its body, and headers that browsers heed."""

from __future__ import annotations

import re
import time
from uuid import uuid4

import structlog
from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loom.http.problem import problem_response
from loom.web.metrics import Metrics
from loom.web.routing import route_pattern

log = structlog.get_logger("loom.access")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_NUL = re.compile(rb"%00|\x00")
_UPLOAD = re.compile(r"/v1/uploads/[0-9a-f-]{36}/content")


class RequestLog:
    """Gives the request its id (the caller's X-Request-Id if it has one of its own), and logs how it went.

    The line holds the route's pattern, never the address as sent: that may carry a token.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, https: bool) -> None:
        self.app = app
        self.metrics = metrics
        self.https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = Headers(scope=scope).get("x-request-id", "")
        request_id = sent if REQUEST_ID.fullmatch(sent) else str(uuid4())
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._set_headers(MutableHeaders(scope=message), scope["path"], request_id)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_headers)
            finally:
                self._note(scope, status, time.perf_counter() - started)

    def _set_headers(self, headers: MutableHeaders, path: str, request_id: str) -> None:
        headers["X-Request-Id"] = request_id
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers.setdefault("Content-Security-Policy", API_POLICY)
        if path.startswith("/v1/"):
            headers.setdefault("Cache-Control", "no-store")
        if self.https:
            headers["Strict-Transport-Security"] = "max-age=31536000"

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        pattern = route_pattern(scope)
        self.metrics.observe(scope["method"], pattern, status, seconds)
        user = scope["state"].get("user_id")
        client = scope.get("client")
        log.info(
            "request",
            method=scope["method"],
            route=pattern,
            status=status,
            ms=round(seconds * 1000, 1),
            user_id=str(user) if user else None,
            address=client[0] if client else None,
        )


class CatchAll:
    """What nobody handled becomes a 500 that says nothing but the request's id; the log has the rest."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception:
            log.exception("unhandled")
            if begun:
                raise
            answer = problem_response(Request(scope), 500, "internal", "Something went wrong on our side.")
            await answer(scope, receive, send)


class RequestLimits:
    """Refuses a NUL in the address, and stops reading a body that outgrows the limit; files have one of their own."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, max_upload_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _NUL.search(scope.get("raw_path") or scope["path"].encode()) or _NUL.search(scope["query_string"]):
            answer = problem_response(Request(scope), 400, "nul_byte", "The address holds a NUL byte.")
            await answer(scope, receive, send)
            return
        is_file = scope["method"] == "PUT" and _UPLOAD.fullmatch(scope["path"])
        limit = self.max_upload_bytes if is_file else self.max_body_bytes
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > limit:
            answer = problem_response(
                Request(scope),
                413,
                "body_too_large",
                "The body is larger than this server takes.",
                extra={"limit_bytes": limit},
            )
            await answer(scope, receive, send)
            return
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    raise HTTPException(413)
            return message

        await self.app(scope, receive_within_limit, send)
