"""Adoption in small steps, while the older application goes on writing."""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString, cast

import psycopg
import pytest
from bench.adoption import Writer, adopt

from loom.core.errors import OperatorError
from loom.db.adoption import online
from loom.db.adoption.apply import Interrupted, OpenQuestions, apply_plan
from loom.db.adoption.decisions import Decisions
from loom.db.adoption.standby import build_constraints
from loom.db.check import check
from loom.db.migrate import connect, migrate
from loom.db.statements import split_statements
from tests.adoption.cases import Cases
from tests.adoption.old_database import extend
from tests.adoption.test_adopt import everything
from tests.adoption.test_interrupted import meaning
from tests.support.cluster import Cluster

HERE = Path(__file__).parent
NONE = Decisions()


@pytest.mark.parametrize("kind", ["empty", "small", "dirty"])
def test_small_steps_end_where_the_whole_does(cluster: Cluster, cases: Cases, kind: str) -> None:
    with cases.copy(kind) as whole, cases.copy(kind) as steps:
        apply_plan(cluster.url(whole), NONE)
        apply_plan(cluster.url(steps), NONE, online=True)
        for name in (whole, steps):
            with connect(cluster.url(name)) as conn:
                assert check(conn) == []
        assert meaning(cluster.url(steps)) == meaning(cluster.url(whole))
        before = everything(cluster.url(steps))
        assert apply_plan(cluster.url(steps), NONE, online=True) is None
        assert everything(cluster.url(steps)) == before


def test_what_is_written_meanwhile_is_refused_nowhere_and_comes_out_sound(cluster: Cluster, cases: Cases) -> None:
    with cases.copy("dirty") as name:
        # Raises where a row that was written is missing, where the check finds anything, or a seat or a block.
        _seconds, writers = adopt(cluster, name, online=True, quiet=True)
    assert all(isinstance(writer, Writer) and writer.written > 0 for writer in writers)
    assert [error for writer in writers for error in writer.errors] == []


def talks_go_on(url: str) -> None:
    """Whatever can become of a conversation, each in a transaction of its own."""
    with connect(url) as conn:
        for statement in split_statements((HERE / "talks_go_on.sql").read_text("utf-8")):
            done = conn.execute(cast("LiteralString", statement))
            assert done.rowcount != 0, statement


def talk_of(url: str) -> dict[str, list[tuple[object, ...]]]:
    """What became of everything but relations, which stay once they were seen."""
    return {table: rows for table, rows in meaning(url).items() if table != "coach_clients"}


