"""A practice with a group ahead, and the letters that are due about its seats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from icalendar import Calendar
from psycopg.rows import DictRow

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.calendars import tasks
from loom.jobs.registry import JobContext
from loom.providers.email import Mailer, OutboxMailer
from tests.support.acting import AsUser
from tests.support.scheduling import Scene, at, make_scene, one

Owner = psycopg.Connection[DictRow]


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


@pytest.fixture
def group(scene: Scene, as_user: AsUser) -> UUID:
    with as_user(scene.coach) as conn:
        return one(conn, "select public.create_group_session(%s, %s)", [scene.group, at(3)])


@pytest.fixture
def booked(scene: Scene, as_user: AsUser) -> UUID:
    """The client's own session, four days from now."""
    with as_user(scene.client) as conn:
        return one(conn, "select public.book_session(%s, %s)", [scene.single, at(4)])


@dataclass(slots=True)
class Post:
    """Runs the jobs that wait, and reads what arrived."""

    owner: Owner
    context: JobContext
    outbox: OutboxMailer

    async def deliver(self) -> list[EmailMessage]:
        """Every letter that the waiting jobs bring about, in order."""
        before = len(self.outbox.entries())
        jobs = self.owner.execute(
            "delete from jobs.procrastinate_jobs where task_name = 'calendars.send_invitation' returning args, id"
        ).fetchall()
        for job in sorted(jobs, key=lambda job: job["id"]):
            await tasks.send_invitation(self.context, **job["args"])
        return [self.outbox.read(entry.name) for entry in self.outbox.entries()[before:]]


@pytest.fixture
def post(owner: Owner, db: Database, tmp_path: Path) -> Post:
    outbox = OutboxMailer(tmp_path / "outbox")
    settings = Settings(data_dir=tmp_path, mail_from="Loom <mail@loom.test>", public_url="https://loom.test")
    owner.execute("delete from jobs.procrastinate_jobs")
    return Post(owner, JobContext(db, settings, {Mailer: outbox}), outbox)


def event_of(mail: EmailMessage) -> Any:
    """The method and the one event inside a letter."""
    (part,) = [part for part in mail.walk() if part.get_content_type() == "text/calendar"]
    calendar = Calendar.from_ical(part.get_payload(decode=True))
    (event,) = calendar.walk("VEVENT")
    assert part.get_param("method") == str(calendar["METHOD"])
    return str(calendar["METHOD"]), event


def links_of(mail: EmailMessage) -> list[str]:
    """The tokens of a letter's links, in order."""
    plain = mail.get_body(("plain",))
    assert plain is not None
    return [line.rpartition("/")[2] for line in plain.get_content().splitlines() if "/v1/links/" in line]


Answer = Callable[[str], tuple[int, str]]
