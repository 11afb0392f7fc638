"""procrastinate on Loom's database: schema jobs, role service_role, Loom's registry."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import procrastinate
from procrastinate.exceptions import JobAborted
from procrastinate.jobs import Job
from psycopg import AsyncConnection

from loom.db.doorbell import CHANGES
from loom.jobs.registry import JobContext, Retry, TaskSpec

_LONGEST_WAIT = 3600


async def _configure(conn: AsyncConnection[Any]) -> None:
    await conn.set_autocommit(True)
    await conn.execute("set role service_role; set search_path = jobs, pg_temp; set timezone = 'UTC'")


def build_app(conninfo: str, tasks: Mapping[str, TaskSpec], context: JobContext) -> procrastinate.App:
    """An app, not yet open, whose tasks are `tasks` running with `context`."""
    connector = procrastinate.PsycopgConnector(
        conninfo=conninfo,
        min_size=1,
        max_size=4,
        configure=_configure,
        timeout=5.0,
        reconnect_timeout=2.0,
        kwargs={"application_name": "loom worker"},
    )
    app = procrastinate.App(connector=connector)
    for spec in tasks.values():
        registered = app.task(name=spec.name, pass_context=True, retry=_Backoff(spec.retry))(_wrap(spec, context))
        if spec.cron is not None:
            app.periodic(cron=spec.cron)(registered)
    return app


class _Backoff(procrastinate.BaseRetryStrategy):
    """Twice as long after each failure. What a stopping worker cut short runs again in any case."""

    def __init__(self, retry: Retry | None) -> None:
        self._retry = retry

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> procrastinate.RetryDecision | None:
        if isinstance(exception, (asyncio.CancelledError, JobAborted)):
            return procrastinate.RetryDecision(retry_in={"seconds": 0})
        if self._retry is None or job.attempts + 1 >= self._retry.attempts:
            return None
        wait = min(self._retry.wait_seconds * 2**job.attempts, _LONGEST_WAIT)
        return procrastinate.RetryDecision(retry_in={"seconds": wait})


def _wrap(spec: TaskSpec, context: JobContext) -> Any:
    @functools.wraps(spec.handler)
    async def run(job: procrastinate.JobContext, *args: Any, **kwargs: Any) -> None:
        attempt = job.job.attempts + 1
        last = spec.retry is None or attempt >= spec.retry.attempts
        ours = replace(context, job_id=job.job.id, attempt=attempt, last_attempt=last)
        await spec.handler(ours, *args, **kwargs)
        context.db.doorbell.ring(CHANGES)

    return run
