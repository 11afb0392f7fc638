"""Adoption in small steps, while the older application goes on writing."""

from __future__ import annotations

import pytest
from bench.adoption import Writer, adopt

from loom.db.adoption import online
from loom.db.adoption.apply import Interrupted, apply_plan
from loom.db.adoption.decisions import Decisions
from loom.db.check import check
from loom.db.migrate import connect
from tests.adoption.cases import Cases
from tests.adoption.test_adopt import everything
from tests.adoption.test_interrupted import meaning
from tests.support.cluster import Cluster

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


def test_small_steps_that_are_given_up_for_the_whole(
    cluster: Cluster, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever began in small steps may end in one transaction; nothing of the steps is left."""

    def stop(*_arguments: object) -> None:
        raise Interrupted("given up")

    monkeypatch.setattr(online, "_walk_sessions", stop)
    with cases.copy("dirty") as whole, cases.copy("dirty") as name:
        apply_plan(cluster.url(whole), NONE)
        with pytest.raises(Interrupted, match="given up"):
            apply_plan(cluster.url(name), NONE, online=True)
        apply_plan(cluster.url(name), NONE)
        with connect(cluster.url(name)) as conn:
            assert check(conn) == []
        assert meaning(cluster.url(name)) == meaning(cluster.url(whole))
