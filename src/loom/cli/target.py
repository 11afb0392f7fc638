"""Which database a command talks to: the one that a URL names, or the embedded one of the data folder."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from loom.core.errors import OperatorError
from loom.core.settings import Settings
from loom.db.embedded import EmbeddedServer
from loom.db.migrate import check_version, connect


@dataclass(frozen=True, slots=True)
class Target:
    """Conninfo for the application and for migrations; for a database given by URL they are the same."""

    app_url: str
    admin_url: str
    embedded: EmbeddedServer | None


@contextmanager
def open_target(settings: Settings, *, make: bool = False) -> Generator[Target]:
    """Starts the embedded server where it is needed and not running yet, and stops it again if it did.

    Without `make` a folder that holds no database is refused: a mistyped one is not the place for a new one.
    """
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        yield Target(url, url, None)
        return
    running = EmbeddedServer.attach(settings.data_dir)
    if not (make or running or EmbeddedServer.has_database(settings.data_dir)):
        raise OperatorError(
            f"There is no database in {settings.data_dir.absolute()}: name the right folder with --data-dir, or a"
            " database with --database-url. `loom serve`, `loom users create` and `loom db migrate` make a new one."
        )
    with running or EmbeddedServer.start(settings.data_dir) as server:
        yield Target(server.url("loom_api"), server.url("postgres"), server)


@contextmanager
def own_target(settings: Settings, meanwhile: Callable[[], object]) -> Generator[Target]:
    """The same for a command that serves: a data folder that another Loom uses is refused.

    `meanwhile` is called while the embedded server gets ready.
    """
    if settings.database_url is not None:
        url = settings.database_url.get_secret_value()
        yield Target(url, url, None)
        return
    with EmbeddedServer.start(settings.data_dir, meanwhile=meanwhile) as server:
        yield Target(server.url("loom_api"), server.url("postgres"), server)


def require_version(target: Target) -> None:
    """OperatorError unless the database is at this version: for commands that change or judge what is in it."""
    with connect(target.app_url) as conn:
        check_version(conn)
