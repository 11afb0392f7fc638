"""Reports of mail that came back: read whatever server wrote them, believed only where they name a mail of ours."""

from __future__ import annotations

from email.message import EmailMessage
from uuid import UUID, uuid4

import psycopg
import pytest

from loom.db.database import Database
from loom.features.messaging.bounces import record_report
from loom.providers.email import parse_bounces
from tests.features.messaging.office import Flaky, Office, states
from tests.features.messaging.test_messages import refusal
from tests.features.messaging.world import Connection, World, make_person, one, post, relate, rows
from tests.support.acting import AsUser

SUBJECTS = {
    "plain": "Undelivered Mail Returned to Sender",
    "hebrew": "=?utf-8?B?15TXldeT16LXlCDXnNecINeR15XXmNec15Q=?=",
    "latin": "=?iso-8859-1?Q?Nachricht_nicht_zugestellt=2C_f=FCr_immer?=",
}
RECIPIENTS = {
    "final": "Final-Recipient: rfc822; {to}",
    "original": "Original-Recipient: rfc822;{to}\nFinal-Recipient: rfc822; forwarded@elsewhere.example",
    "utf8": "Final-Recipient: utf-8; {to}",
    "brackets": "Final-Recipient: RFC822; <{to}>",
}
STATUSES = {
    "unknown user": ("failed", "5.1.1", "smtp; 550 5.1.1 <{to}>: Recipient address rejected: User unknown", True),
    "bare status": ("Failed", "5.0.0", None, True),
    "status with comment": ("failed", "5.4.4 (unrouteable)", "X-Unix; 68", True),
    "delayed": ("delayed", "4.4.1", "smtp; 421 4.4.1 connection timed out", False),
}
RETURNED = {"whole": "message/rfc822", "headers": "text/rfc822-headers"}


def report(
    to: str,
    message_id: str,
    *,
    subject: str = "plain",
    recipient: str = "final",
    status: str = "unknown user",
    returned: str = "whole",
    newline: str = "\n",
) -> bytes:
    action, code, diagnostic, _ = STATUSES[status]
    lines = [RECIPIENTS[recipient].format(to=to), f"Action: {action}", f"Status: {code}"]
    if diagnostic:
        lines.append("Diagnostic-Code: " + diagnostic.format(to=to))
    text = f"""From: MAILER-DAEMON@mx.example
To: loom@example.com
Subject: {SUBJECTS[subject]}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain; charset=utf-8

Your message could not be delivered.

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example
Arrival-Date: Wed, 25 Nov 2026 10:00:00 +0000

{chr(10).join(lines)}

--b1
Content-Type: {RETURNED[returned]}

From: Loom <loom@example.com>
To: {to}
Message-ID: {message_id}
Subject: hello

--b1--
"""
    return text.replace("\n", newline).encode()


CORPUS = [
    {"subject": subject, "recipient": recipient, "status": status, "returned": returned}
    for subject, recipient, status, returned in zip(
        list(SUBJECTS) * 12, list(RECIPIENTS) * 9, sorted(STATUSES) * 9, ["whole", "whole", "headers"] * 12, strict=True
    )
]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_reports_of_every_kind_are_understood(newline: str) -> None:
    assert len({tuple(sample.items()) for sample in CORPUS}) >= 12
    for sample in CORPUS:
        bounces = parse_bounces(report("dana@example.com", "<one@example.com>", newline=newline, **sample))
        assert [(bounce.address, bounce.message_id, bounce.permanent) for bounce in bounces] == [
            ("dana@example.com", "<one@example.com>", STATUSES[sample["status"]][3])
        ], sample


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\xff\xfe",
        b"Subject: hello\n\nNot a report.",
        b"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n\n--b--",
        b"Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n--b--",
        b"Content-Type: multipart/report\n\nno parts",
        b"Content-Type: multipart/report; boundary=b\n\n" + b"--b\n" * 1000,
        b"Content-Type: multipart/report; boundary=b\n\n--b\n" + b"Content-Type: message/rfc822\n\n" * 2000,
        report("dana@example.com", "<x@y>").replace(b"Status: 5.1.1", b"Status: fine").replace(b"550 5.1.1", b""),
    ],
)
def test_what_is_no_report_says_nothing(raw: bytes) -> None:
    assert parse_bounces(raw) == []


async def sent(office: Office, owner: Connection, as_user: AsUser, coach: UUID) -> tuple[UUID, UUID, str, str]:
    """A mail that went out: the message, its recipient, their address, its Message-ID."""
    person = make_person(owner, "Bounce")
    relate(owner, coach, person)
    with as_user(coach) as conn:
        direct = one(conn, "select id from public.start_direct_conversation(%s)", person)
    message = post(as_user, coach, direct, "hello")["id"]
    await office.drain()
    key = one(
        owner,
        "select private.mail_key(id) from public.message_deliveries where message_id = %s and channel = 'email'",
        message,
    )
    email = one(owner, "select email from public.users where id = %s", person)
    assert [mail["Message-ID"] for mail in office.mails()] == [f"<{key}@example.com>"]
    return message, person, email, f"<{key}@example.com>"


