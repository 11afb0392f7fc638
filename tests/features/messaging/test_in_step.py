"""Conversations that follow their session, and what is said in them when sessions and money move."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest

from tests.features.messaging.test_conversations import make_session, open_for, people_of
from tests.features.messaging.test_messages import refusal
from tests.features.messaging.world import Connection, World, make_person, one, post, relate, rows
from tests.support.acting import AsUser

ANSWER: LiteralString = (
    "update public.session_attendees set status = 'confirmed', cancelled_at = null"
    " where session_id = %s and user_id = %s"
)
GIVE_UP: LiteralString = (
    "update public.session_attendees set cancelled_at = now() where session_id = %s and user_id = %s"
)
TRACE: LiteralString = (
    "select change, changed_by from public.conversation_membership_changes"
    " where conversation_id = %s and user_id = %s order by created_at"
)


def system(conn: Connection, conversation: UUID) -> list[str]:
    found = rows(
        conn,
        "select metadata ->> 'kind' as kind from public.messages where conversation_id = %s and type = 'system'"
        " order by seq",
        conversation,
    )
    return [row["kind"] for row in found]


def pair(as_user: AsUser, coach: UUID, client: UUID) -> UUID:
    with as_user(coach) as conn:
        return one(conn, "select id from public.start_direct_conversation(%s)", client)


def test_a_group_follows_the_seats_of_its_session(owner: Connection, as_user: AsUser, world: World) -> None:
    session = make_session(owner, world, visible=True, answers={world.dana: "confirmed", world.amir: "invited"})
    # Before the coach has opened it there is nothing to follow.
    owner.execute(ANSWER, [session, world.amir])
    owner.execute(GIVE_UP, [session, world.amir])
    assert rows(owner, "select from public.conversation_contexts where session_id = %s", session) == []
    group = open_for(as_user, world.coach, session)[0]["id"]
    assert people_of(owner, group) == {world.coach, world.dana}
    post(as_user, world.dana, group, "before")
    owner.execute(ANSWER, [session, world.amir])
    assert people_of(owner, group) == {world.coach, world.dana, world.amir}
    with as_user(world.amir) as conn:
        assert rows(conn, "select from public.messages where conversation_id = %s", group) == []
        conn.execute("select public.cancel_attendance(%s)", [session])
    assert people_of(owner, group) == {world.coach, world.dana}
    assert rows(owner, TRACE, group, world.amir) == [
        {"change": "joined", "changed_by": None},
        {"change": "removed", "changed_by": world.amir},
    ]
    # A seat taken again brings the person back; a person who has left by themselves stays away.
    owner.execute(ANSWER, [session, world.amir])
    assert people_of(owner, group) == {world.coach, world.dana, world.amir}
    with as_user(world.dana) as conn:
        conn.execute("select public.leave_conversation(%s)", [group])
    owner.execute(GIVE_UP, [session, world.dana])
    owner.execute(ANSWER, [session, world.dana])
    assert people_of(owner, group) == {world.coach, world.amir}
    # Called off: whoever is there may talk about it.
    with as_user(world.coach) as conn:
        conn.execute("select public.cancel_session(%s, 'Ill')", [session])
    assert people_of(owner, group) == {world.coach, world.amir}


def test_the_people_of_a_sessions_group_are_changed_by_seats_alone(
    owner: Connection, as_user: AsUser, world: World
) -> None:
    """By hand it would be undone by anybody else's seat. Once nothing follows the seats, the coach decides."""
    session = make_session(owner, world, visible=True, answers={world.dana: "confirmed"})
    group = open_for(as_user, world.coach, session)[0]["id"]
    by_hand: tuple[tuple[LiteralString, list[object]], ...] = (
        ("select public.remove_from_conversation(%s, %s)", [group, world.dana]),
        ("select public.add_to_conversation(%s, %s)", [group, [world.amir]]),
    )
    for query, values in by_hand:
        with pytest.raises(psycopg.Error) as caught, as_user(world.coach) as conn:
            conn.execute(query, values)
        assert refusal(caught.value) == ("PT409", "people_follow_seats")
    assert people_of(owner, group) == {world.coach, world.dana}
    with as_user(world.coach) as conn:
        conn.execute("select public.cancel_session(%s, 'Ill')", [session])
        for query, values in by_hand:
            conn.execute(query, values)
    assert people_of(owner, group) == {world.coach, world.amir}


