"""What each answer of a mail server or a push service does to a delivery: state, reason, and how soon again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from aiosmtpd.smtp import SMTP

from loom.jobs.leases import Pace
from loom.providers.email import SmtpMailer
from loom.providers.push.sink import PushSink
from tests.features.messaging.office import Office
from tests.features.messaging.world import Connection, World, make_person, one, post, relate, rows
from tests.support.acting import AsUser

FIRST = 5.0  # seconds to the second attempt, give or take a fifth
SENT = ("sent", None, None)

# What the server says to RCPT or DATA → state, reason, whether the address is suppressed.
MAIL = [
    ("RCPT", "250 2.1.5 OK", "sent", None, False),
    ("RCPT", "251 2.1.5 user not local, will forward", "sent", None, False),
    ("RCPT", "421 4.3.2 shutting down", "pending", "smtp_deferred", False),
    ("RCPT", "450 4.2.1 mailbox busy", "pending", "smtp_deferred", False),
    ("RCPT", "450 4.7.1 greylisted, come back", "pending", "smtp_deferred", False),
    ("RCPT", "451 4.3.0 local error", "pending", "smtp_deferred", False),
    ("RCPT", "452 4.2.2 mailbox full", "pending", "smtp_deferred", False),
    ("RCPT", "455 4.5.0 cannot accommodate parameters", "pending", "smtp_deferred", False),
    ("RCPT", "550 5.1.1 no such user", "failed", "address_refused", True),
    ("RCPT", "550 5.1.2 no such system", "failed", "address_refused", True),
    ("RCPT", "551 5.1.6 has moved away", "failed", "address_refused", True),
    ("RCPT", "553 5.1.3 bad address syntax", "failed", "address_refused", True),
    ("RCPT", "550 5.1.10 null MX", "failed", "address_refused", True),
    ("RCPT", "550 5.2.1 mailbox disabled", "failed", "address_refused", True),
    ("RCPT", "552 5.2.2 mailbox full for good", "failed", "smtp_refused", False),
    ("RCPT", "550 5.7.1 blocked for spam", "failed", "smtp_refused", False),
    ("RCPT", "550 no mailbox, and no code that says so", "failed", "smtp_refused", False),
    ("RCPT", "554 5.7.26 not authenticated", "failed", "smtp_refused", False),
    ("DATA", "250 2.0.0 queued", "sent", None, False),
    ("DATA", "421 4.4.2 timeout", "pending", "smtp_deferred", False),
    ("DATA", "451 4.3.0 try later", "pending", "smtp_deferred", False),
    ("DATA", "452 4.3.1 out of storage", "pending", "smtp_deferred", False),
    ("DATA", "550 5.7.1 rejected by content", "failed", "smtp_refused", False),
    ("DATA", "552 5.3.4 too large", "failed", "smtp_refused", False),
    ("DATA", "554 5.6.0 not acceptable", "failed", "smtp_refused", False),
]

# Status, Retry-After → state, reason, least and most seconds to the next attempt, whether the device is retired.
PUSH = [
    (201, None, "sent", None, None, False),
    (200, None, "sent", None, None, False),
    (202, None, "sent", None, None, False),
    (400, None, "failed", "push_refused", None, False),
    (401, None, "failed", "push_key_refused", None, False),
    (403, None, "failed", "push_key_refused", None, False),
    (404, None, "failed", "subscription_gone", None, True),
    (405, None, "failed", "push_refused", None, False),
    (408, None, "pending", "push_busy", FIRST, False),
    (410, None, "failed", "subscription_gone", None, True),
    (413, None, "failed", "too_large", None, False),
    (415, None, "failed", "push_refused", None, False),
    (425, None, "pending", "push_busy", FIRST, False),
    (429, None, "pending", "push_busy", FIRST, False),
    (429, 300, "pending", "push_busy", 300.0, False),
    (500, None, "pending", "push_busy", FIRST, False),
    (502, None, "pending", "push_busy", FIRST, False),
    (503, 60, "pending", "push_busy", 60.0, False),
    (504, None, "pending", "push_busy", FIRST, False),
]


class Server:
    """Answers each recipient as told."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[str, str]] = {}

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        stage, answer = self.answers.get(address, ("", ""))
        if stage == "RCPT" and answer[0] != "2":
            return answer
        envelope.rcpt_tos.append(address)
        return answer if stage == "RCPT" else "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        stage, answer = self.answers.get(envelope.rcpt_tos[0], ("", ""))
        return answer if stage == "DATA" else "250 OK"


