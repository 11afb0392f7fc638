"""Conversations in SQL: who starts them with whom, one per pair, and those of sessions."""

from __future__ import annotations

from itertools import count
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.features.messaging.test_messages import in_threads, refusal
from tests.features.messaging.world import Connection, World, make_person, one, post, relate, rows
from tests.support.acting import AsUser

_DAY = count(1)  # Sessions of one coach may not overlap, so each has a day of its own.


def start(as_user: AsUser, caller: UUID, other: UUID) -> UUID:
    with as_user(caller) as conn:
        return one(conn, "select id from public.start_direct_conversation(%s)", other)


def people_of(owner: Connection, conversation: UUID) -> set[UUID]:
    found = rows(
        owner,
        "select user_id from public.conversation_participants where conversation_id = %s and left_at is null",
        conversation,
    )
    return {row["user_id"] for row in found}


def test_two_who_start_with_one_another_at_once_get_one_conversation(
    owner: Connection, as_user: AsUser, world: World
) -> None:
    for _ in range(5):
        client = make_person(owner, "Pair")
        relate(owner, world.coach, client)
        jobs = [lambda c=client: start(as_user, world.coach, c), lambda c=client: start(as_user, c, world.coach)]
        found = in_threads(jobs * 2)
        assert len(set(found)) == 1, found
        assert people_of(owner, found[0]) == {world.coach, client}


def test_only_a_coach_and_her_clients_and_an_admin_may_start(owner: Connection, as_user: AsUser, world: World) -> None:
    ended = make_person(owner, "Ended")
    relate(owner, world.coach, ended)
    owner.execute("update public.coach_clients set status = 'ended' where client_id = %s", [ended])
    suspended = make_person(owner, "Suspended")
    relate(owner, world.coach, suspended)
    owner.execute("update public.users set status = 'suspended' where id = %s", [suspended])
    allowed = [(world.coach, world.dana), (world.dana, world.coach), (world.admin, world.stranger)]
    refused = [
        (world.dana, world.amir), (world.coach, world.stranger), (world.stranger, world.coach),
        (world.coach, world.other_coach),
        (world.coach, ended), (ended, world.coach), (world.coach, suspended), (suspended, world.coach),
        (world.coach, world.coach), (world.coach, uuid4()), (world.dana, world.admin),
    ]  # fmt: skip
    for caller, other in allowed:
        assert isinstance(start(as_user, caller, other), UUID)
    answers = set()
    for caller, other in refused:
        with pytest.raises(psycopg.Error) as caught:
            start(as_user, caller, other)
        answers.add((refusal(caught.value), caught.value.diag.message_primary))
    assert answers == {(("PT404", "person_not_found"), "There is no such person for you to write to.")}


def test_a_group_is_a_coachs_and_of_her_clients_only(as_user: AsUser, world: World) -> None:
    for caller, members, code in (
        (world.dana, [world.coach], "not_found"),
        (world.coach, [world.dana, world.stranger], "person_not_found"),
        (world.coach, [world.dana, uuid4()], "person_not_found"),
        (world.coach, [], "people_invalid"),
        (world.coach, None, "people_invalid"),
        (world.coach, [None], "person_not_found"),
    ):
        with pytest.raises(psycopg.Error) as caught, as_user(caller) as conn:
            conn.execute("select public.create_group_conversation('G', %s::uuid[])", [members])
        assert refusal(caught.value)[1] == code
    for title in ("", "  ", None, "x" * 201):
        with pytest.raises(psycopg.Error) as caught, as_user(world.coach) as conn:
            conn.execute("select public.create_group_conversation(%s, %s)", [title, [world.dana]])
        assert refusal(caught.value)[1] == "title_invalid"


