"""What waits for a person in one conversation goes out as one mail, looked at once more when it is sent."""

from __future__ import annotations

import json
import threading
from email.message import EmailMessage
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from loom.providers.email.templates import Templates
from loom.providers.errors import RetryableError
from loom.providers.push.sink import PushSink
from tests.features.messaging.office import Flaky, Office, states
from tests.features.messaging.test_delivery import add_device
from tests.features.messaging.test_roll_up import weakened
from tests.features.messaging.world import Connection, World, make_person, one, post, relate, rows
from tests.support.acting import AsUser
from tests.support.waiting import until


def a_group(owner: Connection, as_user: AsUser, world: World, title: str, people: int = 1) -> tuple[UUID, list[UUID]]:
    """A group of the coach with people who have nothing waiting yet."""
    members = [make_person(owner, f"Reader{number}") for number in range(people)]
    for person in members:
        relate(owner, world.coach, person)
    with as_user(world.coach) as conn:
        return one(conn, "select id from public.create_group_conversation(%s, %s)", title, members), members


def text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return body.get_content().replace("\r\n", "\n")


def to(owner: Connection, office: Office, person: UUID) -> list[EmailMessage]:
    address = one(owner, "select email from public.users where id = %s", person)
    return [mail for mail in office.mails() if address in str(mail["To"])]


def by_mail(owner: Connection, message: UUID) -> dict[str, Any]:
    query: LiteralString = (
        "select *, private.mail_key(id) from public.message_deliveries where message_id = %s and channel = 'email'"
    )
    return rows(owner, query, message)[0]


async def test_what_waits_in_a_conversation_is_one_mail(
    owner: Connection, as_user: AsUser, world: World, office: Office
) -> None:
    group, (dana, amir) = a_group(owner, as_user, world, "Circle", 2)
    other, _ = a_group(owner, as_user, world, "Elsewhere")
    with as_user(world.coach) as conn:
        conn.execute("select public.add_to_conversation(%s, %s, false)", [other, [dana]])
    for sender, content in ((world.coach, "first"), (world.coach, "second"), (amir, "third"), (world.coach, "fourth")):
        post(as_user, sender, group, content)
    post(as_user, world.coach, other, "apart")
    await office.drain()
    mails = {str(mail["Subject"]): mail for mail in to(owner, office, dana)}
    assert set(mails) == {"4 new messages in Circle", "New message from Coach Levi in Elsewhere"}
    said = text(mails["4 new messages in Circle"])
    places = [said.index(word) for word in ("first", "second", "Reader1 Levi wrote", "third", "fourth")]
    assert places == sorted(places)
    assert [mail["Subject"] for mail in to(owner, office, amir)] == ["3 new messages in Circle"]
    told = rows(
        owner,
        "select id, mail_id, private.mail_key(id), state, provider_id from public.message_deliveries"
        " where conversation_id = %s and recipient_id = %s and channel = 'email' order by message_seq",
        group,
        dana,
    )
    assert {row["state"] for row in told} == {"sent"}
    assert {row["mail_id"] for row in told} == {told[0]["id"]}
    assert len({row["provider_id"] for row in told}) == 1
    assert mails["4 new messages in Circle"]["Message-ID"] == f"<{told[0]['mail_key']}@example.com>"
    assert len(to(owner, office, dana)) == 2


