"""The check of the books that a worker does by itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import psycopg
import structlog

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.books import tasks as books_tasks
from loom.jobs.registry import TASKS, JobContext
from loom.jobs.worker import run_worker
from tests.features.billing.world import World
from tests.support.cluster import Cluster

assert books_tasks is not None


async def told_by_a_worker(db: Database) -> list[Any]:
    """What the log has once a worker has done it, for which the night is each second."""
    stop = asyncio.Event()
    nightly = TASKS["books.verify"]

    async def check_once(ctx: JobContext, *, timestamp: int) -> None:
        await nightly.handler(ctx, timestamp=timestamp)
        stop.set()

    tasks = {"books.verify": replace(nightly, handler=check_once, cron="* * * * * *")}
    with structlog.testing.capture_logs() as told:
        await asyncio.wait_for(run_worker(JobContext(db, Settings()), stop, tasks=tasks, loops={}), 60)
    return told


async def test_a_worker_checks_the_books_and_says_where_they_differ(
    db: Database, world: World, cluster: Cluster, database_name: str
) -> None:
    _, payment = world.paid(10000)
    assert TASKS["books.verify"].cron == "20 2 * * *"
    assert {line["event"] for line in await told_by_a_worker(db)} == {"books_agree"}
    with psycopg.connect(cluster.url(database_name, "postgres"), autocommit=True) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update public.payments set allocated_cents = 9000 where id = %s", [payment])
    name = world.row("select name from public.practices where id = %s", world.practice)["name"]
    assert (await told_by_a_worker(db))[0] == {
        "event": "books_differ", "log_level": "error", "practice_id": str(world.practice), "practice_name": name,
        "check_name": "counters_of_payment", "subject": "payment", "subject_id": str(payment),
        "expected": "9000 0 0", "found": "10000 0 0",
    }  # fmt: skip
