"""`loom db check` finds what somebody changed by hand, in the catalogue and in the rows."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from loom.core.errors import ExitCode
from loom.db.check import INVARIANTS, look
from loom.db.migrate import connect
from tests.adoption.cases import Cases
from tests.cli.running import loom
from tests.support.cluster import Cluster


@pytest.fixture(scope="module")
def adopted(cluster: Cluster, cases: Cases) -> Iterator[str]:
    """An adopted database with rows; each test takes back what it does."""
    from loom.db.adoption.apply import apply_plan
    from loom.db.adoption.decisions import Decisions

    with cases.copy("dirty") as name:
        apply_plan(cluster.url(name), Decisions())
        yield cluster.url(name, "postgres")


def found(url: str, change: str) -> set[tuple[str, str]]:
    """What the check says after a change, which is then taken back."""
    with psycopg.connect(url) as conn:
        conn.execute(sql.SQL(change))  # type: ignore[arg-type]
        findings = look(conn)
        conn.rollback()
    return {(finding.what, finding.where) for finding in findings}


@pytest.mark.parametrize(
    ("change", "kind", "where"),
    [
        ("drop policy payments_select_payer on public.payments", "policy", "public.payments.payments_select_payer"),
        ("create policy everybody on public.payments using (true)", "policy", "public.payments.everybody"),
        ("alter table public.users disable row level security", "relation", "public.users"),
        ("grant delete on public.payments to authenticated", "grant", "public.payments to authenticated"),
        ("grant update (role) on public.users to authenticated", "grant", "public.users.role to authenticated"),
        ("revoke select on public.sessions from authenticated", "grant", "public.sessions to authenticated"),
        ("grant execute on function private.enqueue to anon", "grant", "private.enqueue(%"),
        ("alter table public.sessions disable trigger sessions_touch", "trigger", "public.sessions.sessions_touch"),
        ("alter table public.payments drop constraint payments_refunds_within", "constraint", "public.payments.%"),
        ("drop index public.payments_session_idx", "index", "public.payments.payments_session_idx"),
        ("alter table public.sessions alter column ends_at drop not null", "column", "public.sessions.ends_at"),
        (
            "create or replace function private.me() returns uuid language sql stable as $$ select null::uuid $$",
            "function",
            "private.me()",
        ),
        ("alter type public.payment_status add value 'lost'", "enum", "public.payment_status"),
    ],
)  # fmt: skip
def test_drift_of_the_catalogue(adopted: str, change: str, kind: str, where: str) -> None:
    findings = found(adopted, change)
    assert any(what == kind and (at == where or at.startswith(where.rstrip("%"))) for what, at in findings), findings


@pytest.mark.parametrize(
    ("change", "kind", "where"),
    [
        ("drop schema jobs cascade", "schema", "jobs"),
        ("alter role authenticated bypassrls", "role", "authenticated"),
        ("alter role anon superuser", "role", "anon"),
        ("grant service_role to authenticated", "role", "authenticated"),
        ("create role inner_circle; grant loom_owner to inner_circle; grant inner_circle to anon", "role", "anon"),
    ],
)
def test_what_lies_around_the_catalogue(adopted: str, change: str, kind: str, where: str) -> None:
    assert (kind, where) in found(adopted, change)


def test_what_does_not_concern_loom_is_no_drift(adopted: str) -> None:
    assert (
        found(adopted, "create table public.films (id int); alter table public.users add column nickname text") == set()
    )
    assert found(adopted, "create index on public.users (first_name)") == set()
    assert found(adopted, "create role choir; grant choir to authenticated") == set()


OVERLAP = """
  insert into public.sessions
  select (jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid()))).*
  from public.sessions as s where s.status = 'scheduled' and s.scheduled_at > now() limit 1
"""
REFUND = """
  insert into public.payment_refunds (payment_id, amount_cents, currency, status)
  select id, 1, currency, 'succeeded' from public.payments where status = 'paid' limit 1
"""


@pytest.mark.parametrize(
    ("invariant", "change"),
    [
        ("sessions_without_their_seats", "delete from public.session_attendees where role = 'coach'"),
        ("sessions_that_end_at_another_time", "update public.sessions set ends_at = ends_at + interval '1 minute'"),
        ("sessions_ahead_that_block_no_time", "delete from public.coach_blocks"),
        ("sessions_ahead_that_overlap", OVERLAP),
        ("sessions_billed_otherwise_than_their_seats", "update public.sessions set billing_status = 'written_off'"),
        (
            "payments_allocated_otherwise_than_their_allocations",
            "update public.payments set allocated_cents = 1 where refunded_cents = 0",
        ),
        ("payments_refunded_otherwise_than_their_refunds", REFUND),
        ("conversations_with_gaps", "update public.conversations set last_seq = last_seq + 1"),
        ("orphans", "delete from public.users where role = 'client'"),
    ],
)  # fmt: skip
def test_broken_invariants_of_the_data(adopted: str, invariant: str, change: str) -> None:
    """With triggers off, as a careless load would do it."""
    with psycopg.connect(adopted) as conn:
        conn.execute("set local session_replication_role = 'replica'")
        conn.execute(sql.SQL(change))  # type: ignore[arg-type]
        conn.execute("set local session_replication_role = 'origin'")
        assert conn.execute("select 1").rowcount == 1
        findings = {finding.what for finding in look(conn)}
        conn.rollback()
    assert invariant in findings


def test_every_invariant_can_be_asked(adopted: str) -> None:
    with connect(adopted) as conn:
        for query in INVARIANTS.values():
            assert conn.execute(query, {}).fetchall() == []


def test_the_exit_code_is_for_monitoring(cluster: Cluster, cases: Cases) -> None:
    from loom.db.adoption.apply import apply_plan
    from loom.db.adoption.decisions import Decisions

    with cases.copy("small") as name:
        url = cluster.url(name)
        early = loom("db", "check", "--database-url", url)
        assert early.returncode == ExitCode.FAILED
        assert "loom db adopt" in early.stderr
        apply_plan(url, Decisions())
        assert loom("db", "check", "--database-url", url).returncode == ExitCode.OK
        with connect(url) as conn:
            conn.execute("drop policy payments_select_payer on public.payments")
        done = loom("db", "check", "--json", "--database-url", url)
        assert done.returncode == ExitCode.DRIFT
        assert [item["where"] for item in json.loads(done.stdout)] == ["public.payments.payments_select_payer"]
