"""Reminders of sessions, and notices on their way by mail and to devices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from loom.core.errors import OperatorError
from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.notifications.notice_delivery import NoticeCourier
from loom.jobs.leases import Pace
from loom.providers.email.templates import Templates
from loom.providers.errors import RetryableError
from loom.providers.push import WebPushSender
from tests.features.messaging.world import Connection, make_person, one, relate, rows
from tests.support.acting import AsUser

NOW = datetime(2026, 3, 26, 12, 0, tzinfo=UTC)


class Sent:
    """A mailer that keeps what it is given, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.mails: list[EmailMessage] = []
        self.failures = failures

    async def send(self, message: EmailMessage) -> str:
        if self.failures:
            self.failures -= 1
            raise RetryableError("busy", reason="busy")
        self.mails.append(message)
        return str(message["Message-ID"])

    async def close(self) -> None: ...


@pytest.fixture
def pair(owner: Connection) -> tuple[UUID, UUID]:
    coach, client = make_person(owner, "Maya", "coach"), make_person(owner, "Noa")
    relate(owner, coach, client)
    return coach, client


def session(owner: Connection, pair: tuple[UUID, UUID], at: datetime, booked: datetime) -> UUID:
    """A session that was booked at some time; the past is written by the owner, as imports do."""
    found = one(
        owner,
        "insert into public.sessions (coach_id, client_id, title, scheduled_at, created_at)"
        " values (%s, %s, 'Coaching', %s, %s) returning id",
        *pair, at, booked,
    )  # fmt: skip
    owner.execute("update public.session_attendees set created_at = %s where session_id = %s", [booked, found])
    return found


def remind(owner: Connection, at: datetime) -> int:
    return one(owner, "select private.remind_of_sessions(%s)", at)


def reminded(owner: Connection, person: UUID) -> list[str]:
    return [
        row["message"]
        for row in rows(
            owner,
            "select message from public.notifications"
            " where user_id = %s and type = 'session_reminder' order by created_at",
            person,
        )
    ]


def test_a_day_and_an_hour_before_each_once(owner: Connection, pair: tuple[UUID, UUID]) -> None:
    session(owner, pair, NOW, NOW - timedelta(days=9))
    told = [
        remind(owner, NOW - timedelta(minutes=minutes)) for minutes in (1441, 1440, 1439, 700, 61, 60, 59, 1, 0, -1)
    ]
    assert told == [0, 2, 0, 0, 0, 2, 0, 0, 0, 0]
    assert len(reminded(owner, pair[1])) == 2
    assert "Maya" in reminded(owner, pair[1])[0]
    assert "Noa" in reminded(owner, pair[0])[0]


def test_after_an_outage_the_nearer_one_comes_alone_and_never_after_the_start(
    owner: Connection, pair: tuple[UUID, UUID]
) -> None:
    """The worker slept for two hours, over both moments of one session and over the start of another."""
    session(owner, pair, NOW, NOW - timedelta(hours=25))
    session(owner, pair, NOW - timedelta(hours=30), NOW - timedelta(days=9))
    assert remind(owner, NOW - timedelta(minutes=30)) == 2
    assert remind(owner, NOW - timedelta(minutes=29)) == 0
    assert len(reminded(owner, pair[1])) == 1
    assert remind(owner, NOW - timedelta(hours=30)) == 0


def test_what_is_cancelled_moved_or_booked_late(owner: Connection, pair: tuple[UUID, UUID]) -> None:
    cancelled = session(owner, pair, NOW, NOW - timedelta(days=9))
    owner.execute("update public.sessions set status = 'cancelled' where id = %s", [cancelled])
    assert remind(owner, NOW - timedelta(hours=1)) == 0
    # Who booked two hours before is not told a moment later that it is tomorrow.
    session(owner, pair, NOW + timedelta(days=2), NOW + timedelta(days=2, hours=-2))
    assert remind(owner, NOW + timedelta(days=2, minutes=-110)) == 0
    assert remind(owner, NOW + timedelta(days=2, minutes=-60)) == 2


def test_elapsed_time_counts_over_a_clock_change(owner: Connection, pair: tuple[UUID, UUID]) -> None:
    """Israel's clocks go forward on 27 March 2026 at 02:00: 24 hours before 10:00 is 09:00 of the day before."""
    start = datetime(2026, 3, 27, 7, 0, tzinfo=UTC)
    session(owner, pair, start, NOW - timedelta(days=9))
    assert remind(owner, datetime(2026, 3, 26, 6, 59, tzinfo=UTC)) == 0
    assert remind(owner, datetime(2026, 3, 26, 7, 0, tzinfo=UTC)) == 2


