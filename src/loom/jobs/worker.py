"""The worker: drains the queue, runs the loops, and takes over the jobs of workers that died."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import procrastinate
from procrastinate.exceptions import ConnectorException

from loom.jobs.app import build_app
from loom.jobs.registry import LOOPS, TASKS, JobContext, Loop, TaskSpec

log = logging.getLogger("loom.worker")

_GRACE_SECONDS = 20.0
_LONGEST_PAUSE = 30.0


async def run_worker(
    context: JobContext,
    stop: asyncio.Event,
    *,
    tasks: Mapping[str, TaskSpec] = TASKS,
    loops: Mapping[str, Loop] = LOOPS,
) -> None:
    """Works until `stop` is set, then lets running jobs finish (20 s at most; what is cut short runs again).

    A lost database is waited for: the worker goes on when it is back.
    """
    async with asyncio.TaskGroup() as group:
        group.create_task(_keep("queue", lambda: _drain(context, stop, tasks), stop))
        for name, run in loops.items():
            group.create_task(_keep(name, lambda run=run: run(context, stop), stop))


async def _keep(name: str, run: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Runs until `stop`, starting anew after failures, with growing pauses."""
    pause = 0.5
    while not stop.is_set():
        started = asyncio.get_running_loop().time()
        try:
            await run()
        except Exception as exc:  # noqa: BLE001 - whatever it was, the worker must go on
            log.warning("%s stopped: %s: %s", name, type(exc).__name__, exc)
        if asyncio.get_running_loop().time() - started > _LONGEST_PAUSE:
            pause = 0.5
        await _sleep(stop, pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def _drain(context: JobContext, stop: asyncio.Event, tasks: Mapping[str, TaskSpec]) -> None:
    stalled = context.settings.stalled_job_seconds
    app = build_app(context.db.conninfo, tasks, context)
    async with app.open_async():
        worker = asyncio.create_task(
            app.run_worker_async(
                name="loom",
                concurrency=context.settings.worker_concurrency,
                install_signal_handlers=False,
                update_heartbeat_interval=stalled / 3,
                stalled_worker_timeout=stalled,
                fetch_job_polling_interval=5.0,
                shutdown_graceful_timeout=_GRACE_SECONDS,
                delete_jobs="successful",
            )
        )
        rescue = asyncio.create_task(_rescue(app, stop, stalled))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({worker, rescue, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (worker, rescue, stopping):
                task.cancel()  # for the worker this is the graceful stop
            results = await asyncio.gather(worker, rescue, stopping, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _rescue(app: procrastinate.App, stop: asyncio.Event, stalled: float) -> None:
    """Gives the jobs of dead workers back to the queue."""
    while not stop.is_set():
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=stalled):
            log.warning("job %s (%s) lost its worker and runs again", job.id, job.task_name)
            # Two rescuers at once: the second finds it waiting already, and procrastinate refuses.
            with suppress(ConnectorException):
                await app.job_manager.retry_job(job)
        await _sleep(stop, stalled / 2)
