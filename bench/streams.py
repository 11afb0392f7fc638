"""Holds many live streams open from one process, and notes when which event came on which.

Run as a process of its own: it reads one line of JSON (address, path and tokens), opens a stream for each token, prints
`open`, and at the next line writes what it heard to the file that the line names: triplets of 64-bit integers, the
moment (CLOCK_MONOTONIC, nanoseconds), the number of the stream, and the id of the event.
"""

import asyncio
import gc
import json
import re
import sys
import time
from array import array
from pathlib import Path
from typing import cast

import uvloop

EVENT = re.compile(rb"id: [0-9a-f]+-\d+-(\d+)\nevent: message\.created\n")
AT_ONCE = 200


class Stream(asyncio.Protocol):
    """One client, which parses no more than it must: it shares the processor with the server."""

    __slots__ = ("heard", "number", "opened", "request", "rest")

    def __init__(self, number: int, request: bytes, heard: "array[int]") -> None:
        self.number, self.request, self.heard = number, request, heard
        self.rest = b""
        self.opened = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self.request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        data = self.rest + data
        whole = data.rfind(b"\n\n") + 2
        self.rest = data[whole:] if whole > 1 else data
        if whole < 2:
            return
        if not self.opened.done() and b"event: ready\n" in data:
            self.opened.set_result(None)
        for event in EVENT.findall(data, 0, whole):
            self.heard.extend((now, self.number, int(event)))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(self.rest[:500].decode(errors="replace")))


async def hold(host: str, port: int, path: str, tokens: list[str]) -> None:
    loop = asyncio.get_running_loop()
    heard: array[int] = array("q")
    slots = asyncio.Semaphore(AT_ONCE)

    async def open_one(number: int, token: str) -> None:
        request = f"GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n".encode()
        async with slots:
            _, stream = await loop.create_connection(lambda: Stream(number, request, heard), host, port)
            await stream.opened

    await asyncio.gather(*(open_one(number, token) for number, token in enumerate(tokens)))
    gc.freeze()
    sys.stdout.write("open\n")
    sys.stdout.flush()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        write(Path(line.strip()), heard)
        del heard[:]
        sys.stdout.write("written\n")
        sys.stdout.flush()


def write(path: Path, flat: "array[int]") -> None:
    """Leaves what was noted for the process that asked."""
    path.write_bytes(flat.tobytes())


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    host, _, port = asked["address"].removeprefix("http://").partition(":")
    uvloop.run(hold(host, int(port), asked["path"], asked["tokens"]))


if __name__ == "__main__":
    main()
