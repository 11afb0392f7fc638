"""Accounts in the database itself: who becomes what, who may change it, and that people are not lost."""

from __future__ import annotations

import threading
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from tests.support.acting import AsUser
from tests.support.waiting import until

Owner = psycopg.Connection[DictRow]


def one(conn: Owner, query: LiteralString, *params: object) -> Any:
    row = conn.execute(query, params).fetchone()
    return None if row is None else next(iter(row.values()))


def sign_up(owner: Owner, email: str | None = None, **metadata: object) -> UUID:
    """An account as a sign-in service makes it, with what the person typed as metadata."""
    user_id = uuid4()
    owner.execute(
        "insert into auth.users (id, email, raw_user_meta_data) values (%s, %s, %s)",
        [user_id, email or f"{user_id}@example.test", Jsonb(metadata)],
    )
    return user_id


def person(owner: Owner, role: str) -> UUID:
    user_id = sign_up(owner, first_name=role.title())
    owner.execute("select public.set_user_role(%s, %s::public.user_role)", [user_id, role])
    return user_id


def refused(code: str) -> Any:
    return pytest.raises(psycopg.Error, match=code)


@pytest.mark.parametrize("role", ["admin", "coach", "client", "emperor", "", None, {"a": 1}])
def test_whoever_signs_up_is_a_client_whatever_the_metadata_says(owner: Owner, role: object) -> None:
    user_id = sign_up(owner, role=role)
    assert one(owner, "select role::text from public.users where id = %s", user_id) == "client"


def test_only_valid_sign_up_metadata_reaches_the_profile(owner: Owner) -> None:
    good = sign_up(
        owner, first_name=" דנה ", last_name="Levi", timezone="Asia/Jerusalem", language="he", phone="+972 50-1234567"
    )
    bad = sign_up(
        owner,
        first_name="<b>x</b>",
        last_name=["a"],
        timezone="Foo/Bar3",
        language="tlh",
        phone="call me",
        status="admin",
    )
    query: LiteralString = (
        "select first_name, last_name, timezone, language::text, phone, status::text from public.users where id = %s"
    )
    assert list((owner.execute(query, [good]).fetchone() or {}).values()) == [
        "דנה", "Levi", "Asia/Jerusalem", "he", "+972 50-1234567", "active",
    ]  # fmt: skip
    assert list((owner.execute(query, [bad]).fetchone() or {}).values()) == [None, None, "UTC", "en", None, "active"]


def test_an_account_with_an_address_that_another_profile_holds_gets_no_profile_and_takes_none(
    owner: Owner, as_user: AsUser
) -> None:
    first = sign_up(owner, "held@example.test")
    owner.execute("update auth.users set email = 'moved@example.test' where id = %s", [first])
    owner.execute("update public.users set email = 'Held@example.test' where id = %s", [first])
    second = sign_up(owner, "held@example.test")
    assert one(owner, "select id from public.users where id = %s", second) is None
    assert one(owner, "select count(*) from public.users where lower(email) = 'held@example.test'") == 1
    with as_user(second) as conn:
        assert one(conn, "select private.me()") is None
        assert one(conn, "select count(*) from public.users") == 0


def test_nobody_raises_their_own_role_or_changes_state_or_address(owner: Owner, as_user: AsUser) -> None:
    client = person(owner, "client")
    for column, value in (("role", "admin"), ("status", "active"), ("email", "x@example.test"), ("mfa_secret", "x")):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(client) as conn:
            conn.execute(
                psycopg.sql.SQL("update public.users set {} = {} where id = {}").format(
                    psycopg.sql.Identifier(column), value, client
                )
            )
    with refused("There is no such thing"), as_user(client) as conn:
        conn.execute("select public.set_user_role(%s, 'admin')", [client])
    with refused("There is no such thing"), as_user(client) as conn:
        conn.execute("select public.set_user_status(%s, 'suspended')", [person(owner, "coach")])


def test_an_admin_gives_roles_and_the_change_is_kept(owner: Owner, as_user: AsUser) -> None:
    admin, somebody = person(owner, "admin"), person(owner, "client")
    with as_user(admin) as conn:
        conn.execute("select public.set_user_role(%s, 'coach', 'trained')", [somebody])
    event = owner.execute(
        "select actor_id, details from private.identity_events where user_id = %s order by created_at desc limit 1",
        [somebody],
    ).fetchone()
    assert event == {"actor_id": admin, "details": {"from": "client", "to": "coach", "reason": "trained"}}
    assert one(owner, "select count(*) from public.practice_members where user_id = %s", somebody) == 1


