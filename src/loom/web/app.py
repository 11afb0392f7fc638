"""The HTTP application."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

import loom
from loom.core.settings import Settings
from loom.db.database import Database, Limits
from loom.db.errors import register
from loom.features.live.hub import LiveHub
from loom.features.messaging.sending import send_together
from loom.http.services import Services
from loom.web import account_pages, docs_pages, errors, features, openapi, pay_pages, system, tokens
from loom.web.metrics import Metrics
from loom.web.middleware import CatchAll, RequestLimits, RequestLog
from loom.web.route_index import RouteIndex
from loom.web.routing import known_query_only


def create_app(settings: Settings, database: Database | str) -> FastAPI:
    """The application over an open Database, which stays the caller's to close, or over a conninfo.

    With a conninfo the connections open when the server starts and close when it stops; PostgreSQL need not be
    reachable by then: requests answer 503 until it is.
    """
    metrics = Metrics(on=settings.metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        if isinstance(database, Database):
            yield
            return
        async with await open_database(settings, database) as opened:
            use_database(app, opened)
            yield

    app = FastAPI(
        title="Loom",
        version=loom.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
        dependencies=[Depends(known_query_only)],
    )
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.issuer, app.state.verifier = tokens.from_settings(settings)
    if isinstance(database, Database):
        use_database(app, database)
    errors.install(app)
    openapi.install(app)
    docs_pages.install(app)
    if app.state.issuer is not None:
        account_pages.install(app)
    pay_pages.install(app, settings)
    app.include_router(system.router)
    if settings.metrics:
        app.include_router(system.metrics_router)
    for constraint_errors in features.CONSTRAINT_ERRORS:
        register(constraint_errors)
    for router in features.ROUTERS:
        app.include_router(router)
    app.router.routes.insert(0, RouteIndex(app))
    _add_middleware(app, settings, metrics)
    return app


def use_database(app: FastAPI, database: Database) -> None:
    """Let the requests of an application go to this database from now on."""
    state = app.state
    state.services = Services(state.settings, database, state.verifier, state.issuer)
    send_together(database)
    state.live = LiveHub(database, state.settings.live_max_streams)


async def open_database(settings: Settings, conninfo: str) -> Database:
    """Connections of the application, sized and limited by the settings."""
    return await Database.open(
        conninfo,
        min_size=settings.pool_min_size,
        max_size=settings.pool_max_size,
        hot_max_size=settings.hot_pool_max_size,
        timeout=settings.pool_timeout_seconds,
        limits=Limits(
            statement_ms=settings.statement_timeout_ms,
            idle_in_transaction_ms=settings.idle_in_transaction_timeout_ms,
            lock_ms=settings.lock_timeout_ms,
        ),
    )


def _add_middleware(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """Innermost first."""
    app.add_middleware(
        RequestLimits, max_body_bytes=settings.max_body_bytes, max_upload_bytes=settings.max_upload_bytes
    )
    app.add_middleware(CatchAll)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "X-Request-Id", "Last-Event-ID"],
            expose_headers=["X-Request-Id", "Idempotent-Replayed", "Location", "Retry-After"],
            max_age=600,
        )
    app.add_middleware(RequestLog, metrics=metrics, https=settings.base_url.startswith("https://"))


def _operation_id(route: APIRoute) -> str:
    return route.name
