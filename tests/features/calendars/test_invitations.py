"""Invitations by mail that keep themselves right: one name for all letters of a seat, and a number that only rises."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from loom.features.calendars import tasks
from loom.jobs.registry import JobContext
from loom.providers.email import Mailer, OutboxMailer
from loom.providers.errors import PermanentError
from tests.features.calendars.conftest import Post, event_of, links_of
from tests.support.acting import AsUser, acting
from tests.support.cluster import Cluster
from tests.support.scheduling import Scene, add_session, at, make_scene, one

Owner = psycopg.Connection[DictRow]

INVITE = "select public.invite_attendee(%s, %s)"
GUEST = "select public.invite_attendee(%s, p_email => %s, p_display_name => 'Gili')"
WAITING = "select count(*) from jobs.procrastinate_jobs where task_name = 'calendars.send_invitation'"


async def test_a_booking_invites_moves_and_cancels_under_one_name(
    owner: Owner, as_user: AsUser, scene: Scene, booked: UUID, post: Post
) -> None:
    with as_user(scene.client) as conn:
        one(conn, "select public.reschedule_session(%s, %s)", [booked, at(5)])
    (first,) = await post.deliver()
    method, event = event_of(first)
    assert (method, int(event["SEQUENCE"]), str(event["STATUS"])) == ("REQUEST", 0, "CONFIRMED")
    assert (event["DTSTART"].dt, str(first["Subject"])) == (at(5), "You are booked: Single session")
    assert str(event["ORGANIZER"]) == "mailto:mail@loom.test"
    attendee = event["ATTENDEE"]
    assert not isinstance(attendee, list)
    assert attendee.params["PARTSTAT"] == "ACCEPTED"
    with as_user(scene.coach) as conn:
        one(conn, "select public.reschedule_session(%s, %s)", [booked, at(6)])
        conn.execute("update public.sessions set location = 'Room 5' where id = %s", [booked])
    (second,) = await post.deliver()
    assert (event_of(second)[1]["UID"], int(event_of(second)[1]["SEQUENCE"])) == (event["UID"], 1)
    assert (str(second["Subject"]), event_of(second)[1]["DTSTART"].dt) == ("Changed: Single session", at(6))
    assert str(second["References"]) == str(first["References"])
    with as_user(scene.client) as conn:
        one(conn, "select public.cancel_session(%s, 'ill')", [booked])
    (last,) = await post.deliver()
    method, gone = event_of(last)
    assert (method, gone["UID"], int(gone["SEQUENCE"])) == ("CANCEL", event["UID"], 2)
    assert str(gone["STATUS"]) == "CANCELLED"
    assert links_of(last) == []
    # Nothing more to say, whatever runs again.
    owner.execute("update public.sessions set location = 'Room 6' where id = %s", [booked])
    assert await post.deliver() == []


async def test_each_attendee_gets_a_letter_of_their_own_and_sees_no_other(
    as_user: AsUser, scene: Scene, group: UUID, post: Post, owner: Owner
) -> None:
    with as_user(scene.coach) as conn:
        one(conn, INVITE, [group, scene.client])
        one(conn, INVITE, [group, scene.second_client])
        one(conn, GUEST, [group, "guest@example.com"])
    mails = await post.deliver()
    people = {str(mail["To"]).split("<")[-1].rstrip(">"): mail for mail in mails}
    assert len(people) == 3
    for address, mail in people.items():
        method, event = event_of(mail)
        assert (method, str(event["ATTENDEE"])) == ("REQUEST", f"mailto:{address}")
        assert event["ATTENDEE"].params["PARTSTAT"] == "NEEDS-ACTION"
        raw = mail.as_string()
        assert not any(other in raw for other in people if other != address)
    assert len({str(event_of(mail)[1]["UID"]) for mail in mails}) == 3
    # One leaves: nobody else's calendar hears of it.
    with as_user(scene.client) as conn:
        one(conn, "select public.respond_to_invitation(%s, 'confirmed')", [group])
    (yes,) = await post.deliver()
    assert (str(yes["Subject"]), event_of(yes)[1]["ATTENDEE"].params["PARTSTAT"]) == (
        "You are coming: Group coaching",
        "ACCEPTED",
    )
    with as_user(scene.client) as conn:
        one(conn, "select public.cancel_attendance(%s)", [group])
    (left,) = await post.deliver()
    email = one(owner, "select email from public.users where id = %s", [scene.client])
    assert (event_of(left)[0], str(left["To"]).endswith(f"<{email}>")) == ("CANCEL", True)
    with as_user(scene.coach) as conn:
        one(conn, INVITE, [group, scene.client])
    (again,) = await post.deliver()
    assert (event_of(again)[0], int(event_of(again)[1]["SEQUENCE"])) == ("REQUEST", 3)


@pytest.mark.parametrize(
    ("language", "subject", "direction"), [("en", "invites you", "ltr"), ("he", "הזמנה מאת", "rtl")]
)
async def test_letters_speak_the_persons_language(
    owner: Owner, as_user: AsUser, scene: Scene, group: UUID, post: Post, language: str, subject: str, direction: str
) -> None:
    owner.execute("update public.users set language = %s where id = %s", [language, scene.client])
    with as_user(scene.coach) as conn:
        one(conn, INVITE, [group, scene.client])
    (mail,) = await post.deliver()
    html = mail.get_body(("html",))
    assert html is not None
    assert subject in str(mail["Subject"])
    assert f'dir="{direction}"' in html.get_content()
    assert str(mail["Content-Language"]) == language


async def test_a_decline_clears_the_calendar_and_leaves_a_way_back(
    as_user: AsUser, scene: Scene, group: UUID, post: Post
) -> None:
    with as_user(scene.coach) as conn:
        one(conn, INVITE, [group, scene.client])
    await post.deliver()
    with as_user(scene.client) as conn:
        one(conn, "select public.respond_to_invitation(%s, 'declined')", [group])
    (mail,) = await post.deliver()
    assert (event_of(mail)[0], len(links_of(mail))) == ("CANCEL", 1)


async def test_an_import_tells_nobody_and_what_was_told_is_kept_right_by_everybody(
    owner: Owner, scene: Scene, booked: UUID, post: Post
) -> None:
    owner.execute("delete from jobs.procrastinate_jobs")
    add_session(owner, scene.coach, scene.client, at(9))
    owner.execute("update public.sessions set title = 'x' where client_id = %s and id <> %s", [scene.client, booked])
    assert one(owner, WAITING) == 0
    seat = one(owner, "select id from public.session_attendees where session_id = %s and role = 'client'", [booked])
    await tasks.send_invitation(post.context, attendee_id=str(seat))
    owner.execute("update public.sessions set title = 'Better' where id = %s", [booked])
    (mail,) = await post.deliver()
    assert str(mail["Subject"]) == "Changed: Better"


async def test_what_is_over_running_or_unwanted_sends_nothing(
    owner: Owner, as_user: AsUser, scene: Scene, booked: UUID, post: Post
) -> None:
    owner.execute(
        "update public.notification_preferences set email_session_updates = false where user_id = %s", [scene.client]
    )
    with as_user(scene.coach) as conn:
        conn.execute("update public.sessions set title = 'x' where id = %s", [booked])
    assert await post.deliver() == []
    owner.execute(
        "update public.notification_preferences set email_session_updates = true where user_id = %s", [scene.client]
    )
    with as_user(scene.coach) as conn:
        conn.execute("update public.sessions set title = 'y' where id = %s", [booked])
    assert len(await post.deliver()) == 1
    seat = one(owner, "select id from public.session_attendees where session_id = %s and role = 'client'", [booked])
    owner.execute("update public.sessions set scheduled_at = now() - interval '5 minutes' where id = %s", [booked])
    await post.deliver()
    for step in (f"record_attendance('{seat}', 'in')", f"start_session('{booked}')", f"complete_session('{booked}')"):
        with as_user(scene.coach) as conn:
            one(conn, f"select public.{step}")
    assert await post.deliver() == []


async def test_a_changed_address_is_cleared_and_the_new_one_invited(
    post: Post, owner: Owner, as_user: AsUser, scene: Scene, booked: UUID
) -> None:
    (first,) = await post.deliver()
    owner.execute("update public.users set email = 'new@example.com' where id = %s", [scene.client])
    with as_user(scene.coach) as conn:
        conn.execute("update public.sessions set title = 'x' where id = %s", [booked])
    old, new = await post.deliver()
    assert (str(old["To"]), event_of(old)[0], links_of(old)) == (str(first["To"]), "CANCEL", [])
    assert ("new@example.com" in str(new["To"]), event_of(new)[0]) == (True, "REQUEST")
    assert [int(event_of(mail)[1]["SEQUENCE"]) for mail in (first, old, new)] == [0, 1, 2]


class Away(OutboxMailer):
    """Fails as often as it is told to, after the letter was noted."""

    failures: list[Exception]

    async def send(self, message: Any) -> str:
        if self.failures:
            raise self.failures.pop()
        return await super().send(message)


async def test_a_letter_that_did_not_go_out_goes_out_again_as_the_same_letter(
    owner: Owner, booked: UUID, post: Post
) -> None:
    mailer = Away(post.outbox.folder)
    mailer.failures = [ConnectionError("away")]
    context = JobContext(post.context.db, post.context.settings, {Mailer: mailer})
    seat = str(
        one(owner, "select id from public.session_attendees where session_id = %s and role = 'client'", [booked])
    )
    with pytest.raises(ConnectionError):
        await tasks.send_invitation(context, attendee_id=seat)
    for _ in range(3):
        await tasks.send_invitation(context, attendee_id=seat)
    (entry,) = post.outbox.entries()
    assert int(event_of(post.outbox.read(entry.name))[1]["SEQUENCE"]) == 0
    # Refused for good: noted, and not tried again until there is something new to say.
    owner.execute("update public.sessions set title = 'x' where id = %s", [booked])
    mailer.failures = [PermanentError("no such person", reason="refused")]
    await tasks.send_invitation(context, attendee_id=seat)
    await tasks.send_invitation(context, attendee_id=seat)
    assert len(post.outbox.entries()) == 1
    assert one(owner, "select refused from private.calendar_invitations where attendee_id = %s", [seat])


def test_a_rolled_back_change_leaves_no_letter(owner: Owner, as_user: AsUser, scene: Scene, booked: UUID) -> None:
    owner.execute("delete from jobs.procrastinate_jobs")
    with pytest.raises(RuntimeError), as_user(scene.client) as conn:
        one(conn, "select public.cancel_session(%s)", [booked])
        raise RuntimeError
    assert one(owner, WAITING) == 0
    with as_user(scene.client) as conn:
        one(conn, "select public.cancel_session(%s)", [booked])
    assert one(owner, WAITING) == 1


def test_without_the_trigger_nobody_would_hear_of_a_move(cluster: Cluster) -> None:
    # The negative control, in a database of its own.
    name = cluster.create(cluster.template())
    try:
        with psycopg.connect(cluster.url(name, "loom_owner"), autocommit=True, row_factory=dict_row) as conn:
            scene = make_scene(conn)
            url = cluster.url(name, "loom_api")
            with acting(url, "authenticated", {"sub": str(scene.client)}) as client:
                session = one(client, "select public.book_session(%s, %s)", [scene.single, at(4)])
            assert one(conn, WAITING) == 1
            conn.execute("delete from jobs.procrastinate_jobs; drop trigger sessions_calendar on public.sessions")
            with acting(url, "authenticated", {"sub": str(scene.coach)}) as coach:
                one(coach, "select public.reschedule_session(%s, %s)", [session, at(4) + timedelta(hours=2)])
            assert one(conn, WAITING) == 0
    finally:
        cluster.drop(name)
