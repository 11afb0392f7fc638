"""What a running application holds: made once by the factory, reached by every request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import Request

from loom.core.settings import Settings
from loom.db.database import Database
from loom.providers.tokens import TokenIssuer, TokenVerifier


@dataclass(frozen=True, slots=True)
class Services:
    """`issuer` is None where somebody else (a Supabase project) issues the tokens."""

    settings: Settings
    database: Database
    verifier: TokenVerifier
    issuer: TokenIssuer | None


def services_of(request: Request) -> Services:
    """The services of the application that serves a request."""
    return cast("Services", request.app.state.services)


async def services(request: Request) -> Services:
    """The application's services, as a dependency. Async, since anything else would go through a thread."""
    return services_of(request)


AppServices = Annotated[Services, Depends(services)]