def test_the_last_admin_stays_when_two_demote_each_other_at_once(owner: Owner, database_url: str) -> None:
    owner.execute("update public.users set role = 'client' where role = 'admin'")
    first, second = person(owner, "admin"), person(owner, "admin")
    outcomes: list[str | None] = []

    def demote_the_second() -> None:
        with psycopg.connect(database_url, autocommit=True, application_name="second") as conn:
            try:
                conn.execute("select public.set_user_role(%s, 'client')", [second])
                outcomes.append("done")
            except psycopg.Error as refusal:
                outcomes.append(refusal.diag.constraint_name)

    waiting: LiteralString = (
        "select count(*) from pg_stat_activity where application_name = 'second' and wait_event_type = 'Lock'"
    )
    with psycopg.connect(database_url) as conn:
        conn.execute("select public.set_user_role(%s, 'client')", [first])
        thread = threading.Thread(target=demote_the_second)
        thread.start()
        until(lambda: outcomes or one(owner, waiting), "the second demotion ends or waits for the first")
    thread.join()
    assert outcomes == ["last_admin"]


def test_a_suspended_person_gets_nothing_and_loses_their_sign_ins(owner: Owner, as_user: AsUser) -> None:
    coach = person(owner, "coach")
    owner.execute(
        "insert into private.auth_sessions (user_id, refresh_token_hash, expires_at) "
        "values (%s, %s, now() + interval '1 day')",
        [coach, str(coach)],
    )
    owner.execute("select public.set_user_status(%s, 'suspended', 'abuse')", [coach])
    with as_user(coach) as conn:
        assert one(conn, "select count(*) from public.users") == 0
        assert one(conn, "select count(*) from public.practices") == 0
        assert one(conn, "select private.i_am_coach()") is False
    assert (
        one(owner, "select revoked_reason from private.auth_sessions where user_id = %s", coach) == "status_suspended"
    )


def test_a_proven_address_ties_the_clients_and_seats_that_waited_for_it(owner: Owner) -> None:
    coach = person(owner, "coach")
    owner.execute(
        "insert into public.coach_clients (coach_id, email, status) values (%s, ' Late@Example.test ', 'invited')",
        [coach],
    )
    session = one(
        owner,
        "insert into public.sessions (coach_id, title, scheduled_at, type, capacity) "
        "values (%s, 'Group', now() + interval '1 day', 'group', 5) returning id",
        coach,
    )
    owner.execute(
        "insert into public.session_attendees (session_id, email) values (%s, 'late@example.test')", [session]
    )
    late = sign_up(owner, "late@example.test")
    tied: LiteralString = (
        "select (select count(*) from public.coach_clients where client_id = %(id)s and status = 'active') "
        "+ (select count(*) from public.session_attendees where user_id = %(id)s)"
    )
    assert owner.execute(tied, {"id": late}).fetchone() == {"?column?": 0}
    owner.execute("insert into private.credentials (user_id, email_verified_at) values (%s, now())", [late])
    assert owner.execute(tied, {"id": late}).fetchone() == {"?column?": 2}


def test_an_address_confirmed_by_supabase_ties_as_well(owner: Owner) -> None:
    coach = person(owner, "coach")
    owner.execute("insert into public.coach_clients (coach_id, email) values (%s, 'supa@example.test')", [coach])
    supa = sign_up(owner, "supa@example.test")
    owner.execute("update auth.users set email_confirmed_at = now() where id = %s", [supa])
    assert one(owner, "select client_id from public.coach_clients where coach_id = %s", coach) == supa


