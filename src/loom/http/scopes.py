"""How a route reaches the database: one read-only scope, one writing scope, each as the caller.

A writing route hands its work to `WriteScope.run`, which opens the one transaction of the request, runs the work in it
and remembers the answer under the caller's Idempotency-Key, all or nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, LiteralString, TypeVar
from uuid import UUID

from fastapi import Depends, Header
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from loom.core.errors import AppError
from loom.db.actor import Actor
from loom.db.database import Database, Reader, Tx
from loom.db.doorbell import CHANGES
from loom.db.sql import load_queries
from loom.http.auth import Credentials, actor_of, needs_user, user_of
from loom.http.services import AppServices, services_of

SQL = load_queries("loom.http")
KEY = re.compile(r"[\x21-\x7e]{1,255}")

R = TypeVar("R", bound=BaseModel | bytes | None)

IdempotencyKey = Annotated[
    str | None,
    Header(
        description="Any printable text of at most 255 characters, best a fresh UUID. A repeat of the same request "
        "with the same key within a day gets the first answer again, marked `Idempotent-Replayed: true`.",
    ),
]


@needs_user
async def reader_of_user(request: Request, credentials: Credentials) -> Reader:
    """Reads as the signed-in user."""
    actor, _ = await user_of(request, credentials)
    return services_of(request).database.reader(actor)


async def reader_of_anyone(request: Request, credentials: Credentials) -> Reader:
    """Reads as whoever calls, nobody included."""
    return services_of(request).database.reader(await actor_of(request, credentials))


Read = Annotated[Reader, Depends(reader_of_user)]
PublicRead = Annotated[Reader, Depends(reader_of_anyone)]


class _Claim(BaseModel):
    """What the database says to a key: new, or the answer that was given to it."""

    is_new: bool
    response_status: int | None
    response_headers: dict[str, str] | None
    response_body: bytes | None


class WriteScope:
    """The caller's right to write, once. `actor`, `database` and `key` are there for routes that call the outside."""

    def __init__(self, database: Database, actor: Actor, key: str | None, fingerprint: str) -> None:
        self.database = database
        self.actor = actor
        self.key = key
        self.fingerprint = fingerprint

    @property
    def user_id(self) -> UUID:
        """The signed-in user. Only for routes that need one."""
        if self.actor.user_id is None:
            raise AppError("not_authenticated", 401, "This needs a bearer token.")
        return self.actor.user_id

    async def run(
        self,
        work: Callable[[Tx], Awaitable[R]],
        *,
        status: int = 200,
        location: Callable[[R], str] | None = None,
        remember: bool = True,
    ) -> Response:
        """Run `work` in the request's one transaction and answer with what it returns (None is 204).

        It runs again from the start if it lost to others (a deadlock, say), so it touches nothing but the database.

        `remember=False` is for answers that hold a secret: they are not kept, and the key is not looked at.
        """
        key = self.key if remember and self.actor.user_id is not None else None

        async def once(tx: Tx) -> Response:
            if key is not None:
                claim = await tx.fetch_one(
                    SQL["claim_idempotency_key"], {"key": key, "fingerprint": self.fingerprint}, _Claim
                )
                if not claim.is_new:
                    return _replay(claim)
            result = await work(tx)
            body = _body(result)
            sent_status = 204 if result is None else status
            headers = {"Location": location(result)} if location is not None else {}
            if key is not None:
                kept = {"key": key, "status": sent_status, "headers": json.dumps(headers), "body": body}
                await tx.execute(SQL["keep_idempotent_answer"], kept)
            return _answer(sent_status, headers, body)

        answer = await self.database.run(self.actor, once)
        self.database.doorbell.ring(CHANGES)
        return answer

    async def changed(
        self,
        row_id: UUID,
        act: Callable[[Tx], Awaitable[object]],
        shown: Callable[[Tx, UUID], Awaitable[R]],
        *,
        status: int = 200,
    ) -> Response:
        """Run `act` and answer with the row as it is then."""

        async def work(tx: Tx) -> R:
            await act(tx)
            return await shown(tx, row_id)

        return await self.run(work, status=status)

    async def made(
        self,
        act: Callable[[Tx], Awaitable[UUID]],
        shown: Callable[[Tx, UUID], Awaitable[R]],
        *,
        status: int = 200,
        location: Callable[[R], str] | None = None,
    ) -> Response:
        """Run `act`, which makes a row or finds it, and answer with the row."""

        async def work(tx: Tx) -> R:
            return await shown(tx, await act(tx))

        return await self.run(work, status=status, location=location)

    async def run_json(
        self,
        function: LiteralString,
        params: Sequence[object],
        *,
        status: int = 200,
        location: Callable[[bytes], str] | None = None,
    ) -> Response:
        """One call of a `*_json` function that writes, its JSON as it comes: one round trip, unless there is a key."""
        if self.key is not None:
            return await self.run(lambda tx: tx.fetch_json(function, params), status=status, location=location)
        body = await self.database.write_json(self.actor, function, params)
        self.database.doorbell.ring(CHANGES)
        return _answer(status, {"Location": location(body)} if location is not None else {}, body)


def _body(result: BaseModel | bytes | None) -> bytes | None:
    if isinstance(result, BaseModel):
        return result.model_dump_json(by_alias=True).encode()
    return result


def _answer(status: int, headers: dict[str, str], body: bytes | None) -> Response:
    if body is None:
        return Response(status_code=status, headers=headers)
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def _replay(claim: _Claim) -> Response:
    answer = _answer(claim.response_status or 200, claim.response_headers or {}, claim.response_body)
    answer.headers["Idempotent-Replayed"] = "true"
    return answer


async def _scope(request: Request, actor: Actor, key: str | None) -> WriteScope:
    if key is not None and KEY.fullmatch(key) is None:
        raise AppError(
            "idempotency_key_invalid", 422, "The Idempotency-Key must be 1 to 255 printable ASCII characters."
        )
    return WriteScope(services_of(request).database, actor, key, await _fingerprint(request) if key is not None else "")


async def _fingerprint(request: Request) -> str:
    digest = hashlib.sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode())
    digest.update(await request.body())
    return digest.hexdigest()


@needs_user
async def write_of_user(
    request: Request, credentials: Credentials, idempotency_key: IdempotencyKey = None
) -> WriteScope:
    """Writes as the signed-in user."""
    actor, _ = await user_of(request, credentials)
    return await _scope(request, actor, idempotency_key)


async def write_of_anyone(request: Request, credentials: Credentials) -> WriteScope:
    """Writes as whoever calls. Without a user there is nobody to keep answers for, so no Idempotency-Key."""
    return await _scope(request, await actor_of(request, credentials), None)


Write = Annotated[WriteScope, Depends(write_of_user)]
PublicWrite = Annotated[WriteScope, Depends(write_of_anyone)]


class ServiceScope:
    """Loom itself, past the policies."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def run(self, reason: str, work: Callable[[Tx], Awaitable[R]]) -> R:
        """Run `work` in one transaction as the service role."""
        result = await self.database.run(Actor.service(reason), work)
        self.database.doorbell.ring(CHANGES)
        return result


async def service_scope(app: AppServices) -> ServiceScope:
    """For the few routes that act past the policies; each transaction says why."""
    return ServiceScope(app.database)


Service = Annotated[ServiceScope, Depends(service_scope)]
