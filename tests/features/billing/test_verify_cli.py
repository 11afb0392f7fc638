"""`loom billing verify` as an operator runs it, and the list of its checks in the guide."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from loom.core.errors import OperatorError
from loom.features.books.schemas import CHECKS
from tests.cli.running import invoke, loom
from tests.features.billing.world import World
from tests.support.cluster import Cluster

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def address(cluster: Cluster, database_name: str) -> str:
    return cluster.url(database_name, "postgres")


def test_books_that_agree_and_a_payment_that_does_not(world: World, address: str) -> None:
    _, payment = world.paid(10000)
    fine = loom("billing", "verify", "--database-url", address)
    assert (fine.returncode, fine.stdout) == (0, "Books, documents and balances agree.\n")
    with psycopg.connect(address, autocommit=True) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update public.payments set allocated_cents = 9000 where id = %s", [payment])
    found = loom("billing", "verify", "--database-url", address, "--practice", str(world.practice))
    name = world.row("select name from public.practices where id = %s", world.practice)["name"]
    assert found.returncode == 1
    assert found.stdout.splitlines() == [
        f"{name} ({world.practice}), counters_of_payment: {CHECKS['counters_of_payment']}",
        f"  payment {payment}: expected 9000 0 0, found 10000 0 0",
        "1 difference.",
    ]


def test_what_is_not_there_is_never_said_to_agree(address: str) -> None:
    nobody = str(uuid4())
    for command, option, what in (
        ("verify", "--practice", "practice"),
        ("reconcile", "--account", "gateway account"),
        ("replay", "--account", "gateway account"),
    ):
        with pytest.raises(OperatorError, match=f"There is no {what} {nobody} in this database"):
            invoke("billing", command, option, nobody, "--database-url", address)


def test_a_database_of_another_version_is_not_judged(cluster: Cluster) -> None:
    name = cluster.create()
    try:
        for command in ("verify", "reconcile", "replay"):
            with pytest.raises(OperatorError, match="loom db migrate"):
                invoke("billing", command, "--database-url", cluster.url(name, "postgres"))
    finally:
        cluster.drop(name)


def test_every_check_has_its_sentence_and_the_guide_has_them_all() -> None:
    files = sorted((ROOT / "supabase" / "schemas").glob("4*/*_verify_*.sql"))
    made = re.compile(r"practice_id\)?, '(\w+)', '(?:document|series|seat|payment|transaction|client|credit)'")
    assert {name for file in files for name in made.findall(file.read_text("utf-8"))} == set(CHECKS)
    guide = (ROOT / "docs" / "guide" / "billing.md").read_text("utf-8")
    assert "".join(f"| `{name}` | {says} |\n" for name, says in CHECKS.items()) in guide
