"""Notices on their way: real Web Push to a push service that checks and decrypts; addresses that refuse; reports."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.messaging.bounces import record_report
from loom.features.notifications.notice_delivery import NoticeCourier
from loom.providers.email import OutboxMailer
from loom.providers.email.templates import Templates
from loom.providers.errors import PermanentError
from loom.providers.push import WebPushSender
from loom.providers.push.sink import PushSink
from tests.features.messaging.office import Flaky
from tests.features.messaging.test_bounces import report
from tests.features.messaging.test_delivery import add_device
from tests.features.messaging.world import Connection, make_person, one, rows
from tests.support.acting import AsUser


class Desk:
    """A courier of notices with an outbox of its own."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.db = db
        self.outbox = OutboxMailer(folder / "outbox")
        self.push = WebPushSender(folder / "keys", contact="mailto:ops@example.com", allow_local=True)
        self.settings = Settings(
            data_dir=folder, app_url="https://loom.example.com", mail_from="Loom <loom@example.com>"
        )

    async def work(self, mailer: Any = None) -> None:
        courier = NoticeCourier(self.db, self.settings, mailer or self.outbox, self.push, Templates())
        while await courier.work_once():
            pass


@pytest.fixture
async def desk(db: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(db, tmp_path)
    await desk.work()
    yield desk
    await desk.push.close()


def tell(owner: Connection, person: UUID, what: str) -> None:
    owner.execute("select private.tell(%s, 'payment_recorded', '/payments/1', '{}', 'Maya', %s)", [person, what])


def became(owner: Connection, person: UUID, channel: str) -> list[dict[str, Any]]:
    return rows(
        owner,
        "select state, reason, attempts, next_attempt_at - now() > interval '4 minutes' as later"
        " from public.notification_deliveries where user_id = %s and channel = %s::public.message_delivery_channel"
        " order by created_at",
        person,
        channel,
    )


def a_reader(owner: Connection, as_user: AsUser, **choices: bool) -> UUID:
    """Somebody who wants payments on devices."""
    person = make_person(owner, "Noa")
    owner.execute("update public.notification_preferences set push_enabled = true where user_id = %s", [person])
    wanted = {"push_payments": True, **choices}
    with as_user(person) as conn:
        conn.execute("insert into public.notification_choices (user_id) values (%s)", [person])
        for name, value in wanted.items():
            conn.execute(f"update public.notification_choices set {name} = %s", [value])  # type: ignore[arg-type]
    return person


async def test_a_notice_reaches_the_devices_that_are_left(
    owner: Connection, as_user: AsUser, desk: Desk, sink: PushSink
) -> None:
    person = a_reader(owner, as_user)
    owner.execute("update public.users set language = 'he' where id = %s", [person])
    phone = add_device(as_user, sink, person, "notice-phone")
    old = add_device(as_user, sink, person, "notice-old", status=410)
    tell(owner, person, "ILS 100.00")
    await desk.work()
    assert [row["state"] for row in became(owner, person, "push")] == ["sent"]
    (payload,) = [json.loads(one_) for one_ in sink.devices["notice-phone"].received]
    assert (payload["kind"], payload["lang"], payload["dir"]) == ("notification", "he", "rtl")
    assert payload["title"] == "התשלום נרשם"
    assert "ILS 100.00" in payload["body"]
    assert payload["url"] == "https://loom.example.com/payments/1"
    devices = rows(
        owner,
        "select id, retired_reason, last_sent_at is not null as used from public.push_subscriptions where user_id = %s",
        person,
    )
    assert {row["id"]: (row["retired_reason"], row["used"]) for row in devices} == {
        phone: (None, True),
        old: ("gone", False),
    }


async def test_a_busy_push_service_is_asked_again_when_it_says(
    owner: Connection, as_user: AsUser, desk: Desk, sink: PushSink
) -> None:
    person = a_reader(owner, as_user)
    add_device(as_user, sink, person, "notice-busy", status=503)
    sink.devices["notice-busy"].retry_after = 300
    tell(owner, person, "ILS 100.00")
    await desk.work()
    assert became(owner, person, "push") == [{"state": "pending", "reason": "push_busy", "attempts": 1, "later": True}]
    sink.devices["notice-busy"].status = 201
    owner.execute(
        "update public.notification_deliveries set next_attempt_at = now() where state = 'pending' and user_id = %s",
        [person],
    )
    await desk.work()
    assert [(row["state"], row["attempts"]) for row in became(owner, person, "push")] == [("sent", 2)]


async def test_no_content_on_a_device_where_none_is_wanted(
    owner: Connection, as_user: AsUser, desk: Desk, sink: PushSink
) -> None:
    person = a_reader(owner, as_user, hide_content=True)
    add_device(as_user, sink, person, "notice-silent")
    tell(owner, person, "ILS 100.00")
    await desk.work()
    (payload,) = [json.loads(one_) for one_ in sink.devices["notice-silent"].received]
    assert (payload["title"], payload["body"]) == ("There is something new for you.", "")
    assert "Maya" not in json.dumps(payload)


async def test_a_refused_address_gets_neither_notices_nor_messages_until_it_is_lifted(
    owner: Connection, as_user: AsUser, desk: Desk
) -> None:
    person = a_reader(owner, as_user)
    refuses = Flaky(desk.outbox, PermanentError("550 5.1.1 no such user", reason="address_refused"))
    tell(owner, person, "ILS 1.00")
    await desk.work(refuses)
    tell(owner, person, "ILS 2.00")
    await desk.work()
    said = [(row["state"], row["reason"]) for row in became(owner, person, "email")]
    assert said == [("failed", "address_refused"), ("suppressed", "address_suppressed")]
    with as_user(person) as conn:
        conn.execute("select public.lift_suppression(id) from public.suppressed_addresses")
    tell(owner, person, "ILS 3.00")
    await desk.work()
    assert became(owner, person, "email")[-1]["state"] == "sent"


async def test_a_report_of_a_notice_that_came_back_is_believed(
    owner: Connection, as_user: AsUser, desk: Desk, db: Database
) -> None:
    person = a_reader(owner, as_user)
    tell(owner, person, "ILS 100.00")
    await desk.work()
    entry = next(one_ for one_ in desk.outbox.entries() if "Noa" in one_.recipient)
    email = one(owner, "select email from public.users where id = %s", person)
    assert await record_report(db, report(email, entry.message_id, status="delayed")) != []
    assert [row["state"] for row in became(owner, person, "email")] == ["sent"]
    assert len(await record_report(db, report(email, entry.message_id))) == 1
    assert [(row["state"], row["reason"]) for row in became(owner, person, "email")] == [("failed", "bounced")]
    assert one(owner, "select private.is_suppressed(%s)", email)
