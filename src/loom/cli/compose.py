"""Puts a process together: the features' tasks, and the providers that the settings ask for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules

from loom import features
from loom.core.settings import Settings
from loom.db.database import Database
from loom.db.errors import register
from loom.jobs.registry import JobContext
from loom.providers.email import Mailer, open_mailer
from loom.providers.email.templates import Templates
from loom.providers.push import PushSender, WebPushSender
from loom.web.features import CONSTRAINT_ERRORS


def import_tasks() -> None:
    """Fills the registry: a feature's `tasks` module registers its tasks by being imported."""
    for feature in iter_modules(features.__path__, "loom.features."):
        if find_spec(f"{feature.name}.tasks") is not None:
            import_module(f"{feature.name}.tasks")


def register_errors() -> None:
    """What constraints of the database mean to a caller; the HTTP application does the same for itself."""
    for constraint_errors in CONSTRAINT_ERRORS:
        register(constraint_errors)


@asynccontextmanager
async def job_context(settings: Settings, database: Database) -> AsyncGenerator[JobContext]:
    """What handlers of jobs get, closed at the end."""
    import_tasks()
    register_errors()
    templates = Templates.load(settings.templates_dir)
    smtp_url = settings.smtp_url.get_secret_value() if settings.smtp_url else None
    mailer = open_mailer(smtp_url, settings.outbox_dir, settings.bounce_address)
    push = WebPushSender(settings.keys_dir, contact=settings.push_contact, allow_local=settings.push_allow_private)
    try:
        yield JobContext(database, settings, {Mailer: mailer, PushSender: push, Templates: templates})
    finally:
        await mailer.close()
        await push.close()
