"""How long answers take: so many connections, each asking its next question as soon as the last one is answered."""

import asyncio
import math
import re
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)

Question = tuple[str, str, str, bytes]
"""Method, path, token, body."""


async def _ask(url: str, questions: Sequence[Question], seen: list[tuple[int, float]]) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    for method, path, token, body in questions:
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {token}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        started = time.perf_counter()
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(answer)
        await reader.readexactly(int(length[1]) if length else 0)
        seen.append((int(answer[9:12]), time.perf_counter() - started))
    writer.close()


async def _all(url: str, connections: Sequence[Sequence[Question]]) -> list[tuple[int, float]]:
    seen: list[tuple[int, float]] = []
    await asyncio.gather(*(_ask(url, questions, seen) for questions in connections))
    return seen


def latencies(url: str, connections: Sequence[Sequence[Question]], status: int) -> list[float]:
    """Milliseconds of each answer; RuntimeError when one has another status."""
    seen = asyncio.run(_all(url, connections))
    wrong = {code for code, _ in seen} - {status}
    if wrong:
        raise RuntimeError(f"answers with {sorted(wrong)} were among them")
    return sorted(seconds * 1000 for _, seconds in seen)


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values."""
    return values[min(math.ceil(share * len(values)), len(values)) - 1]
