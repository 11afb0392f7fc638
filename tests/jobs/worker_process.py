"""A worker in a process of its own, for tests that kill it. Arguments: conninfo, folder for what the jobs write."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from loom.core.settings import Settings
from loom.db.database import Database
from loom.jobs.registry import JobContext, Retry, TaskSpec
from loom.jobs.worker import run_worker


async def hang_the_first_time(ctx: JobContext, *, folder: str) -> None:
    """Notes the run; the first one never ends by itself."""
    Path(folder, f"run-{ctx.attempt}").write_text(str(os.getpid()), "utf-8")
    if ctx.attempt == 1:
        await asyncio.Event().wait()


async def main(conninfo: str) -> None:
    """Works until killed."""
    settings = Settings(stalled_job_seconds=0.6)
    tasks = {"test.hang": TaskSpec("test.hang", hang_the_first_time, Retry(), None)}
    async with await Database.open(conninfo, min_size=0) as db:
        await run_worker(JobContext(db, settings), asyncio.Event(), tasks=tasks, loops={})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
