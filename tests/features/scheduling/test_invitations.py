"""Invitations: answers with an account, who is asked, and who sees whom."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import DictRow

from tests.support.acting import AsUser
from tests.support.scheduling import Scene, add_session, at, make_scene, one, refusal

Owner = psycopg.Connection[DictRow]

INVITE = "select public.invite_attendee(%s, p_user_id => %s)"
GUEST = "select public.invite_attendee(%s, p_email => %s, p_display_name => %s)"
RESPOND = "select public.respond_to_invitation(%s, %s)"
SEAT = "select * from public.session_attendees where id = %s"


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


@pytest.fixture
def group(scene: Scene, as_user: AsUser) -> UUID:
    with as_user(scene.coach) as conn:
        return one(conn, "select public.create_group_session(%s, %s)", [scene.group, at(3)])


def invite(as_user: AsUser, scene: Scene, group: UUID, who: UUID) -> UUID:
    with as_user(scene.coach) as conn:
        return one(conn, INVITE, [group, who])


def invite_guest(as_user: AsUser, scene: Scene, group: UUID, email: str = "guest@example.com") -> UUID:
    with as_user(scene.coach) as conn:
        return one(conn, GUEST, [group, email, "Gili"])


def test_people_answer_their_own_invitation_and_change_their_mind(
    owner: Owner, as_user: AsUser, scene: Scene, group: UUID
) -> None:
    seat = invite(as_user, scene, group, scene.client)
    for answer in ("confirmed", "declined", "declined", "confirmed"):
        with as_user(scene.client) as conn:
            assert one(conn, RESPOND, [group, answer]) == seat
        row = owner.execute(SEAT, [seat]).fetchone()
        assert row is not None
        assert (row["status"], row["responded_at"] is not None) == (answer, True)
    kinds = owner.execute(
        "select kind, actor_id from public.session_events where attendee_id = %s order by created_at", [seat]
    ).fetchall()
    assert [kind["kind"] for kind in kinds] == ["seat_invited", "seat_confirmed", "seat_declined", "seat_confirmed"]
    assert [kind["actor_id"] for kind in kinds] == [scene.coach, scene.client, scene.client, scene.client]


@pytest.mark.parametrize("who", ["second_client", "stranger", "other_coach", "coach"])
def test_nobody_answers_for_somebody_else(as_user: AsUser, scene: Scene, group: UUID, who: str) -> None:
    invite(as_user, scene, group, scene.client)
    with as_user(getattr(scene, who)) as conn, pytest.raises(psycopg.Error) as refused:
        one(conn, RESPOND, [group, "confirmed"])
    expected = (409, "seat_has_no_answer") if who == "coach" else (404, "not_found")
    assert refusal(refused.value) == expected


def test_answers_end_when_the_session_starts_or_is_cancelled(
    owner: Owner, as_user: AsUser, scene: Scene, group: UUID
) -> None:
    invite(as_user, scene, group, scene.client)
    with as_user(scene.coach) as conn:
        one(conn, "select public.cancel_session(%s, 'ill')", [group])
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as cancelled:
        one(conn, RESPOND, [group, "confirmed"])
    assert refusal(cancelled.value) == (409, "session_not_open")
    running = add_session(owner, scene.coach, None, at(-1))
    owner.execute(
        "insert into public.session_attendees (session_id, user_id, role) values (%s, %s, 'client')",
        [running, scene.client],
    )
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as late:
        one(conn, RESPOND, [running, "confirmed"])
    assert refusal(late.value) == (409, "session_not_open")
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as odd:
        one(conn, RESPOND, [group, "maybe"])
    assert refusal(odd.value) == (422, "answer_unknown")


@pytest.mark.parametrize(
    ("who", "params", "expected"),
    [
        ("client", {"p_user_id": "second_client"}, (404, "not_found")),
        ("other_coach", {"p_user_id": "client"}, (404, "not_found")),
        ("coach", {"p_user_id": "stranger"}, (404, "not_found")),
        ("coach", {"p_user_id": "random"}, (404, "not_found")),
        ("coach", {}, (422, "attendee_unclear")),
        ("coach", {"p_user_id": "client", "p_email": "a@example.com"}, (422, "attendee_unclear")),
        ("coach", {"p_email": "no address"}, (422, "email_invalid")),
    ],
)
def test_an_invitation_that_is_not_in_order_is_refused(
    owner: Owner,
    as_user: AsUser,
    scene: Scene,
    group: UUID,
    who: str,
    params: dict[str, str],
    expected: tuple[int, str],
) -> None:
    ids: dict[str, Any] = {name: getattr(scene, name) for name in scene.__slots__} | {"random": uuid4()}
    arguments = "".join(f", {name} => %s" for name in params)
    with as_user(ids[who]) as conn, pytest.raises(psycopg.Error) as refused:
        one(conn, f"select public.invite_attendee(%s{arguments})", [group, *(ids.get(v, v) for v in params.values())])
    assert refusal(refused.value) == expected
    assert one(owner, "select count(*) from public.session_attendees where session_id = %s", [group]) == 1


def test_a_guest_whose_address_is_a_clients_gets_the_clients_seat(
    owner: Owner, as_user: AsUser, scene: Scene, group: UUID
) -> None:
    for who, known in ((scene.client, True), (scene.stranger, False)):
        email = one(owner, "select email from public.users where id = %s", [who])
        seat = invite_guest(as_user, scene, group, email.upper())
        row = owner.execute(SEAT, [seat]).fetchone()
        assert row is not None
        # Whether somebody who is no client of this coach has an account is not told.
        assert (row["user_id"], row["role"]) == ((who, "client") if known else (None, "guest"))


def test_a_guest_can_be_billed_through_an_entry_among_the_coachs_clients(
    owner: Owner, as_user: AsUser, scene: Scene, group: UUID
) -> None:
    seat = owner.execute(SEAT, [invite_guest(as_user, scene, group)]).fetchone()
    assert seat is not None
    entry = owner.execute("select * from public.coach_clients where id = %s", [seat["coach_client_id"]]).fetchone()
    assert entry is not None
    assert (entry["email"], entry["client_id"], entry["source"]) == ("guest@example.com", None, "invitation")


def test_a_guest_who_signs_up_finds_the_session_once_the_address_is_tied_to_the_account(
    owner: Owner, as_user: AsUser, scene: Scene, group: UUID
) -> None:
    seat = invite_guest(as_user, scene, group)
    with as_user(scene.stranger) as conn:
        assert one(conn, "select count(*) from public.sessions") == 0
    owner.execute(
        "update public.coach_clients set client_id = %s where email = 'guest@example.com' and coach_id = %s",
        [scene.stranger, scene.coach],
    )
    with as_user(scene.stranger) as conn:
        assert one(conn, "select count(*) from public.sessions where id = %s", [group]) == 1
        assert one(conn, RESPOND, [group, "confirmed"]) == seat


def test_status_and_time_of_a_check_in_never_contradict_one_another(owner: Owner, scene: Scene) -> None:
    session = add_session(owner, scene.coach, None, at(4))
    seat = one(
        owner,
        "insert into public.session_attendees (session_id, user_id, role, status)"
        " values (%s, %s, 'client', 'checked_in') returning id",
        [session, scene.client],
    )
    assert one(owner, "select checked_in_at is not null from public.session_attendees where id = %s", [seat])
    with pytest.raises(psycopg.errors.CheckViolation):
        owner.execute("update public.session_attendees set checked_in_at = null where id = %s", [seat])


def test_attendees_see_names_of_others_only_where_the_roster_is_open(
    owner: Owner, as_user: AsUser, scene: Scene, group: UUID
) -> None:
    for who in (scene.client, scene.second_client):
        invite(as_user, scene, group, who)
    guest = invite_guest(as_user, scene, group)
    roster = "select name, role, is_me from public.session_roster(%s)"

    def names(who: UUID) -> list[str]:
        with as_user(who) as conn:
            return [row["name"] for row in conn.execute(roster, [group]).fetchall()]

    assert names(scene.coach) == ["Noa", "Avi", "Dana", "Gili"]
    assert names(scene.client) == ["Noa", "Dana"]
    with as_user(scene.coach) as conn:
        conn.execute("update public.sessions set roster_visible = true where id = %s", [group])
    assert names(scene.client) == ["Noa", "Avi", "Dana", "Gili"]
    owner.execute("update public.session_attendees set display_name = null where id = %s", [guest])
    assert "Guest" in names(scene.client)
    for who in (scene.stranger, scene.other_coach):
        with as_user(who) as conn, pytest.raises(psycopg.Error) as refused:
            conn.execute(roster, [group])
        assert refusal(refused.value) == (404, "not_found")


def test_an_attendee_reads_the_session_and_only_their_own_seat(
    owner: Owner, as_user: AsUser, scene: Scene, group: UUID
) -> None:
    mine = invite(as_user, scene, group, scene.client)
    invite(as_user, scene, group, scene.second_client)
    with as_user(scene.client) as conn:
        assert one(conn, "select count(*) from public.sessions where id = %s", [group]) == 1
        seats = conn.execute("select id from public.session_attendees where session_id = %s", [group]).fetchall()
        assert [seat["id"] for seat in seats] == [mine]
        assert one(conn, "select count(*) from public.session_events") == 0
        assert one(conn, "select count(*) from public.coach_blocks") == 0
    for who in (scene.stranger, scene.other_coach):
        with as_user(who) as conn:
            for table in ("sessions", "session_attendees", "session_events", "coach_blocks"):
                assert one(conn, f"select count(*) from public.{table}") == 0
    with as_user(scene.client) as conn:
        one(conn, "select public.cancel_attendance(%s, p_reason => 'ill')", [group])
        assert one(conn, "select count(*) from public.sessions where id = %s", [group]) == 0
    reason = "select details from public.session_events where kind = 'seat_cancelled' and attendee_id = %s"
    details = one(owner, reason, [mine])
    assert details == {"reason": "ill"}
