"""`loom db adopt`: the plan says what will happen, the apply does that and nothing else."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Iterator
from typing import Any, LiteralString, cast

import psycopg
import pytest
from psycopg.rows import dict_row

from loom.core.errors import ExitCode
from loom.db.adoption.apply import OpenQuestions, Proof, apply_plan
from loom.db.adoption.decisions import Decisions
from loom.db.adoption.plan import Plan, read_plan
from loom.db.catalogue import read_facts
from loom.db.check import check
from loom.db.migrate import connect
from tests.adoption.cases import Cases
from tests.cli.running import loom
from tests.support.cluster import Cluster

NONE = Decisions()


def everything(url: str) -> tuple[Any, ...]:
    """Catalogue and rows, to be compared with later."""
    with connect(url) as conn:
        tables = conn.execute(
            "select c.oid::regclass::text from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
            " where c.relkind = 'r' and n.nspname in ('public', 'private', 'auth', 'jobs', 'supabase_migrations')"
            " order by 1"
        ).fetchall()
        rows = {
            table: conn.execute(
                cast(
                    "LiteralString",
                    f"select count(*), md5(string_agg(md5(t::text), '' order by md5(t::text))) from {table} as t",
                )
            ).fetchone()
            for (table,) in tables
        }
        return read_facts(conn), rows


def plan_of(url: str, decisions: Decisions = NONE) -> Plan:
    with connect(url) as conn:
        return read_plan(conn, decisions)


@pytest.fixture
def dirty(cluster: Cluster, cases: Cases) -> Iterator[str]:
    with cases.copy("dirty") as name:
        yield cluster.url(name)


@pytest.fixture
def stopped(cluster: Cluster, cases: Cases) -> Iterator[str]:
    with cases.copy("stopped") as name:
        yield cluster.url(name)


def answers(url: str) -> list[str]:
    """Options for every question that an option can answer."""
    options: list[str] = []
    for question in plan_of(url).questions:
        option, _, answer = question.answer.partition(" '")
        if option.startswith("--map-"):
            options += [option, answer.partition("=")[0] + ("=failed" if option == "--map-status" else "=ILS")]
    return options


def settle(url: str) -> None:
    """What no option can say: one of two accounts gets another address, one of two sessions is called off."""
    with connect(url) as conn:
        for question in plan_of(url).questions:
            if question.code == "doubled_address":
                conn.execute("update public.users set email = 'x' || email where id = %s", [question.ids[0]])
        conn.execute("alter table public.sessions drop constraint sessions_future_or_current")
        while ahead := [q for q in plan_of(url).questions if q.code == "overlap_ahead"]:
            conn.execute("update public.sessions set status = 'cancelled' where id = %s", [ahead[0].ids[0]])


def test_a_plan_touches_nothing(dirty: str) -> None:
    before = everything(dirty)
    done = loom("db", "adopt", "--plan", "--database-url", dirty)
    assert done.returncode == ExitCode.OK, done.stderr
    assert "Nothing is open" in done.stdout
    assert everything(dirty) == before


def test_the_apply_does_what_the_plan_says(dirty: str) -> None:
    plan = plan_of(dirty)
    said = {(item.what, item.before, item.after): item.rows for item in plan.changes}
    proof = apply_plan(dirty, NONE)
    assert proof is not None
    with psycopg.connect(dirty, row_factory=dict_row) as conn:

        def number(query: LiteralString, *params: object) -> int:
            row = conn.execute(query, params).fetchone()
            assert row is not None
            return int(row["count"])

        for (what, before, after), rows in said.items():
            if what == "payments.status":
                found = number(
                    "select count(*) from public.payments"
                    " where metadata ->> 'status_before_loom' = %s and status::text = %s",
                    eval(before),  # noqa: S307 - the repr that the plan shows
                    after,
                )
                assert found == rows, (before, after)
        linked = sum(rows for (what, _b, _a), rows in said.items() if what == "payments.session_id")
        assert number("select count(*) from public.payments where session_id is not null") == linked > 0
        paid = said["sessions.billing_status", "unbilled", "paid"]
        assert number("select count(*) from public.sessions where billing_status = 'paid'") == paid > 0
        zones = sum(rows for (what, _b, _a), rows in said.items() if what == "users.timezone")
        assert number("select count(*) from private.adoption_decisions where kind = 'users.timezone'") == zones > 0
        profiles = sum(rows for (w, _b, a), rows in said.items() if w == "sessions.currency" and "profile" in a)
        assert (
            number(
                "select count(*) from public.sessions as s join private.adoption_decisions as d"
                " on d.kind = 'coach.currency' and d.key = s.coach_id::text"
            )
            == profiles
            > 0
        )
        assert sum(rows for (w, _b, _a), rows in said.items() if w == "sessions.currency") == number(
            "select count(*) from public.sessions"
        )
        assert any(item.what == "payments" and "profile" in item.after for item in plan.kept)
        for what in ("session_attendees", "coach_clients", "practices"):
            expected = sum(rows for (w, _b, _a), rows in said.items() if w == what)
            assert number(cast("LiteralString", f"select count(*) from public.{what}")) == expected > 0
        overlaps = next(item.rows for item in plan.kept if item.what == "sessions")
        assert number("select count(*) from private.adoption_decisions where kind = 'sessions.overlap'") == overlaps > 0
    with connect(dirty) as conn:
        assert check(conn) == []


def test_rows_and_money_are_counted_before_and_after(dirty: str) -> None:
    with connect(dirty) as conn:
        row = conn.execute("select count(*), sum(amount_cents) from public.payments").fetchone()
        assert row is not None
    proof = apply_plan(dirty, NONE)
    assert isinstance(proof, Proof)
    for counts in (proof.before, proof.after):
        money = [item for item in counts if item.cents is not None]
        assert (sum(item.rows for item in money), sum(item.cents or 0 for item in money)) == row
        assert all(item.what.rpartition(" ")[2] in {"ILS", "USD", "EUR", "JPY"} for item in money)


def test_money_that_would_be_lost_stops_everything(dirty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the proof: a migration that loses a payment is refused."""
    from loom.db.adoption import apply

    real = apply.apply_migration

    def loses(conn: Any, migration: Any, *, lock_timeout: str = "4s") -> None:
        real(conn, migration, lock_timeout=lock_timeout)
        conn.execute("alter table public.payments disable trigger user")
        conn.execute("delete from public.payments where id = (select id from public.payments limit 1)")

    before = everything(dirty)
    monkeypatch.setattr(apply, "apply_migration", loses)
    with pytest.raises(Exception, match="counts would not be the same: payments: 300 rows"):
        apply_plan(dirty, NONE)
    assert everything(dirty) == before