def test_members_neither_bring_nor_remove_people_and_a_pair_stays_a_pair(as_user: AsUser, world: World) -> None:
    for call, params in (
        ("public.add_to_conversation(%s, %s)", [world.group, [world.coach]]),
        ("public.remove_from_conversation(%s, %s)", [world.group, world.amir]),
    ):
        for caller in (world.dana, world.noa, world.other_coach):
            with pytest.raises(psycopg.Error) as caught, as_user(caller) as conn:
                conn.execute(f"select {call}", params)
            assert refusal(caught.value) == ("PT404", "not_found")
    direct = start(as_user, world.coach, world.dana)
    with pytest.raises(psycopg.Error) as caught, as_user(world.dana) as conn:
        conn.execute("select public.leave_conversation(%s)", [direct])
    assert refusal(caught.value) == ("PT409", "conversation_direct")
    with as_user(world.dana) as conn:
        assert conn.execute("update public.conversations set title = 'mine' where id = %s", [world.group]).rowcount == 0
    with as_user(world.coach) as conn:
        assert (
            conn.execute("update public.conversations set title = 'Circle' where id = %s", [world.group]).rowcount == 1
        )


def make_session(owner: Connection, world: World, *, visible: bool, answers: dict[UUID | None, str]) -> UUID:
    session = one(
        owner,
        "insert into public.sessions (coach_id, title, scheduled_at, type, capacity, roster_visible)"
        " values (%s, 'Together', now() + make_interval(days => %s), 'group', 10, %s) returning id",
        world.coach,
        next(_DAY),
        visible,
    )
    for person, answer in answers.items():
        owner.execute(
            "insert into public.session_attendees (session_id, user_id, role, status, email)"
            " values (%s, %s, %s, %s, case when %s::uuid is null then 'guest@example.com' end)",
            [session, person, "guest" if person is None else "client", answer, person],
        )
    return session


def open_for(as_user: AsUser, caller: UUID, session: UUID) -> list[dict[str, Any]]:
    with as_user(caller) as conn:
        return rows(conn, "select * from public.open_session_conversation(%s)", session)


def test_a_group_keeps_somebody_who_leads_it(owner: Connection, as_user: AsUser, world: World) -> None:
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Led', %s)", [world.dana])
    with pytest.raises(psycopg.Error) as caught, as_user(world.coach) as conn:
        conn.execute("select public.leave_conversation(%s)", [group])
    assert refusal(caught.value) == ("PT409", "group_needs_lead")
    owner.execute("select private.seat_person(%s, %s, 1, 0)", [group, world.admin])
    with as_user(world.dana) as conn:
        conn.execute("select public.leave_conversation(%s)", [group])
    with as_user(world.coach) as conn:
        conn.execute("select public.leave_conversation(%s)", [group])
    assert people_of(owner, group) == {world.admin}
    with pytest.raises(psycopg.Error) as caught, as_user(world.admin) as conn:
        conn.execute("select public.leave_conversation(%s)", [group])
    assert refusal(caught.value) == ("PT409", "group_needs_lead")


def test_the_name_of_a_program_is_a_plain_line(as_user: AsUser, world: World) -> None:
    for program in ("Turned\u202earound", "Two\nlines", " "):
        with pytest.raises(psycopg.Error) as caught, as_user(world.coach) as conn:
            conn.execute("select public.create_group_conversation('G', %s, %s)", [[world.dana], program])
        assert refusal(caught.value) == ("PT422", "program_invalid")


