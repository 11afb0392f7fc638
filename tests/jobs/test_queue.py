"""Work is put into the queue with its cause, and is done although workers die."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import DictRow

from loom.core.settings import Settings
from loom.db.database import Database
from loom.jobs.registry import JobContext, Retry, TaskSpec
from loom.jobs.worker import run_worker
from tests.support.acting import AsRole, AsUser
from tests.support.cluster import Cluster
from tests.support.waiting import until

Owner = psycopg.Connection[DictRow]


@pytest.fixture(autouse=True)
def empty_queue(owner: Owner) -> None:
    owner.execute("delete from jobs.procrastinate_jobs")


def enqueue(owner: Owner, task: str, args: dict[str, Any], **more: Any) -> int | None:
    row = owner.execute(
        "select private.enqueue(%s, %s, p_queueing_lock => %s) as id",
        [task, json.dumps(args), more.get("queueing_lock")],
    ).fetchone()
    assert row is not None
    return row["id"]


def test_a_job_goes_with_its_transaction(owner: Owner) -> None:
    with pytest.raises(ZeroDivisionError), owner.transaction():
        enqueue(owner, "test.never", {})
        raise ZeroDivisionError
    assert owner.execute("select * from jobs.procrastinate_jobs").fetchall() == []


def test_a_job_that_waits_already_is_not_queued_again(owner: Owner) -> None:
    assert enqueue(owner, "test.once", {}, queueing_lock="a") is not None
    assert enqueue(owner, "test.once", {}, queueing_lock="a") is None
    assert enqueue(owner, "test.once", {}, queueing_lock="b") is not None


def test_users_can_neither_enqueue_nor_read_the_queue(as_role: AsRole, as_user: AsUser) -> None:
    someone = "11111111-1111-4111-8111-111111111111"
    for act in (lambda: as_role("anon"), lambda: as_user(someone)):
        for query in ("select private.enqueue('x', '{}')", "select * from jobs.procrastinate_jobs"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), act() as conn:
                conn.execute(query)


def test_a_database_without_the_queue_says_what_to_do(cluster: Cluster) -> None:
    copy = cluster.create(cluster.template())
    try:
        with psycopg.connect(cluster.url(copy), autocommit=True) as conn:
            conn.execute("drop schema jobs cascade")
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
                conn.execute("select private.enqueue('x', '{}')")
        assert "loom db migrate" in str(caught.value.diag.message_hint)
    finally:
        cluster.drop(copy)


async def test_a_failed_job_runs_again_until_it_succeeds(db: Database, owner: Owner) -> None:
    attempts: list[int] = []
    stop = asyncio.Event()

    async def fail_twice(ctx: JobContext) -> None:
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            raise RuntimeError("not yet")
        stop.set()

    enqueue(owner, "test.flaky", {})
    tasks = {"test.flaky": TaskSpec("test.flaky", fail_twice, Retry(attempts=3, wait_seconds=0), None)}
    await asyncio.wait_for(run_worker(JobContext(db, Settings()), stop, tasks=tasks, loops={}), 30)
    assert attempts == [1, 2, 3]
    assert owner.execute("select * from jobs.procrastinate_jobs").fetchall() == []


async def test_a_stopping_worker_lets_a_running_job_finish(db: Database, owner: Owner) -> None:
    stop = asyncio.Event()
    finished = asyncio.Event()

    async def slow(_ctx: JobContext) -> None:
        stop.set()
        await asyncio.sleep(0.3)
        finished.set()

    enqueue(owner, "test.slow", {})
    tasks = {"test.slow": TaskSpec("test.slow", slow, None, None)}
    await asyncio.wait_for(run_worker(JobContext(db, Settings()), stop, tasks=tasks, loops={}), 30)
    assert finished.is_set()
    assert owner.execute("select * from jobs.procrastinate_jobs").fetchall() == []


async def test_a_loop_that_fails_is_started_anew(db: Database) -> None:
    runs: list[int] = []

    async def fail_once(_ctx: JobContext, stop: asyncio.Event) -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            raise RuntimeError("once")
        stop.set()

    worker = run_worker(JobContext(db, Settings()), asyncio.Event(), tasks={}, loops={"test": fail_once})
    await asyncio.wait_for(worker, 30)
    assert runs == [0, 1]


@contextmanager
def worker_process(api_url: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", "tests.jobs.worker_process", api_url])
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def test_a_job_whose_worker_is_killed_runs_again(api_url: str, owner: Owner, tmp_path: Path) -> None:
    job = enqueue(owner, "test.hang", {"folder": str(tmp_path)})
    with worker_process(api_url) as first:
        until((tmp_path / "run-1").exists, "the job starts")
        os.kill(first.pid, signal.SIGKILL)
        first.wait(10)
    row = owner.execute("select status::text from jobs.procrastinate_jobs where id = %s", [job]).fetchone()
    assert row is not None
    assert row["status"] == "doing"
    with worker_process(api_url):
        until((tmp_path / "run-2").exists, "another worker takes the job over")
        until(
            lambda: not owner.execute("select from jobs.procrastinate_jobs where id = %s", [job]).fetchone(),
            "the job is done",
        )
