"""What is written to sessions and payments during an adoption in small steps ends as the whole way would end it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
import pytest

from loom.db.adoption import apply, online
from loom.db.adoption.apply import apply_plan
from loom.db.adoption.decisions import Decisions
from loom.db.check import check
from loom.db.migrate import connect
from loom.db.statements import split_statements
from tests.adoption.cases import Cases
from tests.adoption.test_interrupted import meaning
from tests.adoption.test_online import give_up_at
from tests.support.cluster import Cluster

HERE = Path(__file__).parent
NONE = Decisions()

# The parts of the small steps before which something is written, each with people and sessions of its own.
PARTS = ("_walk_people", "_walk_payments", "_walk_messages", "build_key_indexes", "build_constraints")
STEPS = ("notification_preferences", "payments_session", "sessions_paid", "sessions_unbilled", "session_attendees")
MOMENTS = (*PARTS, *STEPS, "before the swap", "last")


def run(url: str, moment: str, file: str) -> None:
    """The statements of the file, for that moment, each in a transaction of its own."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("select set_config('test.moment', %s, false)", [moment])
        conn.execute(
            "create function pg_temp.id(what text) returns uuid language sql stable as"
            " $$ select md5(current_setting('test.moment') || ' ' || what)::uuid $$"
        )
        for statement in split_statements((HERE / file).read_text("utf-8")):
            done = conn.execute(cast("LiteralString", statement))
            assert done.rowcount != 0, f"{moment}: {statement}"


def prepared(url: str) -> None:
    """The people and sessions of all moments."""
    with psycopg.connect(url, autocommit=True) as conn:
        # The check follows the clock and refuses to change a session that is over.
        conn.execute("alter table public.sessions drop constraint sessions_future_or_current")
    for moment in MOMENTS:
        run(url, moment, "money_goes_on_before.sql")


def written_at_each(monkeypatch: pytest.MonkeyPatch, url: str) -> list[str]:
    """From now on an adoption in small steps of that database is written to at every moment; which ones came."""
    came: list[str] = []

    def write(moment: str) -> None:
        if moment not in came:
            came.append(moment)
            run(url, moment, "money_goes_on.sql")

    def before(module: Any, part: str, moment: Callable[..., str | None]) -> None:
        real = getattr(module, part)

        def hooked(*args: Any, **options: Any) -> Any:
            if (now := moment(*args, **options)) is not None:
                write(now)
            return real(*args, **options)

        monkeypatch.setattr(module, part, hooked)

    for part in PARTS:
        before(online, part, lambda *_args, part=part, **_options: part)
    before(online, "_walk_step", lambda _conn, name, _report: name if name in STEPS else None)
    before(online, "set_not_null", lambda *_args, only=None: "before the swap" if only else None)
    real = online.settle

    def settled(conn: online.Conn) -> None:
        real(conn)
        write("last")

    monkeypatch.setattr(apply, "settle", settled)
    return came


def money(url: str) -> dict[str, list[tuple[object, ...]]]:
    """What became of everything but relations, which stay once they were seen; and what is remembered of it."""
    found = {table: rows for table, rows in meaning(url).items() if table != "coach_clients"}
    with connect(url) as conn:
        found["remembered"] = conn.execute(
            "select kind, key, value from private.adoption_decisions"
            " where kind in ('sessions.unbilled', 'payments.session', 'users.timezone') order by 1, 2"
        ).fetchall()
        found["choices"] = conn.execute("select user_id from public.notification_preferences order by 1").fetchall()
        found["receivers"] = conn.execute(
            "select p.id, m.user_id from public.payments as p"
            " join public.practice_members as m on m.practice_id = p.practice_id order by 1, 2"
        ).fetchall()
    return found


@pytest.fixture(scope="module")
def expected(cluster: Cluster, cases: Cases) -> dict[str, list[tuple[object, ...]]]:
    """What the whole way makes of all of it."""
    with cases.copy("small") as whole:
        prepared(cluster.url(whole))
        for moment in MOMENTS:
            run(cluster.url(whole), moment, "money_goes_on.sql")
        apply_plan(cluster.url(whole), NONE)
        return money(cluster.url(whole))


@pytest.mark.parametrize("given_up", [False, True], ids=["to the end", "given up for the whole"])
def test_what_is_written_at_any_moment_ends_as_the_whole_way_ends_it(
    cluster: Cluster,
    cases: Cases,
    monkeypatch: pytest.MonkeyPatch,
    expected: dict[str, list[tuple[object, ...]]],
    *,
    given_up: bool,
) -> None:
    # Most of it is settled beforehand, the rest by the migration; of a run that was given up, all by the migration.
    monkeypatch.setattr(online, "_SETTLED_AT_ONCE", 100)
    with cases.copy("small") as steps:
        url = cluster.url(steps)
        prepared(url)
        came = written_at_each(monkeypatch, url)
        if given_up:
            give_up_at(cluster, steps, "build_key_indexes")
            for moment in sorted({*MOMENTS} - {*came}):
                run(url, moment, "money_goes_on.sql")
            apply_plan(url, NONE)
        else:
            apply_plan(url, NONE, online=True)
            assert sorted(came) == sorted(MOMENTS)
        found = money(url)
        for table, rows in expected.items():
            assert found[table] == rows, table
        with connect(url) as conn:
            assert check(conn) == []