@asynccontextmanager
async def serving(handler: Server) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, hostname="localhost"), "127.0.0.1", 0)
    async with server:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def deliveries(conn: Connection, message: UUID, channel: str) -> dict[UUID, dict[str, Any]]:
    found = rows(
        conn,
        "select d.recipient_id, d.state, d.reason, d.attempts,"
        " extract(epoch from d.next_attempt_at - d.updated_at) as wait"
        " from public.message_deliveries as d"
        " where d.message_id = %s and d.channel = %s::public.message_delivery_channel",
        message,
        channel,
    )
    return {row["recipient_id"]: row for row in found}


async def test_each_answer_of_a_mail_server_has_its_consequence(
    owner: Connection,
    as_user: AsUser,
    world: World,
    office: Office,
) -> None:
    server = Server()
    people: dict[UUID, tuple[str, str, str, str | None, bool]] = {}
    for case in MAIL:
        person = make_person(owner, "Answer")
        relate(owner, world.coach, person)
        people[person] = case
        server.answers[one(owner, "select email from public.users where id = %s", person)] = case[:2]
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Answers', %s)", list(people))
    message = post(as_user, world.coach, group, "hello")["id"]
    async with serving(server) as url:
        mailer = SmtpMailer(url)
        worker = office.with_mailer(mailer, Pace(batch=50))
        while await worker.work_once():
            pass
        await mailer.close()
    found = deliveries(owner, message, "email")
    suppressed = {
        row["address"] for row in rows(owner, "select address from public.suppressed_addresses where lifted_at is null")
    }
    for person, (_, answer, state, reason, dead) in people.items():
        row = found[person]
        assert (row["state"], row["reason"], row["attempts"]) == (state, reason, 1), answer
        if state == "pending":
            assert 0.8 * FIRST - 0.1 <= row["wait"] <= 1.2 * FIRST + 0.1, answer
        email = one(owner, "select email from public.users where id = %s", person)
        assert (email in suppressed) is dead, answer
    # What goes to a dead address from now on is not tried, and says so; the others are.
    again = post(as_user, world.coach, group, "again")["id"]
    for person, (_, answer, _, _, dead) in people.items():
        row = deliveries(owner, again, "email")[person]
        assert (row["state"], row["reason"]) == (("suppressed", "address_suppressed") if dead else ("pending", None)), (
            answer
        )


async def test_each_answer_of_a_push_service_has_its_consequence(
    owner: Connection,
    as_user: AsUser,
    world: World,
    office: Office,
    sink: PushSink,
) -> None:
    people: dict[UUID, tuple[int, int | None, str, str | None, float | None, bool]] = {}
    for number, case in enumerate(PUSH):
        person = make_person(owner, "Push")
        relate(owner, world.coach, person)
        people[person] = case
        device = sink.add_device(f"answer-{number}", status=case[0])
        device.retry_after = case[1]
        target = device.target(sink.base_url)
        with as_user(person) as conn:
            conn.execute(
                "select public.register_push_subscription(%s, %s, %s)", [target.endpoint, target.p256dh, target.auth]
            )
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Pushes', %s)", list(people))
    message = post(as_user, world.coach, group, "hello")["id"]
    while await office.worker.work_once():
        pass
    found = deliveries(owner, message, "push")
    retired = {
        row["user_id"]
        for row in rows(owner, "select user_id from public.push_subscriptions where retired_at is not null")
    }
    for person, (status, _, state, reason, wait, gone) in people.items():
        row = found[person]
        assert (row["state"], row["reason"], row["attempts"]) == (state, reason, 1), status
        if wait is not None:
            assert 0.8 * wait - 0.1 <= row["wait"] <= 1.2 * wait + 0.1, status
        assert (person in retired) is gone, status
