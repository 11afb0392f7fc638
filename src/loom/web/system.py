"""Routes about the server itself: whether it lives, whether it can work, and the keys it signs with."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

import loom
from loom.core.errors import AppError
from loom.db.actor import Actor
from loom.db.sql import load_queries
from loom.features.billing.figures import gateway_figures
from loom.http import AppServices, problems
from loom.web.metrics import CONTENT_TYPE

SQL = load_queries("loom.web")

router = APIRouter(tags=["system"])
metrics_router = APIRouter(include_in_schema=False)


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"]
    version: str


class Ready(BaseModel):
    """The process can do its work: its database answers, and has a schema."""

    status: Literal["ok"]
    schema_version: str


class KeySet(BaseModel):
    """A JSON Web Key Set (RFC 7517)."""

    keys: list[dict[str, Any]]


@router.get("/health", summary="Whether the process lives")
async def get_health() -> Health:
    """Answers without touching the database."""
    return Health(status="ok", version=loom.__version__)


@router.get("/ready", summary="Whether requests can be served")
async def get_ready(app: AppServices) -> Ready:
    """503 while the database can't be reached or has no schema of Loom's."""
    reader = app.database.reader(Actor.service("say whether the schema is there"))
    version = await reader.fetch_value(SQL["schema_version"], {})
    if version is None:
        raise AppError("schema_missing", 503, "The database has no schema of Loom's.", "Run `loom db migrate`.")
    return Ready(status="ok", schema_version=str(version))


@router.get("/.well-known/jwks.json", summary="The keys that access tokens are signed with", responses=problems(404))
async def get_signing_keys(app: AppServices) -> KeySet:
    """Public keys only. 404 where a Supabase project issues the tokens."""
    if app.issuer is None:
        raise AppError("external_issuer", 404, "Tokens come from another issuer, which publishes its own keys.")
    return KeySet.model_validate(app.issuer.jwks())


@metrics_router.get("/metrics")
async def get_metrics(request: Request, app: AppServices) -> Response:
    """Prometheus' text format. While the database is away, what this process counts by itself is still told."""
    try:
        gateways = await gateway_figures(app.database)
    except AppError:
        gateways = []
    return Response(request.app.state.metrics.exposition(gateways), headers={"Content-Type": CONTENT_TYPE})
