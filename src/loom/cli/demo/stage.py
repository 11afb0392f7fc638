"""What the steps of the story share: the people, the checks, and a look at what the database holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, LiteralString

import httpx
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from loom.cli.demo.actors import Person, StepFailed
from loom.cli.demo.people import Account
from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.db.database import Database
from loom.providers.email import OutboxMailer
from loom.providers.push.sink import PushSink

_WAIT_SECONDS = 20.0
_LOOK = Actor.service("show what the story left in the database")


class _AnyRow(BaseModel):
    model_config = ConfigDict(extra="allow")


@dataclass(slots=True)
class Stage:
    """`facts` carries what one step made and a later one needs, by name."""

    base_url: str
    sandbox_url: str
    database: Database
    outbox: OutboxMailer
    push_sink: PushSink
    console: Console
    settings: Settings
    people: dict[str, Person] = field(default_factory=dict[str, Person])
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    checks: int = 0
    failures: list[str] = field(default_factory=list[str])

    def add(self, account: Account, http: httpx.AsyncClient) -> Person:
        """Somebody who takes part."""
        person = Person(account.name, account.email, http)
        self.people[account.email] = person
        return person

    def check(self, claim: str, holds: object) -> None:
        """Prints whether what was told is so, and remembers it if not."""
        self.checks += 1
        if not holds:
            self.failures.append(claim)
        self.console.print(f"  [green]✓[/] {claim}" if holds else f"  [red]✗ {claim}[/]")

    async def rows(self, query: LiteralString, **params: object) -> list[dict[str, Any]]:
        """What the database holds, read past the policies."""
        found = await self.database.reader(_LOOK).fetch_all(query, params, _AnyRow)
        return [row.model_extra or {} for row in found]

    async def show(self, title: str, query: LiteralString, **params: object) -> list[dict[str, Any]]:
        """Prints the rows as a table and gives them back."""
        found = await self.rows(query, **params)
        self.table(title, found)
        return found

    def table(self, title: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Prints rows that are at hand."""
        self.console.print(f"  [dim]{title}[/]")
        table = Table(padding=(0, 1))
        for column in rows[0] if rows else ():
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
        self.console.print(table)

    async def until(self, what: str, ready: Callable[[], Any]) -> Any:
        """Waits for work that goes on in the background; StepFailed when it takes too long."""
        deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
        while True:
            found = ready()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            if asyncio.get_running_loop().time() > deadline:
                raise StepFailed(f"{what}: nothing after {_WAIT_SECONDS:.0f} seconds")
            await asyncio.sleep(0.05)

    async def mail_to(self, address: str) -> EmailMessage:
        """The newest mail to somebody, once it is there."""

        def newest() -> EmailMessage | None:
            names = [entry.name for entry in self.outbox.entries() if address in entry.recipient]
            return self.outbox.read(names[-1]) if names else None

        return await self.until(f"mail to {address}", newest)
