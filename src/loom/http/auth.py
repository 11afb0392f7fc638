"""From the Authorization header to the Actor that a request runs as."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import Request

from loom.core.errors import AppError
from loom.db.actor import Actor
from loom.http.services import services_of

bearer = HTTPBearer(
    scheme_name="bearer",
    bearerFormat="JWT",
    description="An access token of Loom's own issuer, or of the Supabase project that the server is set to.",
    auto_error=False,
)

Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]

D = TypeVar("D", bound=Callable[..., Awaitable[object]])

# Dependencies that refuse whoever is not signed in, for OpenAPI to tell.
NEEDS_USER: set[Callable[..., object]] = set()


def needs_user(dependency: D) -> D:
    """Marks a dependency that refuses requests without a user."""
    NEEDS_USER.add(dependency)
    return dependency


async def actor_of(request: Request, credentials: HTTPAuthorizationCredentials | None) -> Actor:
    """Whoever sends the request: a user by the token's subject, or nobody without a token.

    Raises 401 for a token that is there and no good: silently going on as nobody would hide the mistake.
    """
    if credentials is None:
        if request.headers.get("authorization") is not None:
            raise AppError("token_invalid", 401, "The Authorization header must be `Bearer` and a token.")
        return Actor.anonymous()
    subject = await services_of(request).verifier.subject(credentials.credentials)
    if subject is None:
        return Actor.anonymous()
    request.state.user_id = subject
    return Actor.user(subject)


async def user_of(request: Request, credentials: HTTPAuthorizationCredentials | None) -> tuple[Actor, UUID]:
    """The signed-in user, as actor and id. Raises 401 `not_authenticated` without a token."""
    actor = await actor_of(request, credentials)
    if actor.user_id is None:
        raise AppError("not_authenticated", 401, "This needs a bearer token.")
    return actor, actor.user_id


# The dependencies below stay flat on purpose: the framework's work for each of them is a notable part of a read.


async def caller(request: Request, credentials: Credentials) -> Actor:
    """Whoever calls, nobody included."""
    return await actor_of(request, credentials)


@needs_user
async def signed_in(request: Request, credentials: Credentials) -> Actor:
    """The signed-in user."""
    return (await user_of(request, credentials))[0]


@needs_user
async def signed_in_id(request: Request, credentials: Credentials) -> UUID:
    """The id of the signed-in user."""
    return (await user_of(request, credentials))[1]


AnyCaller = Annotated[Actor, Depends(caller)]
SignedIn = Annotated[Actor, Depends(signed_in)]
CallerId = Annotated[UUID, Depends(signed_in_id)]