@pytest.mark.parametrize("at_once", [1, 1000], ids=["before the migration", "by the migration"])
def test_conversations_that_are_written_to_after_they_were_walked(
    cluster: Cluster, cases: Cases, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(online, "_SETTLED_AT_ONCE", at_once)
    with cases.copy("talks") as whole, cases.copy("talks") as steps:

        def then(conn: online.Conn, report: online.Report) -> None:
            talks_go_on(cluster.url(steps))
            build_constraints(conn, report)

        monkeypatch.setattr(online, "build_constraints", then)
        talks_go_on(cluster.url(whole))
        apply_plan(cluster.url(whole), NONE)
        apply_plan(cluster.url(steps), NONE, online=True)
        assert talk_of(cluster.url(steps)) == talk_of(cluster.url(whole))
        with connect(cluster.url(steps)) as conn:
            assert check(conn) == []


def give_up_at(cluster: Cluster, name: str, part: str) -> None:
    """Adopts in small steps until that part, as if cut off there."""

    def stop(*_arguments: object) -> None:
        raise Interrupted("given up")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(online, part, stop)
        with pytest.raises(Interrupted, match="given up"):
            apply_plan(cluster.url(name), NONE, online=True)


def test_small_steps_that_are_given_up_for_the_whole(cluster: Cluster, cases: Cases) -> None:
    """Whoever began in small steps may end in one transaction; nothing of the steps is left."""
    with cases.copy("dirty") as whole, cases.copy("dirty") as name:
        apply_plan(cluster.url(whole), NONE)
        give_up_at(cluster, name, "_walk_sessions")
        apply_plan(cluster.url(name), NONE)
        with connect(cluster.url(name)) as conn:
            assert check(conn) == []
        assert meaning(cluster.url(name)) == meaning(cluster.url(whole))


def test_small_steps_that_another_tool_ends(cluster: Cluster, cases: Cases) -> None:
    """Whoever applies the migration brings in what was written since, and takes away what the steps needed."""
    with cases.copy("talks") as whole, cases.copy("talks") as name:
        talks_go_on(cluster.url(whole))
        apply_plan(cluster.url(whole), NONE)
        give_up_at(cluster, name, "build_constraints")
        talks_go_on(cluster.url(name))
        with psycopg.connect(cluster.url(name), autocommit=True) as conn:
            extend(conn)
        migrate(cluster.url(name))  # for the job queue, which is no migration
        with connect(cluster.url(name)) as conn:
            assert check(conn) == []
        assert talk_of(cluster.url(name)) == talk_of(cluster.url(whole))


OWN = """
    create index mine on public.payments (status, created_at);
    grant select (status, id) on public.payments to service_role;
    comment on column public.payments.status is 'how it stands'
"""
OF_STATUS = """
    select pg_get_indexdef('public.mine'::regclass), a.attacl::text, a.atttypid::regtype::text
    from pg_attribute as a where a.attrelid = 'public.payments'::regclass and a.attname = 'status'
"""


def test_what_hangs_on_the_status_of_payments_comes_along_either_way(cluster: Cluster, cases: Cases) -> None:
    found: list[object] = []
    for way in (False, True):
        with cases.copy("small") as name:
            with psycopg.connect(cluster.url(name), autocommit=True) as conn:
                conn.execute(OWN)
            apply_plan(cluster.url(name), NONE, online=way)
            with connect(cluster.url(name)) as conn:
                found.append(conn.execute(OF_STATUS).fetchone())
                assert check(conn) == []
    assert found[0] is not None
    assert found[0] == found[1]


RULES = """
    alter table public.payments add constraint known check (status <> 'lost');
    create index paid_ones on public.payments (created_at) where status = 'paid'
"""


def test_what_names_the_text_of_the_status_is_asked_about(cluster: Cluster, cases: Cases) -> None:
    with cases.copy("small") as name, psycopg.connect(cluster.url(name), autocommit=True) as conn:
        conn.execute(RULES)
        with pytest.raises(OpenQuestions) as stopped:
            apply_plan(cluster.url(name), NONE, online=True)
        asked = [question for question in stopped.value.plan.questions if question.code == "status_named"]
        assert [question.what.split(" names ")[0] for question in asked] == ["check known", "index public.paid_ones"]
        for question in asked:
            statement = question.answer.removeprefix("Run: ").split("; and make it again")[0]
            conn.execute(cast("LiteralString", statement))
        assert apply_plan(cluster.url(name), NONE, online=True) is not None


def test_what_comes_to_name_it_meanwhile_is_not_dropped_without_a_word(
    cluster: Cluster, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cases.copy("small") as name:
        real = online.build_status_indexes

        def then(conn: online.Conn, report: online.Report) -> None:
            real(conn, report)
            with psycopg.connect(cluster.url(name), autocommit=True) as other:
                other.execute(RULES)

        monkeypatch.setattr(online, "build_status_indexes", then)
        with pytest.raises(OperatorError, match=r"constraint known, index paid_ones.*Drop them, run this again"):
            apply_plan(cluster.url(name), NONE, online=True)
        with psycopg.connect(cluster.url(name), autocommit=True) as conn:
            conn.execute("alter table public.payments drop constraint known; drop index public.paid_ones")
        monkeypatch.setattr(online, "build_status_indexes", real)
        assert apply_plan(cluster.url(name), NONE, online=True) is not None