def test_open_questions_change_nothing_and_answers_let_it_through(stopped: str) -> None:
    before = everything(stopped)
    for command in ("--plan", "--apply"):
        done = loom("db", "adopt", command, "--database-url", stopped)
        assert done.returncode == ExitCode.OPEN_QUESTIONS, done.stdout
        assert "--map-status 'chargeback=pending|paid|failed|canceled|refunded'" in done.stdout
        assert "--map-currency 'NIS=ILS'" in done.stdout
    assert everything(stopped) == before
    codes = {question.code for question in plan_of(stopped).questions}
    assert codes == {"unknown_status", "unknown_currency", "doubled_address", "overlap_ahead"}
    options = answers(stopped)
    settle(stopped)
    done = loom("db", "adopt", "--apply", "--json", *options, "--database-url", stopped)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert json.loads(done.stdout)["adopted"] is True
    with connect(stopped) as conn:
        assert check(conn) == []
        row = conn.execute(
            "select count(*) from public.payments"
            " where status = 'failed' and metadata ->> 'status_before_loom' = 'chargeback'"
        ).fetchone()
        assert row is not None
        assert row[0] > 0


def test_an_answer_can_be_pasted_into_a_shell(dirty: str) -> None:
    with connect(dirty) as conn:
        conn.execute("update public.payments set status = 'it''s \"odd\" $HOME', currency = 'l''€' where id = (%s)", [
            conn.execute("select id from public.payments limit 1").fetchone()[0]  # type: ignore[index]
        ])  # fmt: skip
    words = [shlex.split(question.answer.partition(" (or")[0]) for question in plan_of(dirty).questions]
    assert sorted(words) == [
        ["--map-currency", "l'€=ILS"],
        ["--map-status", 'it\'s "odd" $HOME=pending|paid|failed|canceled|refunded'],
    ]


def test_an_answer_that_makes_no_sense_is_refused_before_anything_happens(stopped: str) -> None:
    for option, told in (
        (["--map-status", "chargeback=lost"], "there is no status lost"),
        (["--map-status", "chargeback"], "takes OLD=NEW"),
        (["--map-status", "x=paid", "--map-status", "x=failed"], "says two things about 'x'"),
    ):
        refused = loom("db", "adopt", "--apply", *option, "--database-url", stopped)
        assert refused.returncode == ExitCode.FAILED
        assert told in refused.stderr