async def test_mail_waits_for_what_may_follow_and_for_reading(
    owner: Connection, as_user: AsUser, world: World, office: Office
) -> None:
    group, (person,) = a_group(owner, as_user, world, "Patience")
    patient = office.with_mailer(office.outbox, missed_message_seconds=120)
    early, read, gone, late = (
        post(as_user, world.coach, group, word)["id"] for word in ("read by now", "read too", "deleted", "unread")
    )
    assert await patient.work_once() == 0
    owner.execute(
        "update public.message_deliveries set next_attempt_at = now() - interval '2 minutes'"
        " where message_id = %s and channel = 'email'",
        [early],
    )
    with as_user(person) as conn:
        conn.execute("select public.mark_read(%s, 2)", [group])
    with as_user(world.coach) as conn:
        conn.execute("select public.delete_message(%s)", [gone])
    # The wait of the first is over, and takes along what has come since.
    assert await patient.work_once() == 1
    assert [states(owner, message)[person, "email"] for message in (early, read, gone, late)] == [
        ("suppressed", "read"),
        ("suppressed", "read"),
        ("suppressed", "deleted"),
        ("sent", None),
    ]
    (mail,) = to(owner, office, person)
    assert mail["Subject"] == "New message from Coach Levi in Patience"
    assert "unread" in text(mail)
    assert "read by now" not in text(mail)


async def test_a_mail_that_was_begun_stays_what_it_is(
    owner: Connection, as_user: AsUser, world: World, office: Office
) -> None:
    group, (person,) = a_group(owner, as_user, world, "Begun")
    first, second = (post(as_user, world.coach, group, word)["id"] for word in ("one", "two"))
    await office.with_mailer(Flaky(office.outbox, RetryableError("later"))).work_once()
    assert [by_mail(owner, message)["state"] for message in (first, second)] == ["pending", "pending"]
    third = post(as_user, world.coach, group, "three")["id"]
    await office.drain()
    assert [mail["Subject"] for mail in to(owner, office, person)] == ["New message from Coach Levi in Begun"]
    owner.execute(
        "update public.message_deliveries set next_attempt_at = now() where state = 'pending' and message_id = %s",
        [first],
    )
    owner.execute(
        "update public.message_deliveries set next_attempt_at = now() where message_id = %s and state = 'pending'",
        [second],
    )
    await office.drain()
    repeated = to(owner, office, person)[-1]
    assert repeated["Subject"] == "2 new messages in Begun"
    assert repeated["Message-ID"] == f"<{by_mail(owner, first)['mail_key']}@example.com>"
    assert "three" not in text(repeated)
    assert by_mail(owner, third)["mail_id"] == by_mail(owner, third)["id"]


def gather_twice(owner: Connection, database_url: str, as_user: AsUser, world: World) -> list[Any]:
    """A worker gathers; before it commits another message comes, and a second worker. Gives what the second got."""
    group, _ = a_group(owner, as_user, world, "Twice")
    take = "select count(*) from private.lease_deliveries(50, 60, 0)"
    post(as_user, world.coach, group, "one")
    found: list[Any] = []
    with psycopg.connect(database_url) as first, psycopg.connect(database_url) as second:
        first.execute(take)
        post(as_user, world.coach, group, "two")
        other = threading.Thread(target=lambda: second.execute(take))
        other.start()
        waits = "select exists (select from pg_stat_activity where pid = %s and wait_event_type = 'Lock')"
        until(lambda: one(owner, waits, second.info.backend_pid), "the second worker waits for the first")
        first.commit()
        other.join()
        second.commit()
        found = rows(
            owner,
            "select attempts, mail_id = id as own from public.message_deliveries"
            " where conversation_id = %s and channel = 'email' order by message_seq",
            group,
        )
    owner.execute("update public.message_deliveries set state = 'failed', reason = 'over', next_attempt_at = null,"
                  " lease_until = null where state in ('leased', 'pending')")  # fmt: skip
    return [(row["attempts"], row["own"]) for row in found]


def test_two_workers_gather_in_turn(
    owner: Connection, database_url: str, as_user: AsUser, world: World, office: Office
) -> None:
    del office  # it has left nothing of other tests in the queue
    assert gather_twice(owner, database_url, as_user, world) == [(1, True), (1, True)]
    lock = "perform pg_advisory_xact_lock(hashtextextended('loom.message_mail', 0));"
    with weakened(owner, "private.lease_deliveries(integer, float8, float8)", lock):
        # The second takes the first one's mail from under it, and adds to what may be on its way.
        assert gather_twice(owner, database_url, as_user, world) != [(1, True), (1, True)]


