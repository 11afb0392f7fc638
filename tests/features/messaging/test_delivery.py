"""Deliveries for real: mail into an outbox, Web Push to a push service that checks and decrypts, a worker that dies."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import LiteralString
from uuid import UUID

import pytest

from loom.delivery import CHANNEL
from loom.jobs.leases import Pace
from loom.providers.errors import PermanentError, RetryableError
from loom.providers.push import PushTarget, WebPushSender
from loom.providers.push.sink import PushSink
from tests.features.messaging.office import Flaky, Office, states, until
from tests.features.messaging.world import Connection, World, make_person, one, post, relate, rows
from tests.support.acting import AsUser

EXPIRE: LiteralString = (
    "update public.message_deliveries set next_attempt_at = now(), lease_until = now() where state = 'leased'"
)
REGISTER: LiteralString = "select public.register_push_subscription(%s, %s, %s)"


def roll_up(conn: Connection, message: UUID) -> dict[str, tuple[str, str | None]]:
    found = rows(
        conn, "select channel, status, error_message from public.message_delivery_states where message_id = %s", message
    )
    return {row["channel"]: (row["status"], row["error_message"]) for row in found}


def add_device(as_user: AsUser, sink: PushSink, person: UUID, name: str, status: int = 201) -> UUID:
    target = sink.add_device(name, status=status).target(sink.base_url)
    with as_user(person) as conn:
        return one(conn, REGISTER, target.endpoint, target.p256dh, target.auth)


def check_hebrew_mail(owner: Connection, office: Office, world: World, message: UUID) -> None:
    mails = {str(mail["To"]): mail for mail in office.mails()}
    assert len(mails) == 2
    hebrew = next(mail for mail in mails.values() if mail["Content-Language"] == "he")
    assert hebrew["Subject"] == "הודעה חדשה מאת Coach Levi בשיחה Circle"
    body = hebrew.get_body(("plain",))
    assert body is not None
    assert "See you at five" in body.get_content()
    assert f"https://loom.example.com/conversations/{world.group}" in body.get_content()
    delivery = one(
        owner,
        "select private.mail_key(id) from public.message_deliveries"
        " where message_id = %s and recipient_id = %s and channel = 'email'",
        message,
        world.dana,
    )
    assert hebrew["Message-ID"] == f"<{delivery}@example.com>"


async def test_message_delivery_logging(
    owner: Connection, as_user: AsUser, world: World, office: Office, sink: PushSink
) -> None:
    """One message, three channels, three people: each delivery recorded with its reason, and rolled up."""
    phone = add_device(as_user, sink, world.dana, "danas-phone")
    add_device(as_user, sink, world.amir, "amirs-old-tablet", status=410)
    owner.execute("update public.users set language = 'he' where id = %s", [world.dana])
    owner.execute("update public.notification_preferences set email_messages = false where user_id = %s", [world.coach])
    message = post(as_user, world.coach, world.group, "See you at five", mentions=[world.dana])["id"]
    # In the same transaction: the app at once, the rest waits for the worker.
    assert states(owner, message) == {
        (world.dana, "in_app"): ("sent", None),
        (world.dana, "email"): ("pending", None),
        (world.dana, "push"): ("pending", None),
        (world.amir, "in_app"): ("sent", None),
        (world.amir, "email"): ("pending", None),
        (world.amir, "push"): ("pending", None),
    }
    assert roll_up(owner, message) == {"in_app": ("sent", None), "email": ("pending", None), "push": ("pending", None)}
    await office.drain()
    assert states(owner, message)[world.dana, "push"] == ("sent", None)
    assert states(owner, message)[world.amir, "push"] == ("failed", "subscription_gone")
    assert roll_up(owner, message) == {
        "in_app": ("sent", None),
        "email": ("sent", None),
        "push": ("sent", "failed for 1 of 2: the push service answered 410"),
    }
    notice = json.loads(sink.devices["danas-phone"].received[-1])
    assert (notice["body"], notice["lang"], notice["dir"]) == ("See you at five", "he", "rtl")
    assert notice["url"] == f"https://loom.example.com/conversations/{world.group}"
    devices = rows(owner, "select id, retired_reason, last_sent_at is not null as used from public.push_subscriptions")
    assert {row["retired_reason"] for row in devices if row["id"] != phone} == {"gone"}
    assert [row["used"] for row in devices if row["id"] == phone] == [True]
    check_hebrew_mail(owner, office, world, message)
    # The reply: the coach wants no mail and has no device, Amir's tablet is gone for good.
    reply = post(as_user, world.dana, world.group, "מצוין")["id"]
    await office.drain()
    assert states(owner, reply) == {
        (world.coach, "in_app"): ("sent", None),
        (world.coach, "email"): ("suppressed", "preference_off"),
        (world.coach, "push"): ("suppressed", "no_subscription"),
        (world.amir, "in_app"): ("sent", None),
        (world.amir, "email"): ("sent", None),
        (world.amir, "push"): ("suppressed", "no_subscription"),
    }
    assert roll_up(owner, reply)["push"] == ("failed", "suppressed: no_subscription")
    # The sender and the coach of the conversation see all of it, a recipient their own, an outsider nothing.
    for person, seen in ((world.dana, 6), (world.coach, 6), (world.amir, 3), (world.noa, 0), (world.admin, 6)):
        with as_user(person) as conn:
            assert one(conn, "select count(*) from public.message_deliveries where message_id = %s", reply) == seen
    owner.execute("update public.notification_preferences set email_messages = true where user_id = %s", [world.coach])


@pytest.mark.parametrize(
    ("reason", "channel", "change"),
    [
        ("read", "email", "select public.mark_read(%(group)s, 1000000)"),
        (
            "muted",
            "email",
            "update public.conversation_participants set is_muted = true where conversation_id = %(group)s",
        ),
        ("left", "email", "select public.leave_conversation(%(group)s)"),
        ("deleted", "email", None),
        ("preference_off", "email", "update public.notification_preferences set email_enabled = false"),
    ],
)
async def test_what_changed_since_sending_is_asked_again(
    owner: Connection,
    as_user: AsUser,
    world: World,
    office: Office,
    reason: str,
    channel: str,
    change: str | None,
) -> None:
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Late', %s)", [world.dana])
    message = post(as_user, world.coach, group, "too late")["id"]
    untouched = post(as_user, world.coach, world.group, "in time")["id"]
    try:
        with as_user(world.coach if change is None else world.dana) as conn:
            conn.execute(change or "select public.delete_message(%(message)s)", {"group": group, "message": message})
        await office.drain()
        assert states(owner, message)[world.dana, channel] == ("suppressed", reason)
        assert not [mail for mail in office.mails() if "Late" in str(mail["Subject"])]
        # The same check lets others through.
        assert states(owner, untouched)[world.amir, channel] == ("sent", None)
    finally:
        owner.execute("update public.notification_preferences set email_enabled = true")


async def test_the_choices_of_who_shares_no_receipts_are_withheld_from_the_start(
    owner: Connection, as_user: AsUser, world: World, sink: PushSink
) -> None:
    """Shown when planned and withheld later, they would leave only "read" for what is withheld."""
    person = make_person(owner, "Private")
    relate(owner, world.coach, person)
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Private', %s)", [person])
    found = []
    add_device(as_user, sink, person, "private")
    owner.execute("insert into public.messaging_preferences (user_id, share_receipts) values (%s, false)", [person])
    for change in (
        "update public.conversation_participants set is_muted = true where conversation_id = %(group)s",
        "update public.conversation_participants set is_muted = false where conversation_id = %(group)s",
        "update public.notification_preferences set email_messages = false, push_messages = false",
    ):
        with as_user(person) as conn:
            conn.execute(change, {"group": group})
        found.append(states(owner, post(as_user, world.coach, group, "hello")["id"]))
    owner.execute("delete from public.push_subscriptions where user_id = %s", [person])
    for answer, told in zip(found, ("withheld", None, "withheld"), strict=True):
        state = "suppressed" if told else "pending"
        assert answer[person, "email"] == answer[person, "push"] == (state, told)
        assert answer[person, "in_app"] == ("sent", None)


async def test_a_temporary_failure_is_tried_again_later_and_a_permanent_one_is_not(
    owner: Connection, as_user: AsUser, world: World, office: Office
) -> None:
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Flaky', %s)", [world.dana])
    first = post(as_user, world.coach, group, "soon")["id"]
    busy = office.with_mailer(Flaky(office.outbox, RetryableError("try later", retry_after=600)))
    await busy.work_once()
    row = rows(
        owner,
        "select *, extract(epoch from next_attempt_at - now()) as wait from public.message_deliveries"
        " where message_id = %s and channel = 'email'",
        first,
    )[0]
    assert (row["state"], row["reason"], row["error_message"], row["attempts"]) == (
        "pending",
        "temporary",
        "try later",
        1,
    )
    assert 590 < row["wait"] <= 600
    assert await office.worker.work_once() == 0
    owner.execute("update public.message_deliveries set next_attempt_at = now() where id = %s", [row["id"]])
    await office.drain()
    assert states(owner, first)[world.dana, "email"] == ("sent", None)
    second = post(as_user, world.coach, group, "never")["id"]
    dead = office.with_mailer(Flaky(office.outbox, PermanentError("550 no such mailbox", reason="smtp_refused")))
    await dead.work_once()
    assert states(owner, second)[world.dana, "email"] == ("failed", "smtp_refused")
    assert roll_up(owner, second)["email"] == ("failed", "550 no such mailbox")
    third = post(as_user, world.coach, group, "at last")["id"]
    tired = office.with_mailer(Flaky(office.outbox, RetryableError("still busy")), Pace(attempts=1))
    await tired.work_once()
    assert states(owner, third)[world.dana, "email"] == ("failed", "temporary")


async def test_quiet_hours_defer_and_drop_nothing(
    owner: Connection, as_user: AsUser, world: World, office: Office
) -> None:
    quiet: LiteralString = (
        "update public.notification_preferences set quiet_hours_enabled = %s,"
        " quiet_hours_start = %s, quiet_hours_end = %s, timezone = 'Asia/Jerusalem' where user_id = %s"
    )
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Night', %s)", [world.dana])
    local = one(owner, "select (now() at time zone 'Asia/Jerusalem')")
    start, end = ((local + timedelta(hours=shift)).strftime("%H:%M") for shift in (-1, 2))  # cut to the minute
    late = post(as_user, world.coach, group, "already planned")["id"]
    owner.execute(quiet, [True, start, end, world.dana])
    message = post(as_user, world.coach, group, "not now")["id"]
    assert states(owner, message)[world.dana, "email"] == ("pending", "quiet_hours"), "it says at once why it waits"
    try:
        await office.drain()
        waits = rows(
            owner,
            "select state, attempts, next_attempt_at - now() between interval '118 min' and interval '2 hours' as later"
            " from public.message_deliveries where message_id = any (%s) and channel = 'email' order by message_seq",
            [late, message],
        )
        assert [(row["state"], row["attempts"], row["later"]) for row in waits] == [
            ("pending", 1, True),
            ("pending", 1, True),
        ]
        assert office.mails() == []
        assert states(owner, message)[world.dana, "in_app"] == ("sent", None)
    finally:
        owner.execute(quiet, [False, start, end, world.dana])
    owner.execute("update public.message_deliveries set next_attempt_at = now() where state = 'pending'")
    await office.drain()
    # Neither was tried before, so they are one mail now.
    assert len(office.mails()) == 1


async def test_one_broken_delivery_does_not_stop_the_others(
    owner: Connection, as_user: AsUser, world: World, office: Office
) -> None:
    message = post(as_user, world.coach, world.group, "both")["id"]
    await office.with_mailer(Flaky(office.outbox, ZeroDivisionError("nobody foresaw this"))).work_once()
    found = sorted(state for (_, channel), (state, _) in states(owner, message).items() if channel == "email")
    assert found == ["leased", "sent"]
    owner.execute(EXPIRE)
    await office.drain()
    assert roll_up(owner, message)["email"] == ("sent", None)


async def test_mail_that_cannot_be_written_fails_and_says_why(
    owner: Connection, as_user: AsUser, world: World, office: Office
) -> None:
    """Databases from elsewhere hold addresses that Loom would not have taken."""
    person = make_person(owner, "Umlaut")
    relate(owner, world.coach, person)
    owner.execute("update public.users set email = %s where id = %s", [f"ü-{person}@example.com", person])
    with as_user(world.coach) as conn:
        direct = one(conn, "select id from public.start_direct_conversation(%s)", person)
    message = post(as_user, world.coach, direct, "hello")["id"]
    await office.drain()
    assert states(owner, message)[person, "email"] == ("failed", "address_refused")


async def test_one_broken_device_does_not_stop_the_others(
    owner: Connection, as_user: AsUser, world: World, office: Office, sink: PushSink
) -> None:
    for name in ("fine", "broken"):
        add_device(as_user, sink, world.amir, name)

    class Broken(WebPushSender):
        async def send(self, target: PushTarget, payload: bytes, *, ttl: int = 86_400, topic: str | None = None) -> str:
            if target.endpoint.endswith("broken"):
                raise ZeroDivisionError("nobody foresaw this")
            return await super().send(target, payload, ttl=ttl, topic=topic)

    office.push = Broken(office.outbox.folder.parent / "keys", contact="mailto:ops@example.com", allow_local=True)
    before = len(sink.devices["fine"].received)
    message = post(as_user, world.coach, world.group, "to both")["id"]
    await office.with_mailer(office.outbox).work_once()
    assert states(owner, message)[world.amir, "push"] == ("sent", None)
    assert len(sink.devices["fine"].received) == before + 1
    owner.execute("delete from public.push_subscriptions where user_id = %s", [world.amir])


async def test_an_outcome_that_comes_after_its_lease_does_not_count(
    owner: Connection, as_user: AsUser, world: World, office: Office
) -> None:
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Slow', %s)", [world.dana])
    message = post(as_user, world.coach, group, "slow")["id"]

    class Slow(Flaky):
        async def send(self, message_: EmailMessage) -> str:
            # While this worker is busy its lease runs out, and another one does the work.
            owner.execute(EXPIRE)
            await office.drain()
            raise PermanentError(f"too late for {message_['Message-ID']}")

    await office.with_mailer(Slow(office.outbox)).work_once()
    row = rows(
        owner,
        "select state, attempts from public.message_deliveries where message_id = %s and channel = 'email'",
        message,
    )
    assert row == [{"state": "sent", "attempts": 2}]


async def test_a_worker_killed_between_lease_and_outcome_loses_nothing(
    owner: Connection, as_user: AsUser, world: World, office: Office, api_url: str
) -> None:
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Killed', %s)", [world.dana])
    message = post(as_user, world.coach, group, "do not lose me")["id"]
    script = Path(__file__).with_name("dying_worker.py")
    dying = await asyncio.create_subprocess_exec(
        sys.executable, str(script), api_url, str(office.outbox.folder), stdout=asyncio.subprocess.PIPE
    )
    assert dying.stdout is not None
    # It says so when the mail is out and the outcome is not yet recorded; there it is killed.
    assert await dying.stdout.readline() == b"handed over\n"
    dying.kill()
    assert await dying.wait() == -signal.SIGKILL
    assert states(owner, message)[world.dana, "email"] == ("leased", None)
    assert roll_up(owner, message)["email"] == ("pending", None)
    assert await office.worker.work_once() == 0
    owner.execute(EXPIRE)
    await office.drain()
    row = rows(
        owner,
        "select state, attempts from public.message_deliveries where message_id = %s and channel = 'email'",
        message,
    )
    assert row == [{"state": "sent", "attempts": 2}]
    ids = [entry.message_id for entry in office.outbox.entries()]
    assert len(ids) == 2
    assert len(set(ids)) == 1


async def test_the_doorbell_wakes_the_worker_and_the_poll_backs_it_up(
    owner: Connection, as_user: AsUser, world: World, office: Office
) -> None:
    stop = asyncio.Event()
    patient = office.with_mailer(office.outbox, Pace(poll=20.0))
    running = asyncio.create_task(patient.run(stop))

    # A poll of twenty seconds: only the bell can be this quick. It is rung until heard, since LISTEN comes first.
    message = post(as_user, world.coach, world.group, "ring")["id"]

    def sent_after_ringing() -> bool:
        office.db.doorbell.ring(CHANNEL)
        return roll_up(owner, message)["email"][0] == "sent"

    await until(sent_after_ringing)
    stop.set()
    office.db.doorbell.ring(CHANNEL)
    await running
    stop.clear()
    running = asyncio.create_task(office.with_mailer(office.outbox, Pace(poll=0.05)).run(stop))
    message = post(as_user, world.coach, world.group, "no bell")["id"]
    await until(lambda: roll_up(owner, message)["email"][0] == "sent")
    stop.set()
    await running
