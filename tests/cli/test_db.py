"""loom db against a database given by URL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loom.core.errors import ExitCode, OperatorError
from tests.cli.running import invoke, loom
from tests.support.cluster import Cluster


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[str]:
    name = cluster.create()
    yield cluster.url(name, "postgres")
    cluster.drop(name)


def test_migrate_status_and_dump(empty: str, tmp_path: Path) -> None:
    before = loom("db", "status", LOOM_DATABASE_URL=empty)
    assert before.returncode == 1
    assert "pending" in before.stdout
    done = loom("db", "migrate", "--database-url", empty)
    assert (done.returncode, done.stderr) == (0, "")
    assert "applying 20261101000000_create_base_tables" in done.stdout
    after = loom("db", "status", "--database-url", empty)
    assert after.returncode == 0
    assert "pending" not in after.stdout
    written = tmp_path / "loom.sql"
    assert loom("db", "dump", "--database-url", empty, "-o", str(written)).returncode == 0
    assert "CREATE TABLE public.session_attendees" in written.read_text("utf-8")


def test_a_database_that_is_not_there_is_said_in_a_sentence() -> None:
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    codes = {"migrate": ExitCode.UNREACHABLE, "status": ExitCode.UNREACHABLE, "dump": ExitCode.FAILED}
    for command, code in codes.items():
        refused = loom("db", command, "--database-url", url)
        assert refused.returncode == code
        assert refused.stderr.startswith("loom: ")
        assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    "command",
    [
        "billing verify", "billing reconcile", "billing replay", "db check", "db status", "db dump", "db adopt --plan",
        "db backup x.tar.gz", "bounces",
    ],
)  # fmt: skip
def test_a_mistyped_folder_gets_no_database(tmp_path: Path, command: str) -> None:
    mistyped = tmp_path / "lom"
    words = command.replace("x.tar.gz", str(tmp_path / "x.tar.gz")).split()
    with pytest.raises(OperatorError, match=f"There is no database in {mistyped}: name the right folder"):
        invoke(*words, "--data-dir", str(mistyped))
    assert list(tmp_path.iterdir()) == []