async def test_where_no_content_is_wanted_mail_and_devices_tell_nothing(
    owner: Connection, as_user: AsUser, world: World, office: Office, sink: PushSink, tmp_path: Path
) -> None:
    group, (person,) = a_group(owner, as_user, world, "Debts of Dana")
    add_device(as_user, sink, person, "silent")
    with as_user(person) as conn:
        conn.execute("insert into public.notification_choices (user_id, hide_content) values (%s, true)", [person])
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "message.en.txt").write_text(
        "Subject: {count} from {sender} in {title}\n\n{content}\n", "utf-8"
    )
    worded = office.with_mailer(office.outbox, templates=Templates.load(tmp_path / "words"))
    for worker in (office.worker, worded):
        for word in ("secret one", "secret two"):
            post(as_user, world.coach, group, word)
        while await worker.work_once():
            pass
    plain, own = to(owner, office, person)
    assert (plain["Subject"], own["Subject"]) == ("You have new messages.", "2 from Somebody in")
    notices = [json.loads(notice) for notice in sink.devices["silent"].received]
    assert [(notice["title"], notice["body"]) for notice in notices] == [("You have a new message.", "")] * 4
    everything = plain.as_string() + own.as_string() + text(plain) + text(own) + json.dumps(notices)
    for word in ("secret", "Debts", "Coach", "Levi wrote"):
        assert word not in everything


async def test_the_operators_words_are_used(
    owner: Connection, as_user: AsUser, world: World, office: Office, tmp_path: Path
) -> None:
    group, (person,) = a_group(owner, as_user, world, "Words")
    owner.execute("update public.users set language = 'he' where id = %s", [person])
    (tmp_path / "message.he.txt").write_text(
        "Subject: {count} מאת {sender} ({title})\n\n{content}\n\nלכיבוי: {unsubscribe}\n", "utf-8"
    )
    worker = office.with_mailer(office.outbox, templates=Templates.load(tmp_path))
    post(as_user, world.coach, group, "a <b>line</b>\nand another {name}")
    assert await worker.work_once() == 1
    (mail,) = to(owner, office, person)
    assert mail["Subject"] == "1 מאת Coach Levi (Words)"
    assert "a <b>line</b>\nand another {name}" in text(mail)
    page = mail.get_body(("html",))
    assert page is not None
    assert "a &lt;b&gt;line&lt;/b&gt;<br>and another {name}" in page.get_content()
    assert str(mail["List-Unsubscribe"]).strip("<>") in text(mail)


async def test_a_name_neither_turns_a_subject_around_nor_makes_headers(
    owner: Connection, as_user: AsUser, world: World, office: Office
) -> None:
    group, (person,) = a_group(owner, as_user, world, "Names")
    bad = "Da\u202ena\u200b\r\nBcc: all@example.com\u2066<b>\x07"
    owner.execute("update public.users set first_name = %s where id in (%s, %s)", [bad, world.other_coach, person])
    relate(owner, world.other_coach, person)
    with as_user(world.other_coach) as conn:
        direct = one(conn, "select id from public.start_direct_conversation(%s)", person)
    post(as_user, world.other_coach, direct, "<script>alert(1)</script>")
    post(as_user, world.coach, group, "two")
    await office.drain()
    mail, _ = sorted(to(owner, office, person), key=lambda mail: "Bcc" not in str(mail["Subject"]))
    assert mail["Subject"] == "New message from Dana Bcc: all@example.com<b> Levi"
    assert mail["Bcc"] is None
    page = mail.get_body(("html",))
    assert page is not None
    html = page.get_content()
    assert "<script" not in html
    assert "<b>" not in html
    assert not set("\u202e\u200b\u2066\x07") & set(html + text(mail) + str(mail["To"]))