def test_two_workers_at_once_remind_once(owner: Connection, database_url: str, pair: tuple[UUID, UUID]) -> None:
    session(owner, pair, NOW, NOW - timedelta(days=9))
    at = NOW - timedelta(hours=1)
    with psycopg.connect(database_url) as first, psycopg.connect(database_url) as second:
        first.execute("select private.remind_of_sessions(%s)", [at])
        second.execute("set statement_timeout = '10s'")
        with psycopg.connect(database_url, autocommit=True) as watcher:
            told: list[Any] = []
            late = threading.Thread(
                target=lambda: told.append(second.execute("select private.remind_of_sessions(%s)", [at]).fetchone())
            )
            late.start()
            while not watcher.execute("select 1 from pg_locks where not granted").fetchone():
                pass
            first.commit()
            late.join()
            second.commit()
    assert told == [(0,)]
    assert len(reminded(owner, pair[1])) == 1


@contextmanager
def worker(db: Database, tmp_path: Path, mailer: Any, templates: Templates | None = None) -> Iterator[NoticeCourier]:
    settings = Settings(data_dir=tmp_path, public_url="https://loom.example.com", mail_from="Loom <loom@example.com>")
    push = WebPushSender(tmp_path / "keys", contact="mailto:ops@example.com")
    yield NoticeCourier(db, settings, mailer, push, templates or Templates(), Pace(first_delay=0.0))


def soon(owner: Connection, pair: tuple[UUID, UUID]) -> UUID:
    """A session in an hour less a minute, with its reminder told."""
    now = one(owner, "select now()")
    found = session(owner, pair, now + timedelta(minutes=59), now - timedelta(days=9))
    assert one(owner, "select private.remind_of_sessions()") >= 2
    return found


