"""Who came is recorded beside the answer to the invitation: once for each tap, and taken back whole."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.scheduling import tasks
from loom.jobs.registry import JobContext
from tests.support.acting import AsRole, AsUser, acting
from tests.support.cluster import Cluster
from tests.support.scheduling import Scene, add_session, add_template, at, make_scene, one, race, refusal

Owner = psycopg.Connection[DictRow]

RECORD = "select public.record_attendance(%s, %s, %s)"
SEAT = (
    "insert into public.session_attendees (session_id, user_id, role, status)"
    " values (%s, %s, 'client', %s) returning id"
)
ANSWER = (
    "select jsonb_build_array(status, responded_at, checked_in_at, attendance, cancelled_at, price_cents, currency)"
    " from public.session_attendees where id = %s"
)
GRACE = "insert into public.booking_rules (coach_id, no_show_grace_minutes) values (%s, %s)"
KINDS = "select coalesce(array_agg(kind order by number), '{}') from public.attendance_events where attendee_id = %s"


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


def a_group(owner: Owner, scene: Scene, days: int, **columns: object) -> UUID:
    return add_session(owner, scene.coach, None, at(days), **columns)


def a_seat(owner: Owner, session: UUID, who: UUID, status: str = "confirmed") -> UUID:
    return one(owner, SEAT, [session, who, status])


def record(as_user: AsUser, who: UUID, seat: UUID, kind: str, nonce: str | None = None) -> UUID:
    with as_user(who) as conn:
        return one(conn, RECORD, [seat, kind, nonce])


def refused(as_user: AsUser, who: UUID, seat: UUID, kind: str, nonce: str | None = None) -> tuple[int, str]:
    with as_user(who) as conn, pytest.raises(psycopg.Error) as no:
        one(conn, RECORD, [seat, kind, nonce])
    return refusal(no.value)


def derive(as_role: AsRole) -> int:
    with as_role("service_role") as conn:
        return one(conn, "select private.derive_no_shows()")


@pytest.mark.parametrize("status", ["invited", "confirmed"])
def test_an_undo_brings_back_what_was_answered(owner: Owner, as_user: AsUser, scene: Scene, status: str) -> None:
    seat = a_seat(owner, a_group(owner, scene, 1), scene.client, status)
    before = one(owner, ANSWER, [seat])
    record(as_user, scene.coach, seat, "in")
    came = one(owner, ANSWER, [seat])
    assert (came[0], came[3]) == ("checked_in", "in")
    record(as_user, scene.coach, seat, "out")
    record(as_user, scene.coach, seat, "undo")
    assert one(owner, ANSWER, [seat]) == came
    record(as_user, scene.coach, seat, "undo")
    assert one(owner, ANSWER, [seat]) == before
    assert one(owner, KINDS, [seat]) == ["in", "out", "undo", "undo"]
    assert refused(as_user, scene.coach, seat, "undo") == (409, "attendance_conflict")


def test_who_comes_late_after_a_no_show_has_come_and_taking_that_back_is_a_no_show_again(
    owner: Owner, as_user: AsUser, scene: Scene
) -> None:
    seat = a_seat(owner, a_group(owner, scene, -1), scene.client)
    record(as_user, scene.coach, seat, "no_show")
    missed = one(owner, ANSWER, [seat])
    assert (missed[0], missed[3]) == ("confirmed", "no_show")
    record(as_user, scene.coach, seat, "in")
    assert one(owner, ANSWER, [seat])[0] == "checked_in"
    record(as_user, scene.coach, seat, "undo")
    assert one(owner, ANSWER, [seat]) == missed


def test_a_repeated_tap_is_one_record_and_its_nonce_means_nothing_else(
    owner: Owner, as_user: AsUser, scene: Scene
) -> None:
    session = a_group(owner, scene, 1)
    seat, other = a_seat(owner, session, scene.client), a_seat(owner, session, scene.second_client)
    assert len({record(as_user, scene.coach, seat, "in", "tap-1") for _ in range(5)}) == 1
    record(as_user, scene.coach, seat, "undo", "tap-2")
    # Sent late, the first tap must not bring the person in again.
    record(as_user, scene.coach, seat, "in", "tap-1")
    assert one(owner, ANSWER, [seat])[0] == "confirmed"
    assert refused(as_user, scene.coach, seat, "out", "tap-1") == (409, "nonce_reused")
    record(as_user, scene.coach, other, "in", "tap-1")
    assert (one(owner, KINDS, [seat]), one(owner, KINDS, [other])) == (["in", "undo"], ["in"])


def taps(owner: Owner, url: str, scene: Scene, seat: UUID, nonces: list[str]) -> list[Any]:
    """Several devices at once; what each was told, and how many records there are."""

    def tap(nonce: str) -> UUID:
        with acting(url, "authenticated", {"sub": str(scene.coach)}) as conn:
            return one(conn, RECORD, [seat, "in", nonce])

    results = race([lambda nonce=nonce: tap(nonce) for nonce in nonces])
    return [results, one(owner, "select count(*) from public.attendance_events where attendee_id = %s", [seat])]


@pytest.mark.parametrize("nonces", [["tap"] * 8, [f"tap-{n}" for n in range(8)]], ids=["one_tap", "eight_devices"])
def test_taps_at_the_same_moment_are_one_record(owner: Owner, api_url: str, scene: Scene, nonces: list[str]) -> None:
    for day in range(1, 4):
        seat = a_seat(owner, a_group(owner, scene, day), scene.client)
        results, records = taps(owner, api_url, scene, seat, nonces)
        assert (len(set(results)), records) == (1, 1)


def test_without_the_lock_and_the_nonce_the_same_taps_are_several_records(cluster: Cluster) -> None:
    # The negative control, in a database of its own.
    name = cluster.create(cluster.template())
    try:
        with psycopg.connect(cluster.url(name, "loom_owner"), autocommit=True, row_factory=dict_row) as conn:
            for lock in ("session_of_seat", "coached_seat"):
                body = one(conn, f"select pg_get_functiondef('private.{lock}(uuid)'::regprocedure)")
                assert "for no key update" in body
                conn.execute(body.replace("for no key update of s", "").replace("for no key update", ""))
            conn.execute(
                "alter table public.attendance_events drop constraint attendance_events_nonce,"
                " drop constraint attendance_events_number;"
                "create function public.dawdle() returns trigger language plpgsql as"
                " $$ begin perform pg_sleep(0.2); return new; end $$;"
                " create trigger zz_dawdle before insert on public.attendance_events for each row"
                " execute function public.dawdle()"
            )
            scene = make_scene(conn)
            seat = a_seat(conn, a_group(conn, scene, 1), scene.client)
            assert taps(conn, cluster.url(name, "loom_api"), scene, seat, ["tap"] * 8)[1] > 1
    finally:
        cluster.drop(name)


def test_only_the_coach_records_and_only_coach_and_person_read(owner: Owner, as_user: AsUser, scene: Scene) -> None:
    session = a_group(owner, scene, 1)
    seat = a_seat(owner, session, scene.client)
    a_seat(owner, session, scene.second_client)
    for who in (scene.client, scene.second_client, scene.stranger, scene.other_coach):
        assert refused(as_user, who, seat, "in") == (404, "not_found")
    record(as_user, scene.coach, seat, "in")
    for who, seen in ((scene.coach, 1), (scene.client, 1), (scene.second_client, 0), (scene.other_coach, 0)):
        with as_user(who) as conn:
            assert one(conn, "select count(*) from public.attendance_events") == seen
    assert one(owner, "select actor_id from public.attendance_events where attendee_id = %s", [seat]) == scene.coach


def test_what_makes_no_sense_is_refused_and_leaves_no_record(owner: Owner, as_user: AsUser, scene: Scene) -> None:
    ahead, past = a_group(owner, scene, 1), a_group(owner, scene, -1)
    cancelled = a_group(owner, scene, 2)
    declined = a_seat(owner, ahead, scene.client, "declined")
    early = a_seat(owner, ahead, scene.second_client)
    open_seat = a_seat(owner, past, scene.client, "invited")
    off = a_seat(owner, cancelled, scene.client)
    owner.execute("update public.sessions set status = 'cancelled' where id = %s", [cancelled])
    for seat, kind, expected in (
        (declined, "in", (409, "seat_state_conflict")),
        (early, "out", (409, "attendance_conflict")),
        (early, "no_show", (409, "session_not_started")),
        (early, "undo", (409, "attendance_conflict")),
        (early, "came", (422, "attendance_unknown")),
        (open_seat, "no_show", (409, "attendance_conflict")),
        (off, "in", (409, "session_not_open")),
    ):
        assert refused(as_user, scene.coach, seat, kind) == expected, (seat, kind)
        assert one(owner, KINDS, [seat]) == []
    assert refused(as_user, scene.coach, early, "in", "") == (422, "nonce_invalid")
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as future:
        one(conn, "select public.record_attendance(%s, 'in', null, now() + interval '1 hour')", [early])
    assert refusal(future.value) == (422, "attendance_in_future")


def test_an_answer_does_not_take_a_check_in_back(owner: Owner, as_user: AsUser, scene: Scene) -> None:
    session = a_group(owner, scene, 1)
    seat = a_seat(owner, session, scene.client)
    record(as_user, scene.coach, seat, "in")
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as no:
        one(conn, "select public.respond_to_invitation(%s, 'confirmed')", [session])
    assert refusal(no.value) == (409, "session_not_open")
    assert one(owner, ANSWER, [seat])[0] == "checked_in"


def test_what_is_written_straight_into_a_seat_is_recorded_too(owner: Owner, scene: Scene) -> None:
    session = a_group(owner, scene, -2)
    seat = a_seat(owner, session, scene.client, "checked_in")
    owner.execute("update public.session_attendees set status = 'confirmed' where id = %s", [seat])
    owner.execute("update public.session_attendees set status = 'checked_in' where id = %s", [seat])
    assert one(owner, KINDS, [seat]) == ["in", "undo", "in"]
    with pytest.raises(psycopg.Error) as changed:
        owner.execute("update public.attendance_events set kind = 'out' where attendee_id = %s", [seat])
    assert refusal(changed.value) == (409, "attendance_append_only")


def ended(owner: Owner, scene: Scene, minutes: int, grace: int | None, **columns: object) -> UUID:
    """A group session that ended so many minutes ago."""
    session = a_group(owner, scene, -3, no_show_grace_minutes=grace, **columns)
    owner.execute(
        "update public.sessions set scheduled_at = now() - make_interval(mins => %s) - interval '1 hour',"
        " duration_minutes = 60 where id = %s",
        [minutes, session],
    )
    return session


def test_a_no_show_is_derived_when_the_grace_is_over_and_for_who_confirmed_only(
    owner: Owner, as_user: AsUser, as_role: AsRole, scene: Scene
) -> None:
    derive(as_role)
    due, early, off = ended(owner, scene, 31, 30), ended(owner, scene, 100, 120), ended(owner, scene, 31, None)
    missed, invited = a_seat(owner, due, scene.client), a_seat(owner, due, scene.second_client, "invited")
    came = a_seat(owner, due, scene.stranger)
    record(as_user, scene.coach, came, "in")
    others = [a_seat(owner, early, scene.client), a_seat(owner, off, scene.client)]
    assert (derive(as_role), derive(as_role)) == (1, 0)
    answer = one(owner, ANSWER, [missed])
    assert (answer[0], answer[3]) == ("confirmed", "no_show")
    assert [one(owner, KINDS, [seat]) for seat in (invited, *others)] == [[], [], []]
    assert one(owner, "select actor_id is null from public.attendance_events where attendee_id = %s", [missed])
    # What the coach takes back is not derived again; another end of the session is another matter.
    record(as_user, scene.coach, missed, "undo")
    assert (one(owner, ANSWER, [missed])[3], derive(as_role)) == (None, 0)
    owner.execute("update public.sessions set duration_minutes = 61, no_show_grace_minutes = 0 where id = %s", [due])
    assert derive(as_role) == 1


def test_a_cancelled_session_has_no_no_shows_and_one_that_moves_ahead_has_none_left(
    owner: Owner, as_role: AsRole, scene: Scene
) -> None:
    derive(as_role)
    cancelled, late, moved = (ended(owner, scene, 31, 30) for _ in range(3))
    seats = [a_seat(owner, session, scene.client) for session in (cancelled, late, moved)]
    owner.execute("update public.sessions set status = 'cancelled' where id = %s", [cancelled])
    assert derive(as_role) == 2
    owner.execute("update public.sessions set status = 'cancelled' where id = %s", [late])
    owner.execute("update public.sessions set scheduled_at = now() + interval '9 days' where id = %s", [moved])
    assert [one(owner, ANSWER, [seat])[3] for seat in seats] == [None, None, None]
    assert derive(as_role) == 0


def test_a_session_between_two_that_was_held_misses_nobody(owner: Owner, as_role: AsRole, scene: Scene) -> None:
    derive(as_role)
    for status, expected in (("completed", 0), ("scheduled", 1)):
        session = add_session(owner, scene.coach, scene.client, at(-2), status=status, no_show_grace_minutes=0)
        assert derive(as_role) == expected, session


def test_a_session_missed_as_a_whole_marks_its_seats(owner: Owner, as_user: AsUser, scene: Scene) -> None:
    session = add_session(owner, scene.coach, scene.client, at(-1))
    seat = one(owner, "select id from public.session_attendees where session_id = %s and role = 'client'", [session])
    with as_user(scene.coach) as conn:
        one(conn, "select public.mark_no_show(%s)", [session])
    assert (one(owner, KINDS, [seat]), one(owner, ANSWER, [seat])[0]) == (["no_show"], "confirmed")


def test_a_session_keeps_the_grace_of_its_template_or_else_of_its_coach(
    owner: Owner, as_user: AsUser, scene: Scene
) -> None:
    template = add_template(owner, scene.coach, session_type="group", no_show_grace_minutes=20)
    make, grace = "select public.create_group_session(%s, %s)", "no_show_grace_minutes"
    with as_user(scene.coach) as conn:
        conn.execute(GRACE, [scene.coach, 45])
        made = [one(conn, make, [template, at(2)]), one(conn, make, [scene.group, at(3)])]
        conn.execute("update public.session_templates set no_show_grace_minutes = 5 where id = %s", [template])
        conn.execute("update public.booking_rules set no_show_grace_minutes = null where coach_id = %s", [scene.coach])
        made.append(one(conn, make, [scene.group, at(4)]))
        kept = [one(conn, f"select {grace} from public.sessions where id = %s", [session]) for session in made]
    assert kept == [20, 45, None]


def test_history_that_comes_along_has_no_grace_of_its_coach(owner: Owner, as_role: AsRole, scene: Scene) -> None:
    derive(as_role)
    owner.execute(GRACE, [scene.coach, 0])
    seat = a_seat(owner, a_group(owner, scene, -2), scene.client)
    assert (derive(as_role), one(owner, KINDS, [seat])) == (0, [])


async def test_the_worker_derives(owner: Owner, db: Database, settings: Settings, scene: Scene) -> None:
    seat = a_seat(owner, ended(owner, scene, 5, 0), scene.client)
    await tasks.derive_no_shows(JobContext(db, settings), timestamp=0)
    assert one(owner, KINDS, [seat]) == ["no_show"]


def test_a_check_in_and_the_derivation_at_once_end_with_the_check_in(owner: Owner, api_url: str, scene: Scene) -> None:
    for _ in range(4):
        seat = a_seat(owner, ended(owner, scene, 5, 0), scene.client)

        def come(seat: UUID = seat) -> UUID:
            with acting(api_url, "authenticated", {"sub": str(scene.coach)}) as conn:
                return one(conn, RECORD, [seat, "in", "door"])

        def miss() -> int:
            with acting(api_url, "service_role", {}) as conn:
                return one(conn, "select private.derive_no_shows()")

        race([come, miss])
        answer = one(owner, ANSWER, [seat])
        assert (answer[0], answer[3]) == ("checked_in", "in")
        assert timedelta(0) <= one(
            owner, "select now() - checked_in_at from public.session_attendees where id = %s", [seat]
        )