STRENGTH = ("SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE")


def test_the_plan_names_every_lock_that_makes_somebody_wait(dirty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from loom.db.adoption import apply

    held: dict[str, str] = {}

    def look(conn: psycopg.Connection[Any], *arguments: Any) -> Any:
        rows = conn.execute(
            "select replace(c.oid::regclass::text, 'public.', ''), l.mode from pg_locks as l"
            " join pg_class as c on c.oid = l.relation and c.relkind = 'r'"
            " join pg_namespace as n on n.oid = c.relnamespace"
            " where l.pid = pg_backend_pid() and n.nspname in ('public', 'auth')"
        ).fetchall()
        for table, mode in rows:
            words = re.sub("(?<!^)([A-Z])", r" \1", mode.removesuffix("Lock")).upper()
            if words in STRENGTH and STRENGTH.index(words) >= STRENGTH.index(held.get(table, "SHARE")):
                held[table] = words
        return count(conn, *arguments)

    count = apply.count
    plan = plan_of(dirty)
    there = {table for kind, name in facts_of(dirty) if kind == "relation" for table in [name.removeprefix("public.")]}
    monkeypatch.setattr(apply, "count", look)
    apply_plan(dirty, NONE)
    said = {lock.table: lock.lock for lock in plan.locks}
    wrong = {
        table: (lock, said.get(table))
        for table, lock in held.items()
        if (table in there or table.startswith("auth."))
        and (table not in said or STRENGTH.index(said[table]) < STRENGTH.index(lock))
    }
    assert wrong == {}
    assert {"auth.users", "file_uploads", "session_ratings", "message_analytics_daily"} <= set(said)


def test_rows_that_the_planner_never_counted_are_counted(cluster: Cluster, cases: Cases) -> None:
    with cases.copy("dirty") as name:
        with psycopg.connect(cluster.url(name, "postgres"), autocommit=True) as conn:
            conn.execute("update pg_class set reltuples = -1 where relnamespace = 'public'::regnamespace")
        plan = plan_of(cluster.url(name))
    assert next(table.rows for table in plan.tables if table.name == "payments") == 300
    assert next(lock.rows for lock in plan.locks if lock.table == "payments") == 300


def facts_of(url: str) -> list[tuple[str, str]]:
    with connect(url) as conn:
        return list(read_facts(conn))


def test_the_plan_is_there_for_programs(dirty: str) -> None:
    done = loom("db", "adopt", "--plan", "--json", "--database-url", dirty)
    plan = json.loads(done.stdout)
    assert plan["exit_code"] == 0
    assert {lock["table"] for lock in plan["locks"]} >= {"sessions", "payments", "messages"}
    kinds = {item["kind"] for item in plan["replaced"]}
    assert kinds == {"constraint", "function", "index", "materialized view", "policy", "table", "trigger", "view"}
    assert any(item["name"] == "sessions_future_or_current on sessions" for item in plan["replaced"])
    assert plan["seen"], "what lies outside the three domains is listed"


def test_adopting_twice_is_adopting_once(dirty: str) -> None:
    apply_plan(dirty, NONE)
    before = everything(dirty)
    assert apply_plan(dirty, NONE) is None
    done = loom("db", "adopt", "--apply", "--database-url", dirty)
    assert (done.returncode, "adopted already" in done.stdout) == (ExitCode.OK, True)
    assert everything(dirty) == before


def test_two_at_once_adopt_it_once(dirty: str) -> None:
    results: list[Proof | None] = []
    both = [threading.Thread(target=lambda: results.append(apply_plan(dirty, NONE))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(120)
    assert sorted(result is None for result in results) == [False, True]
    with connect(dirty) as conn:
        assert check(conn) == []


def test_a_lock_that_is_not_to_be_had_interrupts_and_changes_nothing(dirty: str) -> None:
    before = everything(dirty)
    with psycopg.connect(dirty) as holding:
        holding.execute("update public.payments set description = 'held'")
        done = loom("db", "adopt", "--apply", "--lock-timeout", "200ms", "--database-url", dirty)
        holding.rollback()
    assert done.returncode == ExitCode.INTERRUPTED, done.stderr
    assert "The database is as before" in done.stderr
    assert everything(dirty) == before


def test_an_open_question_is_an_error_of_its_own(stopped: str) -> None:
    with pytest.raises(OpenQuestions) as refused:
        apply_plan(stopped, NONE)
    assert refused.value.exit_code is ExitCode.OPEN_QUESTIONS