def test_where_the_roster_is_visible_a_session_has_one_group_of_those_who_accepted(
    owner: Connection, as_user: AsUser, world: World
) -> None:
    answers: dict[UUID | None, str] = {
        world.dana: "confirmed",
        world.amir: "invited",
        world.noa: "declined",
        None: "confirmed",
    }
    session = make_session(owner, world, visible=True, answers=answers)
    opened = in_threads([lambda: open_for(as_user, world.coach, session)[0]["id"]] * 3)
    assert len(set(opened)) == 1, opened
    assert people_of(owner, opened[0]) == {world.coach, world.dana}
    context = rows(
        owner, "select context_type, session_id from public.conversation_contexts where conversation_id = %s", opened[0]
    )
    assert context == [{"context_type": "session", "session_id": session}]
    post(as_user, world.dana, opened[0], "early")
    # Amir accepts later and does not see what was said; Dana gives her seat up and sees nothing more.
    owner.execute(
        "update public.session_attendees set status = 'confirmed' where session_id = %s and user_id = %s",
        [session, world.amir],
    )
    owner.execute(
        "update public.session_attendees set cancelled_at = now() where session_id = %s and user_id = %s",
        [session, world.dana],
    )
    assert open_for(as_user, world.coach, session)[0]["id"] == opened[0]
    assert people_of(owner, opened[0]) == {world.coach, world.amir}
    with as_user(world.amir) as conn:
        assert one(conn, "select count(*) from public.messages where conversation_id = %s", opened[0]) == 0
        conn.execute("select public.leave_conversation(%s)", [opened[0]])
    open_for(as_user, world.coach, session)
    assert people_of(owner, opened[0]) == {world.coach}
    for caller in (world.dana, world.other_coach, world.admin):
        with pytest.raises(psycopg.Error) as caught:
            open_for(as_user, caller, session)
        assert refusal(caught.value) == ("PT404", "not_found")


def test_where_the_roster_is_hidden_each_attendee_has_the_coach_to_themselves(
    owner: Connection, as_user: AsUser, world: World
) -> None:
    session = make_session(owner, world, visible=False, answers={world.dana: "confirmed", world.amir: "confirmed"})
    opened = open_for(as_user, world.coach, session)
    assert {frozenset(people_of(owner, row["id"])) for row in opened} == {
        frozenset({world.coach, world.dana}),
        frozenset({world.coach, world.amir}),
    }
    assert {row["id"] for row in open_for(as_user, world.coach, session)} == {row["id"] for row in opened}
    assert start(as_user, world.coach, world.dana) not in {row["id"] for row in opened}
    found = rows(owner, "select conversation_id from public.conversation_contexts where session_id = %s", session)
    assert {row["conversation_id"] for row in found} == {row["id"] for row in opened}


def test_a_context_says_what_it_is_and_survives_its_session(owner: Connection, world: World) -> None:
    session = make_session(owner, world, visible=True, answers={})
    for columns, values in (
        ("conversation_id, context_type", [world.group, "session"]),
        ("conversation_id, context_type, session_id", [world.group, "general", session]),
        ("conversation_id, context_type, session_id", [world.group, "program", session]),
        ("conversation_id, context_type", [None, "general"]),
    ):
        with pytest.raises(psycopg.errors.CheckViolation):
            owner.execute(
                f"insert into public.conversation_contexts ({columns}) values ({', '.join(['%s'] * len(values))})",
                values,
            )
    owner.execute(
        "insert into public.conversation_contexts (conversation_id, context_type, session_id)"
        " values (%s, 'session', %s)",
        [world.group, session],
    )
    with owner.transaction(force_rollback=True):
        owner.execute("update public.conversation_contexts set session_id = null where session_id = %s", [session])
        left = rows(
            owner,
            "select context_type, metadata from public.conversation_contexts where conversation_id = %s",
            world.group,
        )
        assert left == [{"context_type": "general", "metadata": {"former_session_id": str(session)}}]


def test_names_are_shown_and_nothing_else_of_a_person(as_user: AsUser, world: World) -> None:
    with as_user(world.dana) as conn:
        people = rows(conn, "select * from public.conversation_people(%s)", world.group)
        assert {row["display_name"] for row in people} == {"Coach Levi", "Dana Levi", "Amir Levi"}
        assert set(people[0]) == {"user_id", "display_name", "role", "is_current", "joined_at", "last_read_seq"}
        assert rows(conn, "select from public.users where id = %s", world.amir) == []
