"""An adoption that is cut off leaves the database as it was; one in small steps goes on where it was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import LiteralString, cast

import psycopg
import pytest
from psycopg import sql

from loom.core.errors import ExitCode
from loom.db.adoption.apply import Interrupted, apply_plan
from loom.db.adoption.decisions import Decisions
from loom.db.check import check
from loom.db.migrate import connect
from tests.adoption.cases import Cases
from tests.adoption.fuse import at, cut_off
from tests.adoption.test_adopt import everything
from tests.cli.running import ROOT, environment, loom
from tests.support.cluster import Cluster
from tests.support.waiting import until

NONE = Decisions()
KILLS = 50


@pytest.fixture
def small(cases: Cases) -> Iterator[str]:
    with cases.copy("small") as name:
        yield name


# Counts the changes of the catalogue in a transaction, and ends its own connection at the one it is told.
MINE = """
create schema mine;
create function mine.count() returns event_trigger language plpgsql as $$
declare
  number integer := coalesce(nullif(current_setting('mine.number', true), ''), '0')::integer + 1;
begin
  perform set_config('mine.number', number::text, true);
  if number = current_setting('mine.goes_off_at', true)::integer then
    perform pg_terminate_backend(pg_backend_pid());
    perform pg_sleep(10);
  end if;
end $$;
create event trigger mine on ddl_command_end execute function mine.count();
"""


def test_killed_at_fifty_points_it_changes_nothing(cluster: Cluster, small: str) -> None:
    changes = 1_500
    dice = random.Random(50)  # noqa: S311 - which points does not matter, that they are the same every time does
    with psycopg.connect(cluster.url(small, "postgres"), autocommit=True) as conn:
        conn.execute(MINE)
        before = everything(cluster.url(small))
        for point in sorted(dice.sample(range(1, changes), KILLS)):
            conn.execute(
                sql.SQL("alter database {} set mine.goes_off_at = {}").format(
                    sql.Identifier(small), sql.Literal(str(point))
                )
            )
            with pytest.raises(Interrupted, match="The database is as before"):
                apply_plan(cluster.url(small), NONE)
            assert everything(cluster.url(small)) == before, f"killed at change {point}"
        conn.execute(sql.SQL("alter database {} reset mine.goes_off_at").format(sql.Identifier(small)))
        conn.execute("drop event trigger mine; drop schema mine cascade")
    assert apply_plan(cluster.url(small), NONE) is not None
    with connect(cluster.url(small)) as conn:
        assert check(conn) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_client_that_is_killed_leaves_the_database_as_it_was(
    cluster: Cluster, small: str, number: signal.Signals
) -> None:
    url = cluster.url(small)
    before = everything(url)
    with psycopg.connect(url) as holding:
        holding.execute("select from public.payments for share")
        holding.execute("lock table public.payments in share row exclusive mode")
        process = subprocess.Popen(
            [sys.executable, "-m", "loom", "db", "adopt", "--apply", "--lock-timeout", "60s", "--database-url", url],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with connect(cluster.superuser) as watching:
            until(
                lambda: watching.execute(
                    "select 1 from pg_stat_activity where datname = %s and wait_event_type = 'Lock'", [small]
                ).fetchone(),
                "the adoption waits for its locks",
            )
            os.kill(process.pid, number)
            _out, err = process.communicate(timeout=60)
        holding.rollback()
    if number is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == ExitCode.INTERRUPTED
        assert "The database is as before" in err
    with connect(cluster.superuser) as watching:
        until(
            lambda: (
                watching.execute(
                    "select 1 from pg_stat_activity where datname = %s and application_name = 'loom db'", [small]
                ).fetchone()
                is None
            ),
            "the server has noticed",
        )
    assert everything(url) == before


def test_in_small_steps_it_goes_on_where_it_was(cluster: Cluster, cases: Cases) -> None:
    dice = random.Random(8)  # noqa: S311
    with cases.copy("dirty") as plain, cases.copy("dirty") as name:
        apply_plan(cluster.url(plain), NONE)
        interrupted = 0
        while True:
            point = dice.randint(70, 140) * (1 + interrupted)
            if cut_off(cluster.url(name), lambda number, _text, point=point: number == point, online=True) is None:
                break
            interrupted += 1
        assert interrupted > 2
        for url in (cluster.url(plain), cluster.url(name)):
            with connect(url) as conn:
                assert check(conn) == []
        assert meaning(cluster.url(name)) == meaning(cluster.url(plain))


@pytest.mark.parametrize(
    ("words", "times", "online"),
    [
        ('validate constraint "sessions_', 1, True),
        ('validate constraint "payments_', 2, False),
        ('validate constraint "loom_not_null_', 3, False),
    ],
)
def test_what_was_to_be_validated_when_it_was_killed_is_validated_the_next_time(
    cluster: Cluster, small: str, words: str, times: int, online: bool
) -> None:
    """Whichever way it goes on. What a build of an index leaves behind when it is cut off goes too."""
    url = cluster.url(small)
    assert "The older application goes on" in (cut_off(url, at(words, times), online=True) or "")
    with psycopg.connect(cluster.url(small, "postgres"), autocommit=True) as conn:
        left = conn.execute("select conname from pg_constraint where not convalidated and conname not like '%quiet%'")
        assert len(left.fetchall()) == 1
        conn.execute(
            "update pg_index set indisvalid = false where indexrelid = 'public.payments_session_idx'::regclass"
        )
    apply_plan(url, NONE, online=online)
    with connect(url) as conn:
        assert check(conn) == []


@pytest.mark.parametrize("online", [False, True])
def test_killed_while_it_installs_the_queue_it_says_so_and_goes_on_from_there(
    cluster: Cluster, small: str, online: bool
) -> None:
    url = cluster.url(small)
    told = cut_off(url, at("set_config('search_path', 'jobs', true)"), online=online)
    assert "The database is adopted, but its job queue is missing: run it again" in (told or "")
    plan = loom("db", "adopt", "--plan", "--database-url", url)
    assert (plan.returncode, "its job queue is missing" in plan.stdout) == (ExitCode.OK, True)
    with connect(url) as conn:
        assert [(finding.what, finding.where) for finding in check(conn)] == [("schema", "jobs")]
    again = loom("db", "adopt", "--apply", "--database-url", url)
    assert (again.returncode, "the job queue was missing" in again.stdout) == (ExitCode.OK, True), again.stderr
    with connect(url) as conn:
        assert check(conn) == []


def meaning(url: str) -> dict[str, list[tuple[object, ...]]]:
    """What an adoption made of old rows, without ids and times that it made up."""
    columns_of = {
        "sessions": "id, ends_at, timezone, currency, billing_status, price_cents",
        "payments": "id, status, currency, metadata, session_id, refunded_cents, practice_id is null",
        "session_attendees": "session_id, user_id, role, status, price_cents, currency, billing_status",
        "coach_clients": "coach_id, client_id, status, source",
        "coach_blocks": "coach_id, session_id, during",
        "messages": "id, seq, metadata",
        "conversation_participants": "conversation_id, user_id, role, last_read_seq, own_after_read",
        "conversations": "id, last_seq, direct_key",
        "conversation_contexts": "conversation_id, context_type, session_id, metadata",
        "users": "id, timezone",
    }
    with connect(url) as conn:
        return {
            table: sorted(
                conn.execute(cast("LiteralString", f"select {columns} from public.{table}")).fetchall(), key=repr
            )
            for table, columns in columns_of.items()
        }
