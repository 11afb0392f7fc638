"""The live stream, its tickets, and who is writing."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query
from starlette.requests import Request
from starlette.responses import Response

from loom.core.errors import AppError
from loom.features.live import queries
from loom.features.live.hub import LiveHub
from loom.features.live.schemas import SetTyping, Ticket, Typist
from loom.features.live.stream import StreamResponse
from loom.http import AppServices, CallerId, Page, Read, problems
from loom.http.auth import Credentials

router = APIRouter(prefix="/v1", tags=["live"])

_TICKET_SECONDS = 3600.0


async def live_hub(request: Request) -> LiveHub:
    """The process's hub."""
    return cast("LiveHub", request.app.state.live)


Hub = Annotated[LiveHub, Depends(live_hub)]
After = Annotated[
    str | None, Query(max_length=100, description="The last `id` that you have, where no `Last-Event-ID` can be sent.")
]
TicketText = Annotated[str | None, Query(max_length=200, description="From `POST /v1/live/tickets`.")]
LastEventId = Annotated[str | None, Header(max_length=100, description="The last `id` that you have.")]

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events until one side ends it.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.get("/live", response_model=None, response_class=Response, responses=_STREAM | problems(401, 429, 503))
async def stream_live(
    credentials: Credentials,
    app: AppServices,
    hub: Hub,
    *,
    ticket: TicketText = None,
    after: After = None,
    last_event_id: LastEventId = None,
) -> Any:
    """Server-sent events: what changes for you, from `Last-Event-ID` on.

    Begins with what you missed and `ready`; without a cursor with `ready` alone. `reset` says that the cursor is not
    one that can be gone on from: fetch what you show anew, the stream goes on from there. `end` comes before the
    server ends it because your token or ticket has expired, or because its sign-in has been ended.
    """
    if credentials is not None:
        subject, expires, sign_in = await app.verifier.proof(credentials.credentials)
    else:
        subject, expires, sign_in = await _holder(hub, ticket)
    if subject is None:
        raise AppError("not_authenticated", 401, "This needs a bearer token or a ticket.")
    stream = hub.attach(subject, expires, sign_in)
    return StreamResponse(hub, stream, last_event_id or after)


@router.post("/live/tickets", status_code=201)
async def make_ticket(user_id: CallerId, credentials: Credentials, app: AppServices, hub: Hub) -> Ticket:
    """A ticket for `GET /v1/live`, good for an hour, as often as you like: EventSource in a browser sends no token.

    It ends before that with the sign-in of the token that it was made with.
    """
    expires = time.time() + _TICKET_SECONDS
    sign_in = (await app.verifier.proof(credentials.credentials)).sign_in if credentials is not None else None
    ticket = (await hub.seal()).ticket(user_id, expires, sign_in)
    return Ticket(ticket=ticket, expires_at=datetime.fromtimestamp(expires, UTC))


@router.get("/conversations/{conversation_id}/typing", responses=problems(404))
async def list_typists(conversation_id: UUID, user_id: CallerId, read: Read, hub: Hub) -> Page[Typist]:
    """Who else is writing just now, as far as this server has heard. The stream tells it as it happens."""
    people = await queries.list_people(read, conversation_id)
    hub.start()
    writing = hub.typing.typists(conversation_id)
    items = [
        Typist(
            user_id=person.user_id,
            display_name=person.display_name,
            expires_at=datetime.fromtimestamp(writing[person.user_id], UTC),
        )
        for person in people
        if person.user_id in writing and person.user_id != user_id
    ]
    return Page(items=items, next_cursor=None)


@router.post("/conversations/{conversation_id}/typing", status_code=204, responses=problems(404))
async def set_typing(conversation_id: UUID, body: SetTyping, user_id: CallerId, read: Read, hub: Hub) -> None:
    """Say that you are writing, or have stopped. Nothing is stored."""
    await queries.check_may_type(read, conversation_id)
    hub.start()
    hub.typing.say(conversation_id, user_id, writes=body.typing)


async def _holder(hub: LiveHub, ticket: str | None) -> tuple[UUID | None, float, UUID | None]:
    if ticket is None:
        return None, 0.0, None
    holder = (await hub.seal()).read_ticket(ticket)
    if holder is None:
        raise AppError("ticket_invalid", 401, "The ticket is not valid or has expired.", "Ask for a new one.")
    return holder
