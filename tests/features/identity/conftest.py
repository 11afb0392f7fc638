"""People and their mail."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.identity import tasks  # registers them
from loom.features.identity.schemas import Role
from loom.features.identity.service import create_user
from loom.jobs.app import build_app
from loom.jobs.registry import TASKS, JobContext
from loom.providers.email import Mailer, OutboxMailer

PASSWORD = "a long enough password"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account, and the password to it."""

    id: UUID
    email: str
    password: str

    @property
    def credentials(self) -> dict[str, str]:
        """The body of a sign-in."""
        return {"email": self.email, "password": self.password}


MakePerson = Callable[..., Awaitable[Person]]


@pytest.fixture
def person(db: Database) -> MakePerson:
    """Make somebody: `await person("coach")`."""

    async def make(role: Role = "client") -> Person:
        made = await create_user(db, email=f"{uuid4().hex[:12]}@people.test", role=role, password=PASSWORD)
        return Person(made.user_id, made.email, PASSWORD)

    return make


class Mailbox:
    """What the worker has mailed so far."""

    def __init__(self, database: Database, settings: Settings, outbox: Path) -> None:
        self._context = JobContext(db=database, settings=settings, resources={Mailer: OutboxMailer(outbox)})
        self._mailer = OutboxMailer(outbox)

    async def to(self, email: str) -> list[str]:
        """Let the worker do what is queued; then the plain text of every mail to the address, oldest first."""
        app = build_app(self._context.db.conninfo, {"identity.send_mail": TASKS["identity.send_mail"]}, self._context)
        async with app.open_async():
            await app.run_worker_async(wait=False, install_signal_handlers=False)
        found: list[str] = []
        for entry in self._mailer.entries():
            if entry.recipient == email:
                body = self._mailer.read(entry.name).get_body(("plain",))
                assert body is not None
                found.append(f"{entry.subject}\n{body.get_content()}")
        return found

    async def token_to(self, email: str) -> str:
        """The token in the newest mail to the address."""
        newest = (await self.to(email))[-1]
        found = re.search(r"#token=([A-Za-z0-9_-]+)", newest)
        assert found is not None, newest
        return found[1]


@pytest.fixture
def mailbox(db: Database, settings: Settings, tmp_path: Path) -> Mailbox:
    """The local outbox, filled by the real worker."""
    assert tasks.send_mail is TASKS["identity.send_mail"].handler
    return Mailbox(db, settings, tmp_path / "outbox")


async def signed_in(client: httpx.AsyncClient, somebody: Person) -> dict[str, str]:
    """The tokens of a fresh sign-in."""
    answer = await client.post("/v1/auth/sign-in", json=somebody.credentials)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def as_bearer(tokens: dict[str, str]) -> dict[str, str]:
    """The header that goes with every request of a sign-in."""
    return {"Authorization": f"Bearer {tokens['access_token']}"}