async def test_a_reminder_is_mailed_once_with_a_way_out(
    owner: Connection, db: Database, pair: tuple[UUID, UUID], tmp_path: Path, client: httpx.AsyncClient
) -> None:
    soon(owner, pair)
    sent = Sent(failures=1)
    with worker(db, tmp_path, sent) as notices:
        while await notices.work_once():
            pass
    mine = [mail for mail in sent.mails if "Noa" in str(mail["To"])]
    assert len(mine) == 1
    mail = mine[0]
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = str(mail["List-Unsubscribe"]).strip("<>")
    assert link.startswith("https://loom.example.com/v1/unsubscribe/")
    path = link.removeprefix("https://loom.example.com")
    shown = await client.get(path)
    assert shown.status_code == 200
    assert one(owner, "select private.wants(%s, 'email', 'session_reminders')", pair[1]), "looking changes nothing"
    for _ in range(2):
        answer = await client.post(
            path, content="List-Unsubscribe=One-Click", headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"topic": "session_reminders"}
    assert not one(owner, "select private.wants(%s, 'email', 'session_reminders')", pair[1])
    assert one(owner, "select private.wants(%s, 'email', 'payments')", pair[1]), "only that kind"
    for wrong in (path[:-1] + ("0" if path[-1] != "0" else "1"), path.replace("session_reminders", "payments")):
        assert (await client.post(wrong)).status_code == 404
        told = await client.post(wrong, headers={"Accept": "text/html,*/*"})
        assert (told.status_code, told.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "This link is not whole." in told.text
    assert "You get no more mail" in (await client.post(path, headers={"Accept": "text/html"})).text


async def test_the_last_moment_decides(owner: Connection, db: Database, tmp_path: Path) -> None:
    """Planned, and then cancelled, moved, read, switched off: nothing goes out, and the row says why."""
    changes = {
        "cancelled": "update public.sessions set status = 'cancelled' where id = %(session)s",
        "moved": "update public.sessions set scheduled_at = scheduled_at + interval '1 hour' where id = %(session)s",
        "read": "update public.notifications set read_at = now() where user_id = %(person)s",
        "preference_off": "update public.notification_preferences set email_enabled = false where user_id = %(person)s",
        "inactive": "update public.users set status = 'suspended' where id = %(person)s",
        "left": "update public.session_attendees set cancelled_at = now() where user_id = %(person)s",
        "too_late": "update public.notifications set expires_at = now() where user_id = %(person)s",
    }
    sent = Sent()
    for reason, change in changes.items():
        coach, client = make_person(owner, "Maya", "coach"), make_person(owner, "Noa")
        relate(owner, coach, client)
        found = soon(owner, (coach, client))
        owner.execute(change, {"session": found, "person": client})  # type: ignore[call-overload]
        with worker(db, tmp_path, sent) as notices:
            while await notices.work_once():
                pass
        state = rows(owner, "select state, reason from public.notification_deliveries where user_id = %s", client)
        assert state == [{"state": "suppressed", "reason": reason}]
        assert not [mail for mail in sent.mails if str(mail["To"]).startswith("Noa")]


async def test_quiet_hours_put_off_and_a_reminder_that_would_be_late_comes_at_once(
    owner: Connection, db: Database, pair: tuple[UUID, UUID], tmp_path: Path
) -> None:
    owner.execute(
        "update public.notification_preferences set quiet_hours_enabled = true, timezone = 'Asia/Jerusalem',"
        " quiet_hours_start = ((now() at time zone 'Asia/Jerusalem') - interval '1 hour')::time,"
        " quiet_hours_end = ((now() at time zone 'Asia/Jerusalem') + interval '3 hours')::time where user_id = %s",
        [pair[1]],
    )
    owner.execute("select private.tell(%s, 'payment_recorded', null, '{}', 'Maya', 'ILS 100.00')", [pair[1]])
    waiting = one(
        owner, "select next_attempt_at > now() + interval '2 h' from public.notification_deliveries where user_id = %s",
        pair[1],
    )  # fmt: skip
    assert waiting is True
    soon(owner, pair)
    sent = Sent()
    with worker(db, tmp_path, sent) as notices:
        while await notices.work_once():
            pass
    assert [mail["Subject"] for mail in sent.mails if "Noa" in str(mail["To"])] == ["Reminder"]
    owner.execute(
        "update public.notification_preferences set quiet_hours_enabled = false where user_id = %s", [pair[1]]
    )
    owner.execute("update public.notification_deliveries set next_attempt_at = now() where state = 'pending'")
    with worker(db, tmp_path, sent) as notices:
        while await notices.work_once():
            pass
    assert "Payment recorded" in [mail["Subject"] for mail in sent.mails], "put off, not dropped"


async def test_no_content_where_none_is_wanted_and_no_header_of_anybodys_making(
    owner: Connection, db: Database, tmp_path: Path, as_user: AsUser
) -> None:
    coach, client = make_person(owner, "Maya", "coach"), make_person(owner, "Noa")
    relate(owner, coach, client)
    bad = "A\r\nBcc: everybody@example.com\r\n\r\nbody"
    owner.execute("update public.users set first_name = %s, language = 'he' where id = %s", [bad, client])
    owner.execute("select private.tell(%s, 'refund_made', null, '{}', %s, 'secret sum')", [client, bad])
    owner.execute("update public.notifications set title = %s where user_id = %s", [bad, client])
    sent = Sent()
    with worker(db, tmp_path, sent) as notices:
        while await notices.work_once():
            pass
    mail = sent.mails[-1]
    assert mail["Bcc"] is None
    assert "\n" not in str(mail["Subject"])
    assert "secret sum" in "".join(part.get_content() for part in mail.iter_parts())
    with as_user(client) as conn:
        conn.execute("insert into public.notification_choices (user_id, hide_content) values (%s, true)", [client])
    owner.execute("select private.tell(%s, 'refund_made', null, '{}', 'Maya', 'secret sum')", [client])
    with worker(db, tmp_path, sent) as notices:
        while await notices.work_once():
            pass
    hidden = sent.mails[-1]
    text = "".join(part.get_content() for part in hidden.iter_parts())
    assert "secret sum" not in text + str(hidden["Subject"])
    assert "Maya" not in text + str(hidden["Subject"])
    assert hidden["Content-Language"] == "he"


async def test_preferences_of_both_tables_are_one(
    owner: Connection, client: httpx.AsyncClient, bearer: Any, pair: tuple[UUID, UUID]
) -> None:
    headers = bearer(pair[1])
    before = (await client.get("/v1/notifications/preferences", headers=headers)).json()
    assert (before["email_payments"], before["hide_content"]) == (True, False)
    change = {"email_payments": False, "hide_content": True, "push_enabled": True}
    after = (await client.patch("/v1/notifications/preferences", headers=headers, json=change)).json()
    assert after == before | change | {"updated_at": after["updated_at"]}
    again = (await client.patch("/v1/notifications/preferences", headers=headers, json={"push_payments": True})).json()
    assert again["email_payments"] is False
    assert not one(owner, "select private.wants(%s, 'email', 'payments')", pair[1])
    assert one(owner, "select private.wants(%s, 'push', 'payments')", pair[1])


def test_a_broken_template_is_named_at_the_start(tmp_path: Path) -> None:
    good = "Subject: {title}\n\nDear {name},\n\n{message}\n\n{unsubscribe}\n"
    (tmp_path / "notice.en.txt").write_text(good, "utf-8")
    worded = Templates.load(tmp_path).render(
        "notice", "en", {"name": "{x}", "title": "a\r\nBcc: b", "message": "one\n\ntwo", "unsubscribe": "u"}
    )
    assert worded is not None
    assert worded.subject == "a Bcc: b"
    assert worded.paragraphs == ["Dear {x},", "one\n\ntwo", "u"]
    for name, text, complaint in (
        ("notice.en.txt", "Hello\n\ntext", "first line"),
        ("notice.en.txt", "Subject: x\n\n{who}", "line 3: {who} is not known"),
        ("notice.en.txt", "Subject: x\n\n{name.__class__}", "line 3"),
        ("notice.en.txt", "Subject: x\n\n{name:>9999999}", "line 3"),
        ("notice.en.txt", "Subject: x\n\nhalf {a brace", "line 3"),
        ("nothing.en.txt", good, "no such mail"),
        ("notice.fr.txt", good, "no such mail"),
    ):
        for path in tmp_path.iterdir():
            path.unlink()
        (tmp_path / name).write_text(text, "utf-8")
        with pytest.raises(OperatorError, match=complaint):
            Templates.load(tmp_path)
    with pytest.raises(OperatorError, match="not a folder"):
        Templates.load(tmp_path / "missing")