async def test_a_bounce_fails_the_delivery_and_suppresses_the_address(
    owner: Connection,
    as_user: AsUser,
    world: World,
    office: Office,
    db: Database,
) -> None:
    message, person, email, message_id = await sent(office, owner, as_user, world.coach)
    assert await record_report(db, report(email, message_id, status="delayed")) == [
        f"{email}: delayed (smtp; 421 4.4.1 connection timed out)"
    ]
    assert states(owner, message)[person, "email"] == ("sent", None)
    for _ in range(2):
        assert len(await record_report(db, report(email.upper(), message_id))) == 1
    assert states(owner, message)[person, "email"] == ("failed", "bounced")
    with as_user(person) as conn:
        mine = rows(conn, "select id, address, reason from public.suppressed_addresses")
    assert [(row["address"], row["reason"]) for row in mine] == [(email, "bounced")]
    with as_user(world.coach) as conn:
        assert rows(conn, "select from public.suppressed_addresses") == []
        channel = one(
            conn,
            "select status from public.message_delivery_states where message_id = %s and channel = 'email'",
            message,
        )
    assert channel == "failed"
    direct = one(owner, "select conversation_id from public.messages where id = %s", message)
    second = post(as_user, world.coach, direct, "again")["id"]
    assert states(owner, second)[person, "email"] == ("suppressed", "address_suppressed")
    # The person has emptied the mailbox and says so; nobody else may.
    with pytest.raises(psycopg.Error) as caught, as_user(world.dana) as conn:
        conn.execute("select public.lift_suppression(%s)", [mine[0]["id"]])
    assert refusal(caught.value) == ("PT404", "not_found")
    with as_user(person) as conn:
        conn.execute("select public.lift_suppression(%s)", [mine[0]["id"]])
    third = post(as_user, world.coach, direct, "and again")["id"]
    assert states(owner, third)[person, "email"] == ("pending", None)


async def test_a_report_can_only_speak_of_the_mail_that_it_names(
    owner: Connection,
    as_user: AsUser,
    world: World,
    office: Office,
    db: Database,
) -> None:
    message, person, email, message_id = await sent(office, owner, as_user, world.coach)
    victim = one(owner, "select email from public.users where id = %s", world.dana)
    for forged in (f"<{uuid4()}@example.com>", "<made-up@example.com>", "", "<../../x@example.com>"):
        assert await record_report(db, report(victim, forged)) == []
    # Who has got a mail knows its id, and can say of themselves only.
    await record_report(db, report(victim, message_id))
    assert rows(owner, "select from public.suppressed_addresses where address in (%s, %s)", victim, email) == []
    assert states(owner, message)[person, "email"] == ("failed", "bounced")


async def test_what_the_sender_can_read_of_a_mail_is_not_enough_for_a_report(
    owner: Connection, as_user: AsUser, world: World, office: Office, db: Database
) -> None:
    """The sender sees ids of deliveries and what servers answered, and some repeat the Message-ID."""
    person = make_person(owner, "Reader")
    relate(owner, world.coach, person)
    with as_user(person) as conn:
        direct = one(conn, "select id from public.start_direct_conversation(%s)", world.coach)
    message = post(as_user, person, direct, "hello")["id"]

    class Echo(Flaky):
        async def send(self, message: EmailMessage) -> str:
            await super().send(message)
            return f"250 2.6.0 {message['Message-ID']} Queued mail for delivery"

    echo = office.with_mailer(Echo(office.outbox))
    while await echo.work_once():
        pass
    email = one(owner, "select email from public.users where id = %s", world.coach)
    query = "select to_jsonb(d) as d from public.message_deliveries as d where message_id = %s and channel = 'email'"
    with as_user(person) as conn:
        seen = one(conn, query, message)
    assert seen["provider_id"] == "250 2.6.0 <…@example.com> Queued mail for delivery"
    (mail,) = office.mails()
    sealed = str(mail["Message-ID"])
    for known in (seen["id"], f"{seen['id']}.", f"{seen['id']}.{'0' * 32}", sealed[1:36] + "." + sealed[38:70]):
        assert await record_report(db, report(email, f"<{known}@example.com>")) == [], known
    assert states(owner, message)[world.coach, "email"] == ("sent", None)
    assert not one(owner, "select private.is_suppressed(%s)", email)


async def test_a_suppressed_address_is_asked_again_when_sending(
    owner: Connection,
    as_user: AsUser,
    world: World,
    office: Office,
) -> None:
    message = post(as_user, world.coach, world.group, "planned before")["id"]
    email = one(owner, "select email from public.users where id = %s", world.amir)
    owner.execute("select private.suppress_address(%s, 'by_hand', 'asked to', null)", [email.upper()])
    await office.drain()
    assert states(owner, message)[world.amir, "email"] == ("suppressed", "address_suppressed")
    assert states(owner, message)[world.dana, "email"] == ("sent", None)
    owner.execute("update public.suppressed_addresses set lifted_at = now() where address = %s", [email])