def test_a_client_whom_the_coach_parted_from_cannot_book_and_one_who_left_can_come_back(
    owner: Owner, as_user: AsUser
) -> None:
    coach, client = person(owner, "coach"), person(owner, "client")
    template = one(
        owner,
        "insert into public.session_templates (coach_id, title, default_duration_minutes) "
        "values (%s, 'One', 60) returning id",
        coach,
    )
    owner.execute(
        "insert into public.coach_availability (coach_id, day_of_week, start_time, end_time, timezone) "
        "select %s, day, '00:00', '24:00', 'UTC' from generate_series(0, 6) as day",
        [coach],
    )

    def book() -> None:
        with as_user(client) as conn:
            conn.execute(
                "select public.book_session(%(t)s, s.starts_at) from public.free_slots("
                "%(c)s, %(t)s, now() + interval '1 day', now() + interval '3 days') as s order by s.starts_at limit 1",
                {"t": template, "c": coach},
            )

    book()
    relation = one(owner, "select id from public.coach_clients where coach_id = %s and client_id = %s", coach, client)
    with as_user(client) as conn:
        conn.execute("select public.leave_coach(%s)", [relation])
    book()
    assert one(owner, "select status from public.coach_clients where id = %s", relation) == "active"
    with as_user(coach) as conn:
        conn.execute("update public.coach_clients set status = 'ended' where id = %s", [relation])
    with pytest.raises(psycopg.Error) as refusal:
        book()
    assert refusal.value.diag.constraint_name == "relation_ended"
    assert one(owner, "select count(*) from public.sessions where client_id = %s", client) == 2


def test_somebody_with_sessions_cannot_be_deleted_but_made_anonymous(owner: Owner, as_user: AsUser) -> None:
    coach, client = person(owner, "coach"), person(owner, "client")
    owner.execute(
        "insert into public.sessions (coach_id, client_id, title, scheduled_at) "
        "values (%s, %s, 'Past', now() - interval '9 days')",
        [coach, client],
    )
    for user_id in (coach, client):
        with pytest.raises(psycopg.Error) as refusal:
            owner.execute("delete from auth.users where id = %s", [user_id])
        assert refusal.value.diag.constraint_name == "user_has_history"
    admin = person(owner, "admin")
    with as_user(admin) as conn:
        conn.execute("select public.anonymise_user(%s, 'asked for it')", [client])
    row = owner.execute("select email, first_name, status::text from public.users where id = %s", [client]).fetchone()
    assert row == {"email": f"{client}@anonymous.invalid", "first_name": None, "status": "inactive"}
    assert one(owner, "select count(*) from public.sessions where client_id = %s", client) == 1


def test_somebody_without_history_can_be_deleted(owner: Owner) -> None:
    coach = person(owner, "coach")
    owner.execute("delete from auth.users where id = %s", [coach])
    assert one(owner, "select count(*) from public.users where id = %s", coach) == 0


def test_an_idempotency_key_is_claimed_once_and_gives_its_first_answer_again(owner: Owner, as_user: AsUser) -> None:
    somebody, other = person(owner, "client"), person(owner, "client")
    claim: LiteralString = "select * from private.claim_idempotency_key('k', 'f')"
    with as_user(somebody) as conn:
        assert (conn.execute(claim).fetchone() or {})["is_new"] is True
        conn.execute("select private.keep_idempotent_answer('k', 201, '{}', 'body')")
    with as_user(somebody) as conn:
        again = conn.execute(claim).fetchone() or {}
        assert (again["is_new"], again["response_status"], bytes(again["response_body"])) == (False, 201, b"body")
    with refused("was used for another request"), as_user(somebody) as conn:
        conn.execute("select * from private.claim_idempotency_key('k', 'another')")
    with as_user(other) as conn:
        assert (conn.execute(claim).fetchone() or {})["is_new"] is True


@pytest.mark.parametrize(
    ("zone", "known"),
    [
        ("Asia/Jerusalem", True), ("UTC", True), ("America/Argentina/Buenos_Aires", True),
        ("America/Port-au-Prince", True),
        ("Etc/GMT+5", True), ("EST", False), ("EST5EDT", False), ("Foo/Bar", False), ("Foo/Bar3", False),
        ("+03:00", False),
        ("", False), ("posix/Asia/Jerusalem", False), (None, False), ("Asia/Jerusalem; drop", False),
        ("A" * 500, False),
    ],
)  # fmt: skip
def test_time_zones_are_iana_names(owner: Owner, zone: str | None, known: bool) -> None:
    assert one(owner, "select private.is_time_zone(%s)", zone) is known


@pytest.mark.parametrize(
    ("code", "exponent"),
    [("ILS", 2), ("USD", 2), ("JPY", 0), ("KWD", 3), ("XXX", None), ("ils", None), ("", None), (None, None)],
)
def test_currencies_are_those_of_iso_4217(owner: Owner, code: str | None, exponent: int | None) -> None:
    assert one(owner, "select private.currency_exponent(%s)", code) == exponent
    assert one(owner, "select private.is_currency(%s)", code) is (exponent is not None)
