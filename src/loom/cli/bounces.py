"""loom bounces: reports of mail that came back, as a mail server pipes them in."""

from __future__ import annotations

import asyncio
import sys

from rich.console import Console

from loom.cli.options import DatabaseUrl, DataDir, load_settings
from loom.cli.target import open_target, require_version

_console = Console(stderr=True, highlight=False)


def bounces(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Read one report of undelivered mail from standard input, and send nothing more to addresses that are dead.

    For a mail server's alias file: `loom-bounces: "|loom bounces --data-dir /var/lib/loom"`.
    """
    from loom.features.messaging.bounces import record_report
    from loom.web.app import open_database

    raw = sys.stdin.buffer.read()
    settings = load_settings(data_dir=data_dir, database_url=database_url)

    async def work(url: str) -> list[str]:
        async with await open_database(settings, url) as database:
            return await record_report(database, raw)

    with open_target(settings) as target:
        require_version(target)
        found = asyncio.run(work(target.app_url))
    for line in found or ["This is no report of undelivered mail, or of none of ours."]:
        _console.print(line, markup=False)