@pytest.mark.parametrize("title", ["Two\nlines", "Hid\u202eden", "x" * 201])
def test_no_title_of_a_session_keeps_anybody_from_a_seat(
    owner: Connection, as_user: AsUser, world: World, title: str
) -> None:
    hidden, shown = (
        make_session(owner, world, visible=visible, answers={world.dana: "confirmed", world.amir: "invited"})
        for visible in (False, True)
    )
    first = [open_for(as_user, world.coach, hidden)[0]]
    owner.execute("update public.sessions set title = %s where id in (%s, %s)", [title, hidden, shown])
    # The newcomer's conversation is opened by their own answer, the group by the coach.
    with as_user(world.amir) as conn:
        conn.execute("select public.respond_to_invitation(%s, 'confirmed')", [hidden])
    first += open_for(as_user, world.coach, shown)
    titles = rows(
        owner,
        "select c.title from public.conversation_contexts as x"
        " join public.conversations as c on c.id = x.conversation_id where x.session_id in (%s, %s) order by c.title",
        hidden,
        shown,
    )
    assert [row["title"] for row in titles] == ["Together", None, None]


def test_a_group_whose_roster_was_closed_takes_nobody_in(owner: Connection, as_user: AsUser, world: World) -> None:
    session = make_session(owner, world, visible=True, answers={world.dana: "confirmed", world.amir: "invited"})
    group = open_for(as_user, world.coach, session)[0]["id"]
    owner.execute("update public.sessions set roster_visible = false where id = %s", [session])
    owner.execute(ANSWER, [session, world.amir])
    assert people_of(owner, group) == {world.coach, world.dana}


def test_where_the_roster_is_hidden_a_newcomer_gets_a_conversation_of_their_own(
    owner: Connection, as_user: AsUser, world: World
) -> None:
    session = make_session(owner, world, visible=False, answers={world.dana: "confirmed", world.amir: "invited"})
    assert len(open_for(as_user, world.coach, session)) == 1
    owner.execute(ANSWER, [session, world.amir])
    with as_user(world.amir) as conn:
        mine = rows(conn, "select conversation_id from public.conversation_contexts where session_id = %s", session)
    assert [people_of(owner, row["conversation_id"]) for row in mine] == [{world.coach, world.amir}]


