"""A conventional stream of server-sent events, to compare memory with: Starlette's streaming answer over a queue."""

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route


async def stream(_: Request) -> StreamingResponse:
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def events() -> AsyncIterator[str]:
        yield "event: ready\ndata: {}\n\n"
        while True:
            yield await queue.get()

    return StreamingResponse(events(), media_type="text/event-stream")


async def health(_: Request) -> Response:
    return PlainTextResponse("ok")


app = Starlette(routes=[Route("/stream", stream), Route("/health", health)])
