"""Sessions of a database that is older than the extension: nothing is lost, and what cannot stand is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import LiteralString, cast
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from loom.db.schema_files import EXTENSION, supabase_dir
from tests.support.cluster import Cluster

BASE = "20261101000000_create_base_tables.sql"
Owner = psycopg.Connection[DictRow]


def apply(conn: Owner, name: str) -> None:
    """A migration in one transaction, as every runner does it."""
    with conn.transaction():
        conn.execute(cast("LiteralString", (supabase_dir() / "migrations" / name).read_text("utf-8")))


@pytest.fixture
def old(cluster: Cluster) -> Iterator[Owner]:
    """A database with the base tables, a coach, a client, and sessions from before."""
    name = cluster.create()
    cluster.platform(name)
    with psycopg.connect(cluster.url(name), autocommit=True, row_factory=dict_row) as conn:
        apply(conn, BASE)
        for who, role in (("coach", "coach"), ("client", "client")):
            user_id = uuid4()
            conn.execute("insert into auth.users (id, email) values (%s, %s)", [user_id, f"{who}@example.com"])
            conn.execute(
                "insert into public.users (id, email, role, first_name, timezone)"
                " values (%s, %s, %s, %s, 'Asia/Jerusalem')"
                " on conflict (id) do update set role = excluded.role, timezone = excluded.timezone",
                [user_id, f"{who}@example.com", role, who.title()],
            )
        yield conn
    cluster.drop(name)


def add(conn: Owner, title: str, offset: str, status: str = "scheduled", minutes: int = 60) -> None:
    conn.execute(
        "insert into public.sessions (coach_id, client_id, title, scheduled_at, duration_minutes, status, created_at)"
        " select c.id, k.id, %s, date_trunc('hour', now()) + %s::interval, %s, %s, now() - interval '400 days'"
        " from public.users c, public.users k where c.email = 'coach@example.com' and k.email = 'client@example.com'",
        [title, offset, minutes, status],
    )


def test_old_sessions_get_their_seats_times_and_blocks(old: Owner) -> None:
    add(old, "past", "-300 days", "completed", 45)
    add(old, "moved", "-200 days", "rescheduled")
    add(old, "overlapping past", "-300 days", "completed")
    add(old, "ahead", "3 days")
    add(old, "cancelled", "3 days", "cancelled")
    # As it stood in old databases; the migration must be able to change sessions in spite of it.
    old.execute(
        "alter table public.sessions add constraint sessions_future_or_current"
        " check (scheduled_at >= now() - interval '1 day') not valid"
    )
    apply(old, EXTENSION)
    sessions = old.execute(
        "select title, type, status, timezone, billing_status, currency, price_cents,"
        " extract(epoch from ends_at - scheduled_at) / 60 as minutes,"
        " (select count(*) from public.session_attendees a where a.session_id = s.id) as seats,"
        " (select count(*) from public.coach_blocks b where b.session_id = s.id) as blocks"
        " from public.sessions s order by title"
    ).fetchall()
    assert [(s["title"], s["status"], int(s["minutes"]), s["seats"], s["blocks"]) for s in sessions] == [
        ("ahead", "scheduled", 60, 2, 1),
        ("cancelled", "cancelled", 60, 2, 0),
        ("moved", "rescheduled", 60, 2, 0),
        ("overlapping past", "completed", 60, 2, 0),
        ("past", "completed", 45, 2, 0),
    ]
    assert {(s["type"], s["timezone"], s["billing_status"], s["currency"], s["price_cents"]) for s in sessions} == {
        ("individual", "Asia/Jerusalem", "unbilled", "ILS", None)
    }
    seats = old.execute(
        "select a.role, u.email, a.status, a.created_at = s.created_at as as_old,"
        " a.coach_client_id is not null as client"
        " from public.session_attendees a join public.sessions s on s.id = a.session_id"
        " join public.users u on u.id = a.user_id where s.title = 'past' order by a.role"
    ).fetchall()
    assert [(s["role"], s["email"], s["status"], s["as_old"], s["client"]) for s in seats] == [
        ("client", "client@example.com", "confirmed", True, True),
        ("coach", "coach@example.com", "confirmed", True, False),
    ]
    # An old session can be changed again, since the check that compared with the clock is gone.
    old.execute("update public.sessions set notes = 'late' where title = 'past'")
    before = old.execute("select count(*) as n from public.session_attendees").fetchone()
    apply(old, EXTENSION)
    assert old.execute("select count(*) as n from public.session_attendees").fetchone() == before


def test_sessions_ahead_that_overlap_stop_the_migration_by_name_and_nothing_is_changed(old: Owner) -> None:
    add(old, "first", "3 days")
    add(old, "second", "3 days 30 minutes")
    add(old, "third", "3 days 60 minutes", "cancelled")
    with pytest.raises(psycopg.errors.RaiseException) as stopped:
        apply(old, EXTENSION)
    message = stopped.value.diag.message_primary or ""
    assert '"first"' in message
    assert '"second"' in message
    assert '"third"' not in message
    assert old.execute("select to_regclass('public.session_attendees') as t").fetchone() == {"t": None}
    old.execute("update public.sessions set status = 'cancelled' where title = 'second'")
    apply(old, EXTENSION)
    assert old.execute("select count(*) as n from public.coach_blocks").fetchone() == {"n": 1}
