"""Faults around sessions and their files: broken in the old database, sound in the adopted one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from loom.db.embedded import programs
from tests.adoption.generator import generate
from tests.adoption.old_database import Conn, extend, legacy_database
from tests.adoption.scene import Scene
from tests.support.cluster import Cluster


@pytest.mark.parametrize(
    "change",
    ["status = 'completed'", "notes = 'late'", "title = title"],
)
def test_a_session_older_than_a_day_could_not_be_changed(scene: Scene, change: str) -> None:
    query = f"update public.sessions set {change} where id = %(held)s"
    assert scene.both("owner", query) == ("23514", 1)
    assert scene.both("service", query) == ("23514", 1)


def test_a_client_moved_a_session_to_another_coach(scene: Scene) -> None:
    query = "update public.sessions set coach_id = %(other_coach)s where id = %(ahead)s"
    assert scene.both("client", query) == (1, "42501")
    assert scene.after("client", "update public.sessions set title = 'Mine' where id = %(ahead)s") == 0
    assert scene.after("coach", "update public.sessions set title = 'Moved' where id = %(ahead)s") == 1


def test_two_sessions_of_one_coach_stood_at_the_same_time(scene: Scene) -> None:
    query = """
        insert into public.sessions (coach_id, client_id, title, scheduled_at)
        select coach_id, %(other_client)s, 'Double', scheduled_at from public.sessions where id = %(ahead)s
    """
    assert scene.before("service", query) == 1
    assert scene.after("service", query) in {"23P01", "PT409"}


def test_asking_for_slots_always_failed(scene: Scene) -> None:
    """The tenth day from now has four free hours; the thirtieth has three, since one session stands at eight."""
    slots = (
        "select count(*) filter (where is_available), count(*) from public.get_available_time_slots("
        "%(coach)s, ((now() at time zone 'UTC')::date + {}))"
    )
    for days, free in ((10, 4), (30, 3)):
        assert scene.both("client", slots.format(days)) == ("42702", [(free, 4)])
    one = "select public.is_time_slot_available(%(coach)s, date_trunc('day', now(), 'UTC') + interval '30 days {}')"
    for hours, free in (("8 hours", False), ("8 hours 59 minutes", False), ("9 hours", True), ("7 hours", True)):
        assert scene.both("client", one.format(hours)) == ("42702", [(free,)]), hours
    for query in (slots.format(10), one.format("9 hours")):
        assert scene.both("anon", query) == ("42702", "42501")


def test_creating_a_session_with_the_old_function_always_failed(scene: Scene) -> None:
    make = """
        select public.create_session(
          %(coach)s, %(client)s, 'New', date_trunc('day', now(), 'UTC') + interval '{}') is not null
    """
    assert scene.both("coach", make.format("9 days 9 hours")) == ("42702", [(True,)])
    # The slot is taken.
    assert scene.after("coach", make.format("30 days 8 hours")) == "P0001"
    # Nobody makes sessions in a coach's name, a client least of all.
    for who in ("client", "other_coach", "stranger"):
        assert scene.after(who, make.format("9 days 9 hours")) in {"42501", "P0001"}, who
    assert scene.after("anon", make.format("9 days 9 hours")) == "42501"


def test_views_showed_every_session_to_everybody(scene: Scene) -> None:
    query = "select count(*) from public.{}"
    for view in (
        "session_titles",
        "coach_totals",
        "client_progress",
        "coach_pending_session_requests",
        "mfa_admin_dashboard",
    ):
        for who in ("anon", "stranger"):
            assert scene.before(who, query.format(view)) > [(0,)], (view, who)
        assert scene.after("anon", query.format(view)) == "42501"
        assert scene.after("stranger", query.format(view)) in ("42501", [(0,)], [(1,)]), view
    assert scene.after("stranger", query.format("session_titles")) == [(0,)]
    assert scene.both("coach", query.format("session_titles")) == ([(4,)], [(3,)])
    assert scene.both("client", query.format("session_titles")) == ([(4,)], [(3,)])
    assert scene.both("stranger", query.format("coach_pending_session_requests")) == ([(1,)], [(0,)])
    assert scene.both("service", query.format("coach_totals")) == ([(2,)], [(2,)])


def test_files_could_be_read_by_nobody(scene: Scene) -> None:
    query = "select filename from public.file_uploads order by filename"
    assert scene.before("coach", query) == "42P17"
    assert scene.before("client", "select count(*) from public.file_shares") == "42P17"
    assert scene.after("coach", query) == [("session.pdf",), ("shared.pdf",)]
    assert scene.after("client", query) == [("session.pdf",), ("shared.pdf",)]
    assert scene.after("other_coach", query) == [("other.pdf",)]
    assert scene.after("other_client", query) == []
    assert scene.after("stranger", query) == []
    assert scene.after("anon", query) == "42501"
    assert scene.after("admin", "select count(*) from public.file_uploads") == [(3,)]
    shares = "select count(*) from public.file_shares"
    assert [scene.after(who, shares)[0][0] for who in ("coach", "client", "other_coach", "admin")] == [1, 1, 0, 1]
    expired = (
        "update public.file_shares set created_at = now() - interval '2 days', expires_at = now() - interval '1 day'"
    )
    assert scene.after("owner", f"{expired};\nselect count(*) from public.file_shares") == [(1,)]


def test_files_are_shared_by_their_owner_with_people_of_theirs(scene: Scene) -> None:
    share = "insert into public.file_shares (file_id, shared_by, shared_with) values (%(session_file)s, {}, {})"
    assert scene.before("coach", share.format("%(coach)s", "%(client)s")) == "42P17"
    assert scene.after("coach", share.format("%(coach)s", "%(client)s")) == 1
    assert scene.after("coach", share.format("%(coach)s", "%(stranger)s")) == "42501"
    assert scene.after("client", share.format("%(client)s", "%(coach)s")) == "42501"
    assert (
        scene.after("coach", share.replace("session_file", "foreign_file").format("%(coach)s", "%(client)s")) == "42501"
    )
    # A share is not moved onto somebody else's file.
    assert scene.after("coach", "update public.file_shares set file_id = %(foreign_file)s") == "42501"
    assert scene.after("coach", "delete from public.file_shares") == 1
    assert scene.after("client", "delete from public.file_shares") == 0


def test_files_of_a_session_are_for_who_takes_part(scene: Scene) -> None:
    query = "select count(*) from public.session_files"
    people = ("coach", "client", "other_client", "other_coach", "stranger", "admin")
    assert [scene.after(who, query)[0][0] for who in people] == [1, 1, 0, 0, 0, 1]
    attach = "insert into public.session_files (session_id, file_id, uploaded_by) values (%(held)s, %({})s, %({})s)"
    assert scene.before("coach", attach.format("file", "coach")) == "42P17"
    assert scene.after("coach", attach.format("file", "coach")) == 1
    assert scene.after("client", attach.format("file", "client")) == 1
    assert scene.after("client", attach.format("foreign_file", "client")) == "42501"
    assert scene.after("stranger", attach.format("file", "stranger")) == "42501"


def test_a_guest_of_a_group_sees_the_files_of_its_sessions(scene: Scene) -> None:
    made = """
        insert into public.sessions (id, coach_id, client_id, type, title, scheduled_at, capacity)
        values (%(group)s, %(coach)s, null, 'group', 'Group', now() - interval '5 days', 4);
        insert into public.session_attendees (session_id, user_id, role, status)
        values (%(group)s, {}, 'client', 'confirmed');
        update public.file_uploads set session_id = %(group)s where id = %(session_file)s;
        select set_config('role', 'authenticated', true),
          set_config('request.jwt.claims', json_build_object('sub', %(other_client)s::uuid)::text, true);
        select filename from public.file_uploads
    """
    assert scene.after("service", made.format("%(other_client)s")) == [("session.pdf",)]
    assert scene.after("service", made.format("%(client)s")) == []


def test_whoever_asked_could_say_that_it_was_approved(scene: Scene) -> None:
    ask = """
        insert into public.session_requests (coach_id, client_id, requested_by, scheduled_at, duration_minutes, status)
        values ({}, {}, {}, now() + interval '9 days', 60, '{}')
    """
    coach, client = "%(coach)s", "%(client)s"
    assert scene.both("client", ask.format(coach, client, client, "approved")) == (1, "42501")
    assert scene.both("client", ask.format(client, client, client, "pending")) == (1, "42501")
    assert scene.both("client", ask.format(coach, client, client, "pending")) == (1, 1)
    # A coach writes down what was agreed on, as ever.
    assert scene.both("coach", ask.format(coach, client, coach, "approved")) == (1, 1)


def test_ratings_had_no_row_level_security(scene: Scene) -> None:
    query = "select count(*) from public.session_ratings"
    assert scene.both("anon", query) == ([(1,)], "42501")
    assert scene.both("stranger", query) == ([(1,)], [(0,)])
    assert [scene.after(who, query)[0][0] for who in ("client", "coach", "other_coach", "admin")] == [1, 1, 0, 1]
    assert scene.both("stranger", "update public.session_ratings set rating = 1") == (1, 0)
    assert scene.after("client", "update public.session_ratings set rating = 1") == 1


@pytest.fixture(scope="module")
def aged(cluster: Cluster) -> Iterator[str]:
    """A database whose sessions were young when its check was made: it counts as valid."""
    name = cluster.create()
    cluster.platform(name)
    with psycopg.connect(cluster.url(name), autocommit=True) as conn:
        legacy_database(conn)
        generate(conn, seed=5, sessions=60, payments=60, messages=60)
    with psycopg.connect(cluster.url(name, "postgres"), autocommit=True) as conn:
        conn.execute("update pg_constraint set convalidated = true where conname = 'sessions_future_or_current'")
    yield name
    cluster.drop(name)


def restored(cluster: Cluster, name: str) -> tuple[int, str]:
    """How many sessions a dump brings back, and what it complained about."""
    target = cluster.create()
    try:
        cluster.platform(target)
        source = f"--dbname={cluster.url(name, 'postgres')}"
        dump = subprocess.run(
            [programs() / "pg_dump", "--schema=public", "--schema=private", source],
            check=True, capture_output=True, text=True,
        ).stdout.replace("CREATE SCHEMA public;", "")  # fmt: skip
        accounts = subprocess.run(
            [programs() / "pg_dump", "--data-only", "--table=auth.users", source],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        done = subprocess.run(
            [programs() / "psql", "--quiet", f"--dbname={cluster.url(target, 'postgres')}"],
            input=accounts + dump, capture_output=True, text=True, check=False,
        )  # fmt: skip
        with psycopg.connect(cluster.url(target, "postgres")) as conn:
            row = conn.execute("select count(*) from public.sessions").fetchone()
        assert row is not None
        return row[0], done.stderr
    finally:
        cluster.drop(target)


def test_a_dump_with_old_sessions_could_not_be_restored(cluster: Cluster, aged: str) -> None:
    found, complaint = restored(cluster, aged)
    assert found == 0
    assert "sessions_future_or_current" in complaint
    adopted = cluster.create(aged)
    try:
        conn: Conn
        with psycopg.connect(cluster.url(adopted), autocommit=True) as conn:
            extend(conn)
        assert restored(cluster, adopted) == (60, "")
    finally:
        cluster.drop(adopted)
