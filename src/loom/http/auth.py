"""From the Authorization header to the Actor that a request runs as."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from loom.core.errors import AppError
from loom.db.actor import Actor
from loom.http.services import AppServices

bearer = HTTPBearer(
    scheme_name="bearer",
    bearerFormat="JWT",
    description="An access token of Loom's own issuer, or of the Supabase project that the server is set to.",
    auto_error=False,
)

Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]


async def caller(request: Request, credentials: Credentials, app: AppServices) -> Actor:
    """Whoever sends the request: a user by the token's subject, or nobody without a token.

    Raises 401 for a token that is there and no good: silently going on as nobody would hide the mistake.
    """
    if credentials is None:
        if request.headers.get("authorization") is not None:
            raise AppError("token_invalid", 401, "The Authorization header must be `Bearer` and a token.")
        return Actor.anonymous()
    subject = await app.verifier.subject(credentials.credentials)
    if subject is None:
        return Actor.anonymous()
    request.state.user_id = subject
    return Actor.user(subject)


AnyCaller = Annotated[Actor, Depends(caller)]


async def signed_in(actor: AnyCaller) -> Actor:
    """The signed-in user. Raises 401 `not_authenticated` without a token."""
    if actor.user_id is None:
        raise AppError("not_authenticated", 401, "This needs a bearer token.")
    return actor


SignedIn = Annotated[Actor, Depends(signed_in)]


async def signed_in_id(actor: SignedIn) -> UUID:
    """The id of the signed-in user. Raises 401 `not_authenticated` without a token."""
    if actor.user_id is None:
        raise AppError("not_authenticated", 401, "This needs a bearer token.")
    return actor.user_id


CallerId = Annotated[UUID, Depends(signed_in_id)]
