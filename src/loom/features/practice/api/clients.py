"""The coach's clients: by hand, by invitation, with and without an account."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from loom.features.practice import queries
from loom.features.practice.schemas import AddClient, ChangeClient, Client, ClientStatus
from loom.http import Cursor, Limit, Page, RateLimit, Read, Write, page_of, problems
from loom.http.cursors import decode_after

router = APIRouter(prefix="/clients", tags=["clients"])

Search = Annotated[
    str | None, Query(max_length=100, pattern=r"^[^\x00]*$", description="Part of a name or an address.")
]


@router.get("")
async def list_clients(
    read: Read,
    status: ClientStatus | None = None,
    search: Search = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Client]:
    """Your clients as a coach, newest first."""
    rows = await queries.list_clients(read, status=status, search=search, after=decode_after(cursor), limit=limit)
    return page_of(rows, limit, "created_at", "id")


@router.post("", status_code=201, response_model=Client, responses=problems(404, 409))
async def add_client(body: AddClient, write: Write) -> Response:
    """Add a client by hand. They need no account; if they sign up with the address later, they are tied together."""
    return await write.made(
        lambda tx: queries.add_client(tx, body),
        queries.get_client,
        status=201,
        location=lambda client: f"/v1/clients/{client.id}",
    )


@router.get("/{coach_client_id}", responses=problems(404))
async def get_client(coach_client_id: UUID, read: Read) -> Client:
    """One client of yours, or what a coach keeps about you."""
    return await queries.get_client(read, coach_client_id)


@router.patch("/{coach_client_id}", response_model=Client, responses=problems(404, 409))
async def change_client(coach_client_id: UUID, body: ChangeClient, write: Write) -> Response:
    """Change name, address or phone as you keep them. The address is fixed once the client has an account."""
    return await write.changed(
        coach_client_id, lambda tx: queries.change_client(tx, coach_client_id, body), queries.get_client
    )


@router.post(
    "/{coach_client_id}/invite",
    response_model=Client,
    responses=problems(404, 409, 429),
    dependencies=[RateLimit("invite_client", 120, per=3600)],
)
async def invite_client(coach_client_id: UUID, write: Write) -> Response:
    """Mail the client an invitation to sign up; again after ten minutes at the earliest."""
    return await write.changed(
        coach_client_id, lambda tx: queries.invite_client(tx, coach_client_id), queries.get_client
    )


@router.post("/{coach_client_id}/end", response_model=Client, responses=problems(404))
async def end_client(coach_client_id: UUID, write: Write) -> Response:
    """End the relation. Sessions, invoices and conversations stay as they are."""
    return await write.changed(coach_client_id, lambda tx: queries.end_client(tx, coach_client_id), queries.get_client)


@router.post("/{coach_client_id}/resume", response_model=Client, responses=problems(404, 409))
async def resume_client(coach_client_id: UUID, write: Write) -> Response:
    """Take up a relation that you ended. A client who left is invited anew instead."""
    return await write.changed(
        coach_client_id, lambda tx: queries.resume_client(tx, coach_client_id), queries.get_client
    )


@router.post("/{coach_client_id}/leave", status_code=204, responses=problems(404))
async def leave_coach(coach_client_id: UUID, write: Write) -> Response:
    """As the client, end the relation with a coach."""
    return await write.run(lambda tx: queries.leave_coach(tx, coach_client_id))
