"""Writes messages at a rate, as an API process of its own would: commit, then ring.

Run as a process of its own with one line of JSON. It writes triplets of 64-bit integers to a file: the number of the
message (which is its text), the moment before it was sent and the moment its commit was known (CLOCK_MONOTONIC, ns).
"""

import asyncio
import json
import random
import sys
import time
from array import array
from pathlib import Path

import uvloop

from bench.data import uid
from loom.db.actor import Actor
from loom.db.database import Database
from loom.db.doorbell import CHANGES

CONNECTIONS = 8
POST = "select id from public.post_message(%(conversation)s, %(text)s)"


async def write(*, url: str, people: int, size: int, rate: float, seconds: float) -> tuple["array[int]", float]:
    """`rate` messages a second, each by a person of a group, whether or not the one before is in already; the rate
    that was reached."""
    dice = random.Random(1)  # noqa: S311
    told: array[int] = array("q")
    count = int(rate * seconds)
    numbers = iter(range(count))
    # Two more for the bells, so that they need not wait for a writer to finish.
    async with await Database.open(url, min_size=CONNECTIONS, max_size=CONNECTIONS + 2) as database:
        started = time.monotonic()

        async def send() -> None:
            for number in numbers:
                await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
                person = dice.randrange(people // size * size)
                params = {"conversation": uid("conversation", person // size), "text": str(number)}
                before = time.monotonic_ns()
                async with database.transaction(Actor.user(uid("user", person))) as tx:
                    await tx.fetch_value(POST, params)
                told.extend((number, before, time.monotonic_ns()))
                database.doorbell.ring(CHANGES)

        await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
        return told, count / (time.monotonic() - started)


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    path = Path(asked.pop("path"))
    told, rate = uvloop.run(write(**asked))
    path.write_bytes(told.tobytes())
    sys.stdout.write(f"{rate:.1f}\n")


if __name__ == "__main__":
    main()
