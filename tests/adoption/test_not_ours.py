"""Databases that cannot be adopted as they are: each has a message and an exit code of its own, and stays as it is."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from loom.core.errors import ExitCode
from loom.db.adoption.decisions import Decisions
from loom.db.adoption.plan import read_plan
from loom.db.check import check
from loom.db.migrate import connect
from tests.adoption.cases import Cases
from tests.adoption.test_adopt import everything
from tests.cli.running import loom
from tests.db.test_migrate import set_version
from tests.support.cluster import Cluster


def adopt(url: str, *options: str) -> tuple[int, str]:
    """Exit code and what was said."""
    done = loom("db", "adopt", *options, "--database-url", url)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def refused(url: str, code: ExitCode, *told: str) -> None:
    """Plan and apply both refuse, and nothing changes."""
    before = everything(url)
    for command in ("--plan", "--apply"):
        found, text = adopt(url, command)
        assert found == code, text
        for words in told:
            assert words in text
    assert everything(url) == before


@pytest.fixture
def small(cluster: Cluster, cases: Cases) -> Iterator[str]:
    with cases.copy("small") as name:
        yield cluster.url(name)


@pytest.fixture
def by_hand(cluster: Cluster, cases: Cases) -> Iterator[str]:
    with cases.copy("by_hand") as name:
        yield cluster.url(name)


def test_an_address_where_nobody_answers() -> None:
    for url in ("postgresql://nobody@127.0.0.1:1/nothing", "postgresql://nobody@127.0.0.1:1/nothing?sslmode=wrong"):
        code, text = adopt(url, "--plan")
        assert code == ExitCode.UNREACHABLE
        assert "cannot be reached" in text


def test_a_database_of_something_else(cluster: Cluster) -> None:
    name = cluster.create()
    url = cluster.url(name, "postgres")
    try:
        with connect(url) as conn:
            conn.execute("create table public.films (id integer primary key); insert into public.films values (1)")
        refused(url, ExitCode.NOT_LOOM, "not a database that Loom grew from")
    finally:
        cluster.drop(name)


def test_one_with_a_few_tables_of_those_names(cluster: Cluster) -> None:
    """Also for a login that could not bring what such a database lacks."""
    name = cluster.create()
    try:
        with psycopg.connect(cluster.url(name, "postgres"), autocommit=True) as conn:
            conn.execute("create schema if not exists public authorization pg_database_owner")
            conn.execute("grant all on schema public to loom_owner")
        with connect(cluster.url(name)) as conn:
            conn.execute("create table public.users (id integer); create table public.payments (id integer)")
        refused(cluster.url(name), ExitCode.NOT_LOOM, "not a database that Loom grew from")
    finally:
        cluster.drop(name)


def test_a_session_that_only_reads_can_plan(small: str) -> None:
    url = make_conninfo(small, options="-c default_transaction_read_only=on")
    before = everything(small)
    assert adopt(url, "--plan")[0] == ExitCode.OK
    code, text = adopt(url, "--apply")
    assert (code, "this session only reads" in text) == (ExitCode.FAILED, True), text
    assert everything(small) == before


def test_a_login_that_may_not_look_at_an_adopted_one(cluster: Cluster) -> None:
    name = cluster.create(cluster.template())
    with psycopg.connect(cluster.superuser, autocommit=True) as conn:
        conn.execute("create role stranger login nosuperuser password 'stranger'")
        try:
            url = make_conninfo(cluster.superuser, dbname=name, user="stranger", password="stranger")
            for command in (["adopt", "--plan"], ["adopt", "--apply"], ["check"], ["status"]):
                done = loom("db", *command, "--database-url", url)
                assert (done.returncode, "Traceback" in done.stderr) == (ExitCode.NO_RIGHTS, False), done.stderr
                assert "sign in as the owner of the tables" in done.stderr
        finally:
            cluster.drop(name)
            conn.execute("drop role stranger")


def test_a_login_that_may_not(cluster: Cluster, cases: Cases) -> None:
    with cases.copy("small") as name, psycopg.connect(cluster.superuser, autocommit=True) as conn:
        conn.execute("create role visitor login nosuperuser password 'visitor'")
        try:
            url = make_conninfo(cluster.superuser, dbname=name, user="visitor", password="visitor")
            code, text = adopt(url, "--plan")
            assert code == ExitCode.NO_RIGHTS, text
            assert "membership in loom_owner, who owns the tables" in text
            code, text = adopt(url, "--apply")
            assert code == ExitCode.NO_RIGHTS, text
        finally:
            conn.execute("drop role visitor")


def test_what_somebody_else_owns_is_seen_with_what_to_do_about_it(cluster: Cluster, cases: Cases) -> None:
    """An adoption by an ordinary owner cannot close what a superuser left open: the plan gives the statements."""
    with cases.copy("small") as name, psycopg.connect(cluster.url(name, "postgres"), autocommit=True) as other:
        other.execute(
            "create view public.all_sessions as select id, title from public.sessions;"
            "create materialized view public.all_payments as select id, amount_cents from public.payments;"
            "create function public.all_users() returns setof public.users language sql security definer"
            " set search_path = '' as 'select * from public.users';"
            "grant select on public.all_sessions, public.all_payments to anon"
        )
        whose = other.info.user
        with connect(cluster.url(name)) as conn:
            plan = read_plan(conn, Decisions())
        assert plan.exit_code is ExitCode.OK
        kinds = {"all_sessions": "view", "all_payments": "materialized view", "public.all_users()": "function"}
        mending = {item.name: item for item in plan.seen if item.name in kinds}
        assert {item.name: item.kind for item in mending.values()} == {
            known: f"{kind} of {whose}" for known, kind in kinds.items()
        }
        assert not {item.name for item in plan.replaced} & set(kinds)
        assert "all_sessions set (security_invoker = true)" in adopt(cluster.url(name), "--plan")[1]
        assert adopt(cluster.url(name), "--apply")[0] == ExitCode.OK
        opened = "select has_table_privilege('anon', 'public.all_sessions', 'select'), has_table_privilege('anon',"
        opened += " 'public.all_payments', 'select'), has_function_privilege('anon', 'public.all_users()', 'execute')"
        assert other.execute(sql.SQL(opened)).fetchone() == (True, True, True)  # type: ignore[arg-type]
        for item in mending.values():
            other.execute(sql.SQL(item.why.partition(": ")[2]))  # type: ignore[arg-type]
        assert other.execute(sql.SQL(opened)).fetchone() == (False, False, False)  # type: ignore[arg-type]


def test_what_is_mended_is_not_said_to_be_left_alone(small: str) -> None:
    with connect(small) as conn:
        plan = read_plan(conn, Decisions())
    replaced, seen = ({(item.kind, item.name) for item in found} for found in (plan.replaced, plan.seen))
    assert {("table", "session_ratings"), ("function", "public.custom_access_token_hook(jsonb)")} <= replaced
    assert any(kind == "policy" and name.endswith(" on notification_delivery_logs") for kind, name in replaced)
    assert not {name for _kind, name in replaced if _kind != "function"} & {name for _kind, name in seen}
    assert all(item.why for item in (*plan.replaced, *plan.seen))


@pytest.mark.parametrize("time", ["infinity", "-infinity", "294276-12-31 23:59"])
def test_sessions_at_the_end_of_time(small: str, time: str) -> None:
    with connect(small) as conn:
        conn.execute("alter table public.sessions drop constraint sessions_future_or_current")
        row = conn.execute(
            "update public.sessions set scheduled_at = %s, duration_minutes = 2147483647"
            " where id = (select id from public.sessions order by id limit 1) returning id::text",
            [time],
        ).fetchone()
    assert row is not None
    refused(small, ExitCode.OPEN_QUESTIONS, f"sessions.scheduled_at is {time}", row[0])


def test_options_that_make_no_sense(small: str) -> None:
    before = everything(small)
    code, text = adopt(small, "--apply", "--rename-table", "payments=x")
    assert (code, "Loom takes that table over" in text) == (ExitCode.OPEN_QUESTIONS, True), text
    code, text = adopt(small, "--apply", "--lock-timeout", "abc")
    assert (code, "no length of time" in text) == (2, True), text
    assert everything(small) == before


def test_a_newer_loom_was_here(cluster: Cluster) -> None:
    name = cluster.create(cluster.template())
    url = cluster.url(name)
    try:
        with psycopg.connect(url, autocommit=True) as conn:
            set_version(conn, "29990101000000")
        refused(url, ExitCode.NEWER, "belongs to a newer Loom", "29990101000000")
    finally:
        cluster.drop(name)


def test_one_that_is_adopted_already(cluster: Cluster) -> None:
    name = cluster.create(cluster.template())
    try:
        for command in ("--plan", "--apply"):
            code, text = adopt(cluster.url(name), command)
            assert (code, "adopted already" in text) == (ExitCode.OK, True)
    finally:
        cluster.drop(name)


def test_one_adopted_by_hand_halfway(by_hand: str) -> None:
    refused(by_hand, ExitCode.HALF_ADOPTED, "session_attendees is there without Loom's columns", "--drop-empty-tables")
    code, text = adopt(by_hand, "--apply", "--drop-empty-tables")
    assert code == ExitCode.OK, text
    with connect(by_hand) as conn:
        assert check(conn) == []


def test_rows_of_a_table_made_by_hand_are_never_dropped(by_hand: str) -> None:
    with connect(by_hand) as conn:
        conn.execute(
            "insert into public.payment_methods (user_id, type, provider, is_default)"
            " select u.id, 'credit_card', 'tranzila', true from public.users as u, generate_series(1, 2)"
            " order by u.id limit 2"
        )
    code, text = adopt(by_hand, "--plan", "--drop-empty-tables")
    assert code == ExitCode.HALF_ADOPTED
    assert "--rename-table payment_methods=payment_methods_before_loom" in text
    assert "has 2 default payment methods" in text
    with connect(by_hand) as conn:
        conn.execute("update public.payment_methods set is_default = false")
    options = ("--drop-empty-tables", "--rename-table", "payment_methods=payment_methods_before_loom")
    code, text = adopt(by_hand, "--apply", *options)
    assert code == ExitCode.OK, text
    with connect(by_hand) as conn:
        assert check(conn) == []
        kept = conn.execute("select count(*) from public.payment_methods_before_loom").fetchone()
        assert kept == (2,)


def test_a_payment_that_points_to_a_table_made_by_hand_is_not_untied(by_hand: str) -> None:
    with connect(by_hand) as conn:
        conn.execute(
            "with i as (insert into public.payment_intents (amount_cents) values (100) returning id)"
            " update public.payments set intent_id = (select id from i)"
        )
    before = everything(by_hand)
    options = ("--drop-empty-tables", "--rename-table", "payment_intents=payment_intents_before_loom")
    code, text = adopt(by_hand, "--apply", *options)
    assert code == ExitCode.FAILED
    assert "rows of payments point to payment_intents by intent_id" in text.replace("public.", "")
    assert everything(by_hand) == before


def test_invoices_of_another_shape_are_moved_out_of_the_way(small: str) -> None:
    with connect(small) as conn:
        conn.execute(
            "create table public.invoices (id uuid primary key, payment_id uuid, total numeric, number text unique);"
            "create index invoices_user_idx on public.invoices (payment_id);"
            "insert into public.invoices values (gen_random_uuid(), null, 12.5, 'INV-2025-000001')"
        )
    refused(
        small, ExitCode.OPEN_QUESTIONS, "table invoices is there without Loom's columns", "--rename-table invoices="
    )
    code, text = adopt(small, "--apply", "--rename-table", "invoices=old_invoices")
    assert code == ExitCode.OK, text
    with connect(small) as conn:
        assert check(conn) == []
        assert conn.execute("select number from public.old_invoices").fetchone() == ("INV-2025-000001",)


SHAPES = [
    ("alter table public.reflections drop column insights", "reflections.insights is missing"),
    (
        "alter table public.message_attachments alter column file_size type bigint",
        "file_size is bigint, not integer",
    ),
    ("create type public.refund_status as enum ('other')", "type refund_status is there with other labels"),
    (
        "create function public.mark_read(p_conversation_id uuid, p_seq bigint) returns int language sql return 1",
        "function public.mark_read",
    ),
    ("create view public.paid as select id from public.payments where status = 'paid'", "view public.paid reads"),
    (
        "create index paid_ones on public.payments (user_id) where status = 'paid'",
        "index public.paid_ones names the text of payments.status",
    ),
    (
        "alter table public.payments add constraint known check (status <> '')",
        "check known names the text of payments.status",
    ),
    (
        "create policy paying on public.coach_profiles using ((select min(status) from public.payments) > '')",
        "policy paying on table public.coach_profiles reads payments.status",
    ),
    (
        "alter table public.payments add column paid boolean generated always as (status = 'paid') stored",
        "column paid of table public.payments reads payments.status",
    ),
    (
        "create function public.paid() returns bigint begin atomic select count(status) from public.payments; end",
        "function public.paid() reads payments.status",
    ),
    ("drop table public.typing_indicators", "typing_indicators"),
    (
        "alter table public.payments add column refunded_cents numeric default 0",
        "payments.refunded_cents is numeric",
    ),
    (
        "alter table public.sessions add column currency varchar(10)",
        "currency is character varying(10), and Loom's",
    ),
    ("alter table public.messages add column seq text", "alter table public.messages rename column seq to seq_be"),
    ("alter table public.sessions force row level security", "alter table public.sessions no force row level secu"),
]


def test_shapes_that_loom_does_not_know_are_all_asked_about(small: str) -> None:
    with connect(small) as conn:
        for change, _ in SHAPES:
            conn.execute(sql.SQL(change))  # type: ignore[arg-type]
    before = everything(small)
    code, text = adopt(small, "--plan")
    assert code in {ExitCode.OPEN_QUESTIONS, ExitCode.NOT_LOOM}, text
    assert [told for _, told in SHAPES if told not in text] == []
    assert adopt(small, "--apply")[0] == code
    assert everything(small) == before
