"""Load on one HTTP address: keep-alive connections that ask again as soon as they are answered.

`wrk` does it where it is installed, since it costs least; else the small client below, which writes a prepared request
and looks for nothing but the status and the end of the answer. The figure of one is not comparable with that of the
other, so a script uses the same for everything it compares.

Run as a process of its own: `python -m bench.load URL SECONDS CONNECTIONS [HEADER ...]` prints requests per second.
"""

import asyncio
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass(slots=True)
class Tally:
    """What the connections have had; `bad` are answers other than 200."""

    good: int = 0
    bad: int = 0


class Asker(asyncio.Protocol):
    """One connection that asks until it is told to stop."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self.request = request
        self.tally = tally
        self.received = bytearray()
        self.wanted = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.wanted:
            head = self.received.find(b"\r\n\r\n")
            if head < 0:
                return
            length = LENGTH.search(self.received, 0, head + 2)
            self.wanted = head + 4 + (int(length[1]) if length else 0)
        if len(self.received) >= self.wanted:
            if self.received.startswith(b"HTTP/1.1 200"):
                self.tally.good += 1
            else:
                self.tally.bad += 1
            self.received.clear()
            self.wanted = 0
            if self.transport:
                self.transport.write(self.request)


async def ask(url: str, seconds: float, connections: int, headers: Sequence[str]) -> float:
    """Requests answered with 200 per second; RuntimeError when any answer was another."""
    parts = urlsplit(url)
    assert parts.hostname
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {path} HTTP/1.1", f"host: {parts.netloc}", *headers]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    tally = Tally()
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(lambda: Asker(request, tally), parts.hostname, parts.port or 80)
        for _ in range(connections)
    ]
    started, before = time.perf_counter(), tally.good
    await asyncio.sleep(seconds)
    rate = (tally.good - before) / (time.perf_counter() - started)
    for transport, _ in opened:
        transport.abort()
    if tally.bad:
        raise RuntimeError(f"{tally.bad} answers of {url} were not 200")
    return rate


def generator() -> str:
    """Which generator `rate` uses here."""
    return "wrk" if shutil.which("wrk") else "bench.load"


def rate(url: str, seconds: int, connections: int, headers: Sequence[str]) -> float:
    """Requests per second from a process of its own, so that it has its own interpreter."""
    wrk = shutil.which("wrk")
    if wrk is None:
        command = [sys.executable, "-m", "bench.load", url, str(seconds), str(connections), *headers]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30)
        return float(done.stdout)
    asked = [part for header in headers for part in ("-H", header)]
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", *asked, url]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"{url}: {done.stdout}")
    found = re.search(r"Requests/sec: +([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def main() -> None:
    url, seconds, connections, *headers = sys.argv[1:]
    sys.stdout.write(f"{asyncio.run(ask(url, float(seconds), int(connections), headers)):.1f}\n")


if __name__ == "__main__":
    main()
