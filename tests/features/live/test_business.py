"""Sessions and money on the stream: what happened, to whom it matters, and to nobody else."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.features.billing.world import Owner, World, addon, person, relate
from tests.features.live.conftest import Listen, Ring
from tests.features.live.streams import Client
from tests.features.messaging.world import one
from tests.support.acting import AsRole, AsUser


@pytest.fixture
def practice(owner: Owner, as_user: AsUser, as_role: AsRole) -> World:
    """A coach, the coach's practice, a client."""
    return World.make(owner, as_user, as_role)


async def people(listen: Listen, *who: UUID) -> list[Client]:
    """A connected client of each."""
    clients = [listen(one) for one in who]
    for client in clients:
        await client.connect()
    return clients


def said(client: Client, *kinds: str) -> list[tuple[str, dict[str, Any]]]:
    """What it heard of these kinds."""
    return [(event.kind, event.data) for event in client.events if event.kind in kinds]


def book(owner: Owner, coach: UUID, client: UUID | None, **more: str) -> UUID:
    columns = {"coach_id": coach, "client_id": client, "title": "Morning"} | more
    return one(
        owner,
        f"insert into public.sessions ({', '.join(columns)}, scheduled_at)"
        f" values ({', '.join(['%s'] * len(columns))}, now() + interval '1 day') returning id",
        *columns.values(),
    )


async def test_a_session_is_booked_moved_and_cancelled_before_the_eyes_of_its_people(
    practice: World, listen: Listen, ring: Ring
) -> None:
    other = person(practice.owner, "client")
    relate(practice.owner, practice.coach, other)
    coach, client, stranger = await people(listen, practice.coach, practice.client, other)
    session = book(practice.owner, practice.coach, practice.client)
    move = "update public.sessions set scheduled_at = scheduled_at + interval '1 hour' where id = %s returning ends_at"
    ends = one(practice.owner, move, session)
    practice.owner.execute("update public.sessions set status = 'cancelled' where id = %s", [session])
    for one_of in (coach, client):
        ring()
        await one_of.wait_for(lambda event: event.data.get("status") == "cancelled")
        told = said(one_of, "session.changed")
        assert {(kind, data["id"]) for kind, data in told} == {("session.changed", str(session))}
        # An event says how things are when it is read: the last one certainly says how they ended.
        last = told[-1][1]
        assert (last["title"], last["status"], last["coach_id"]) == ("Morning", "cancelled", str(practice.coach))
        assert last["ends_at"].startswith(ends.isoformat()[:16])
    practice.owner.execute("select private.notify(%s, 'system_update', 'End', 'Text')", [other])
    ring()
    await stranger.kind("notification.created")
    assert said(stranger, "session.changed", "session.left") == []


async def test_a_seat_in_a_group_is_news_to_it_and_giving_it_up_ends_that(
    practice: World, listen: Listen, ring: Ring
) -> None:
    guest = person(practice.owner, "client")
    relate(practice.owner, practice.coach, guest)
    session = book(practice.owner, practice.coach, None, type="group", capacity="5")
    coach, client, other = await people(listen, practice.coach, practice.client, guest)
    seat = (
        "insert into public.session_attendees (session_id, user_id, role, status)"
        " values (%s, %s, 'client', 'confirmed')"
    )
    practice.owner.execute(seat, [session, practice.client])
    ring()
    assert (await client.kind("session.changed")).data["id"] == str(session)
    ring()
    await coach.kind("session.changed")
    practice.owner.execute(
        "update public.session_attendees set status = 'declined', cancelled_at = now()"
        " where session_id = %s and user_id = %s",
        [session, practice.client],
    )
    ring()
    left = await client.kind("session.left")
    assert left.data == {"id": str(session)}
    heard = len(said(client, "session.changed"))
    practice.owner.execute("update public.sessions set title = 'Evening' where id = %s", [session])
    ring()
    await coach.wait_for(lambda event: event.data.get("title") == "Evening")
    practice.owner.execute("select private.notify(%s, 'system_update', 'End', 'Text')", [practice.client])
    ring()
    await client.wait_for(lambda event: event.data.get("title") == "End")
    assert len(said(client, "session.changed")) == heard, "it is no longer theirs to hear of"
    assert said(other, "session.changed", "session.left") == []


async def test_an_invoice_is_the_practices_until_it_is_issued_and_then_the_payers_too(
    practice: World, listen: Listen, ring: Ring
) -> None:
    other = person(practice.owner, "client")
    coach, client, stranger = await people(listen, practice.coach, practice.client, other)
    thrown_away = practice.draft(addon(10000))
    with practice.coaching() as conn:
        conn.execute("select public.delete_draft_invoice(%s)", [thrown_away])
    ring()
    assert (await coach.kind("invoice.deleted")).data == {"id": str(thrown_away)}
    invoice = practice.draft(addon(10000))
    number = practice.finalize(invoice)
    ring()
    issued = await client.kind("invoice.changed")
    assert issued.data == {
        "id": str(invoice), "status": issued.data["status"], "document_number": number,
        "total_amount_cents": practice.invoice(invoice)["total_amount_cents"], "currency": "ILS",
    }  # fmt: skip
    practice.owner.execute("select private.notify(%s, 'system_update', 'End', 'Text')", [practice.client])
    practice.owner.execute("select private.notify(%s, 'system_update', 'End', 'Text')", [other])
    for listener in (client, stranger):
        ring()
        await listener.wait_for(lambda event: event.data.get("title") == "End")
    assert {data["id"] for _, data in said(client, "invoice.changed", "invoice.deleted")} == {str(invoice)}
    assert said(stranger, "invoice.changed", "invoice.deleted") == []


async def test_a_payment_is_news_to_both(practice: World, listen: Listen, ring: Ring) -> None:
    invoice = practice.issued(10000)
    coach, client = await people(listen, practice.coach, practice.client)
    practice.paid(20000)
    for listener in (coach, client):
        ring()
        paid = await listener.wait_for(lambda event: event.data.get("status") == "paid")
        assert paid.kind == "invoice.changed"
        assert paid.data["id"] != str(invoice)