def test_seats_that_change_at_once_leave_the_group_as_the_seats_are(
    owner: Connection, as_user: AsUser, world: World, database_url: str
) -> None:
    people = [make_person(owner, f"Crowd{number}") for number in range(6)]
    for person in people:
        relate(owner, world.coach, person)
    session = make_session(owner, world, visible=True, answers=dict.fromkeys(people, "confirmed"))
    group = open_for(as_user, world.coach, session)[0]["id"]

    def churn(person: UUID, stays: bool) -> None:
        with psycopg.connect(database_url, autocommit=True) as conn:
            for turn in range(6 if stays else 5):
                conn.execute(GIVE_UP if turn % 2 == 0 else ANSWER, [session, person])

    threads = [threading.Thread(target=churn, args=(person, index % 2 == 0)) for index, person in enumerate(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert people_of(owner, group) == {world.coach, *people[::2]}


def test_what_happens_to_a_session_is_said_where_its_people_talk(
    owner: Connection, as_user: AsUser, world: World
) -> None:
    direct = pair(as_user, world.coach, world.dana)
    when = datetime(2031, 7, 1, 9, 0, tzinfo=UTC)
    with as_user(world.coach) as conn:
        session = one(
            conn,
            "insert into public.sessions (coach_id, client_id, title, scheduled_at) values (%s, %s, '{when} 1', %s)"
            " returning id",
            world.coach,
            world.dana,
            when,
        )
        conn.execute("select public.reschedule_session(%s, %s)", [session, when + timedelta(days=1)])
    with as_user(world.dana) as conn:
        conn.execute("select public.cancel_session(%s, 'No time')", [session])
    assert system(owner, direct) == ["session_booked", "session_moved", "session_cancelled"]
    # Of each only the other is told, in the app; mail about sessions is the notices' business.
    found = rows(
        owner,
        "select distinct d.recipient_id, d.channel, d.state, d.reason from public.message_deliveries as d"
        " join public.messages as m on m.id = d.message_id"
        " where m.conversation_id = %s and m.metadata ->> 'kind' = 'session_moved' order by d.channel",
        direct,
    )
    assert [(row["recipient_id"], row["channel"], row["state"], row["reason"]) for row in found] == [
        (world.dana, "in_app", "sent", None),
        (world.dana, "email", "suppressed", "system_message"),
        (world.dana, "push", "suppressed", "system_message"),
    ]
    owner.execute("update public.users set language = 'he', timezone = 'Asia/Jerusalem' where id = %s", [world.dana])
    with as_user(world.dana) as conn:
        hebrew = one(conn, "select public.conversation_timeline_json(%s)", direct)["items"][::-1]
    with as_user(world.coach) as conn:
        english = one(conn, "select public.conversation_timeline_json(%s)", direct)["items"][::-1]
        previews = one(conn, "select public.inbox_json()")["items"]
    owner.execute("update public.users set language = 'en', timezone = 'UTC' where id = %s", [world.dana])
    assert hebrew[0]["content"] == "נקבעה פגישה: „{when} 1”, 2031-07-01 12:00."
    assert english[1]["content"] == "Moved: “{when} 1” is now on 2031-07-02 09:00 (was 2031-07-01 09:00)."
    assert english[1]["system"]["session_id"] == str(session)
    assert next(item for item in previews if item["id"] == str(direct))["last_message"]["preview"] == (
        "Cancelled: “{when} 1”, 2031-07-02 09:00."
    )
    # Nobody writes, edits or takes back what Loom says.
    message = english[2]["id"]
    with as_user(world.dana) as conn:
        assert conn.execute("update public.messages set content = 'no' where id = %s", [message]).rowcount == 0
    with pytest.raises(psycopg.Error) as caught, as_user(world.dana) as conn:
        conn.execute("select public.delete_message(%s)", [message])
    assert refusal(caught.value) == ("PT404", "not_found")


def test_a_group_hears_of_its_session_but_never_of_money(owner: Connection, as_user: AsUser, world: World) -> None:
    direct = pair(as_user, world.coach, world.dana)
    before = system(owner, direct)
    session = make_session(owner, world, visible=True, answers={world.dana: "confirmed"})
    group = open_for(as_user, world.coach, session)[0]["id"]
    with as_user(world.coach) as conn:
        conn.execute("select public.cancel_session(%s, 'Ill')", [session])
    invoice: Any = one(
        owner,
        "insert into public.invoices (user_id, coach_id, total_amount_cents, currency) values (%s, %s, 0, 'ILS')"
        " returning id",
        world.dana,
        world.coach,
    )
    owner.execute(
        "insert into public.invoice_line_items (invoice_id, description, amount_cents) values (%s, 'Hour', 5000)",
        [invoice],
    )
    with as_user(world.coach) as conn:
        conn.execute("select public.finalize_invoice(%s)", [invoice])
        conn.execute("select public.record_manual_payment(%s, 5000, 'cash')", [invoice])
    assert system(owner, group) == ["session_cancelled"]
    assert system(owner, direct) == [*before, "payment_received"]
    with as_user(world.dana) as conn:
        newest = one(conn, "select public.conversation_timeline_json(%s)", direct)["items"][0]
    assert newest["content"].startswith("Paid: ILS 50.00")
