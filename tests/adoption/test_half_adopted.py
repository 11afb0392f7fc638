"""A database in which somebody ran the review's SQL by hand: it is told apart, and comes along once it is cleared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString, cast

import psycopg
import pytest

from tests.adoption.generator import generate
from tests.adoption.old_database import LOCKED, Conn, drop_extras, extend, half_adopted, legacy_database
from tests.schema.test_equality import difference, dump
from tests.support.cluster import Cluster

REVIEWED = ("session_templates", *LOCKED)


@pytest.fixture(scope="module")
def template(cluster: Cluster) -> Iterator[str]:
    """A legacy database with a few rows."""
    name = cluster.create()
    cluster.platform(name)
    with psycopg.connect(cluster.url(name), autocommit=True) as conn:
        legacy_database(conn)
        generate(conn, seed=2, sessions=100, payments=200, messages=40)
    yield name
    cluster.drop(name)


@pytest.fixture
def name(cluster: Cluster, template: str) -> Iterator[str]:
    made = cluster.create(template)
    yield made
    cluster.drop(made)


@pytest.fixture
def by_hand(cluster: Cluster, name: str) -> Iterator[Conn]:
    with psycopg.connect(cluster.url(name), autocommit=True) as conn:
        yield conn


def figures(conn: Conn) -> Any:
    return conn.execute(
        "select (select count(*) from public.sessions where billing_status = 'paid'), sum(amount_cents),"
        " count(session_id) from public.payments"
    ).fetchone()


@pytest.mark.parametrize("runs", [1, 2])
def test_it_is_named_and_left_as_it_was(cluster: Cluster, name: str, by_hand: Conn, runs: int) -> None:
    half_adopted(by_hand, runs)
    before = dump(cluster.url(name))
    with pytest.raises(psycopg.errors.RaiseException) as stopped:
        extend(by_hand)
    assert "tables of the review were made by hand" in (stopped.value.diag.message_primary or "")
    assert "session_attendees" in (stopped.value.diag.message_primary or "")
    # The baseline, which went before, leaves only the table for decisions.
    by_hand.execute("drop table private.adoption_decisions; drop schema private")
    assert dump(cluster.url(name)) == before


@pytest.mark.parametrize("runs", [1, 2])
def test_cleared_of_those_tables_it_comes_along_whole(
    cluster: Cluster, template: str, name: str, by_hand: Conn, database_url: str, runs: int
) -> None:
    half_adopted(by_hand, runs)
    tables = ", ".join(f"public.{table}" for table in REVIEWED)
    by_hand.execute(cast("LiteralString", f"drop table {tables} cascade"))
    extend(by_hand)
    straight = cluster.create(template)
    try:
        with psycopg.connect(cluster.url(straight), autocommit=True) as conn:
            extend(conn)
            assert figures(by_hand) == figures(conn)
            assert figures(conn)[0] > 10
    finally:
        cluster.drop(straight)
    drop_extras(by_hand)
    unlike = difference(in_any_order(dump(database_url)), in_any_order(dump(cluster.url(name))))
    assert not unlike, "\n".join(unlike)


def in_any_order(lines: list[str]) -> list[str]:
    """A dump without the order of columns, which depends on who added them first."""
    return sorted(line.rstrip(",") for line in lines)
