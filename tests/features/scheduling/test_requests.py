"""Times that are held while a client pays, and times that a coach is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow

from tests.support.acting import AsUser, acting
from tests.support.scheduling import Scene, add_template, add_user, at, make_scene, one, race, refusal

Owner = psycopg.Connection[DictRow]
Bearer = Callable[[UUID], dict[str, str]]

HOLD = "select public.hold_slot(%s, %s)"
ASK = "select public.request_slot(%s, %s)"
ACCEPT = "select public.accept_request(%s)"
BOOK = "select public.book_session(%s, %s)"


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


def request(owner: Owner, request_id: UUID) -> DictRow:
    row = owner.execute("select * from public.booking_requests where id = %s", [request_id]).fetchone()
    assert row is not None
    return row


def expire(owner: Owner, request_id: UUID) -> None:
    """As if its minutes had passed."""
    owner.execute("update public.booking_requests set expires_at = now() where id = %s", [request_id])
    owner.execute(
        "update public.coach_blocks set expires_at = now() where id ="
        " (select block_id from public.booking_requests where id = %s)",
        [request_id],
    )


def free(as_user: AsUser, scene: Scene, template: UUID, start: datetime) -> bool:
    with as_user(scene.stranger) as conn:
        return one(
            conn,
            "select count(*) > 0 from public.free_slots(%s, %s, %s, %s::timestamptz + interval '1 second')",
            [scene.coach, template, start, start],
        )


def pay(api_url: str, request_id: UUID) -> UUID | None:
    with acting(api_url, "service_role", {}) as conn:
        return one(conn, "select private.book_paid_hold(%s)", [request_id])


def test_a_hold_keeps_the_time_at_its_price_and_terms_and_becomes_the_session(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    owner.execute(
        "insert into public.cancellation_policies (coach_id, tiers) values (%s, %s)",
        [scene.coach, json.dumps([{"hours": 24, "percent": 50}])],
    )
    with as_user(scene.client) as conn:
        held = one(conn, HOLD, [scene.single, at(4, 10)])
    assert not free(as_user, scene, scene.single, at(4, 10))
    with as_user(scene.second_client) as conn, pytest.raises(psycopg.Error) as taken:
        one(conn, BOOK, [scene.single, at(4, 10)])
    assert refusal(taken.value) == (409, "slot_taken")
    owner.execute("update public.session_templates set default_price_cents = 99900 where id = %s", [scene.single])
    owner.execute("delete from public.cancellation_policies where coach_id = %s", [scene.coach])
    with as_user(scene.client) as conn:
        one(conn, ACCEPT, [held])
    session = request(owner, held)["session_id"]
    seat = owner.execute(
        "select price_cents, terms from public.session_attendees where session_id = %s and role = 'client'", [session]
    ).fetchone()
    assert seat is not None
    assert (seat["price_cents"], seat["terms"]["tiers"]) == (30000, [{"hours": 24, "percent": 50}])
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as twice:
        one(conn, ACCEPT, [held])
    assert refusal(twice.value) == (409, "request_closed")


def test_a_hold_that_ran_out_is_free_for_others_and_not_for_its_owner_without_asking(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    with as_user(scene.client) as conn:
        held = one(conn, HOLD, [scene.single, at(4, 10)])
    expire(owner, held)
    assert free(as_user, scene, scene.single, at(4, 10))
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as late:
        one(conn, ACCEPT, [held])
    assert refusal(late.value) == (409, "hold_expired")
    with as_user(scene.second_client) as conn:
        one(conn, BOOK, [scene.single, at(4, 10)])


def test_what_is_paid_first_is_booked_by_the_payment_alone(
    owner: Owner, scene: Scene, as_user: AsUser, api_url: str
) -> None:
    template = add_template(owner, scene.coach, booking_mode="prepaid")
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as unpaid:
        one(conn, BOOK, [template, at(4, 10)])
    assert refusal(unpaid.value) == (422, "payment_needed")
    with as_user(scene.client) as conn:
        held = one(conn, HOLD, [template, at(4, 10)])
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as still:
        one(conn, ACCEPT, [held])
    assert refusal(still.value) == (409, "payment_needed")
    session = pay(api_url, held)
    assert session is not None
    assert pay(api_url, held) == session
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as closed:
        one(conn, "select public.close_request(%s)", [held])
    assert refusal(closed.value) == (409, "request_closed")


def test_paid_too_late_books_what_is_still_free_and_never_what_is_not(
    owner: Owner, scene: Scene, as_user: AsUser, api_url: str
) -> None:
    template = add_template(owner, scene.coach, booking_mode="prepaid")
    with as_user(scene.client) as conn:
        free_still, gone = one(conn, HOLD, [template, at(5, 10)]), one(conn, HOLD, [template, at(5, 11)])
    expire(owner, free_still)
    expire(owner, gone)
    with as_user(scene.second_client) as conn:
        one(conn, BOOK, [scene.single, at(5, 11)])
    assert pay(api_url, free_still) is not None
    assert pay(api_url, gone) is None
    assert pay(api_url, gone) is None
    assert request(owner, gone)["status"] == "lost"
    assert one(owner, "select count(*) from public.sessions where coach_id = %s", [scene.coach]) == 2


def test_a_request_blocks_nothing_unless_the_template_says_so(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    for blocks in (False, True):
        template = add_template(owner, scene.coach, booking_mode="request", request_blocks=blocks)
        with as_user(scene.client) as conn:
            asked = one(conn, ASK, [template, at(6 + blocks, 10)])
        assert free(as_user, scene, template, at(6 + blocks, 10)) is not blocks
        assert (request(owner, asked)["block_id"] is not None) is blocks
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as unasked:
        one(conn, BOOK, [template, at(8, 10)])
    assert refusal(unasked.value) == (422, "approval_needed")
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as unneeded:
        one(conn, ASK, [scene.single, at(8, 10)])
    assert refusal(unneeded.value) == (422, "approval_not_needed")


def test_the_coach_approves_or_declines_and_the_client_cannot(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    template = add_template(owner, scene.coach, booking_mode="request", request_blocks=True)
    with as_user(scene.stranger) as conn:
        asked, other = one(conn, ASK, [template, at(6, 10)]), one(conn, ASK, [template, at(6, 11)])
    with as_user(scene.stranger) as conn, pytest.raises(psycopg.Error) as own:
        one(conn, ACCEPT, [asked])
    assert refusal(own.value) == (409, "approval_needed")
    for nobody in (scene.client, scene.other_coach):
        with as_user(nobody) as conn, pytest.raises(psycopg.Error) as hidden:
            one(conn, ACCEPT, [asked])
        assert refusal(hidden.value) == (404, "not_found")
    with as_user(scene.coach) as conn:
        one(conn, ACCEPT, [asked])
        one(conn, "select public.close_request(%s, 'on a trip')", [other])
    assert request(owner, asked)["session_id"] is not None
    assert (request(owner, other)["status"], request(owner, other)["reason"]) == ("declined", "on a trip")
    assert free(as_user, scene, template, at(6, 11))
    told = owner.execute(
        "select data ->> 'kind' as kind from public.notifications where user_id in (%s, %s)",
        [scene.coach, scene.stranger],
    ).fetchall()
    assert sorted(row["kind"] for row in told) == [
        "request_declined",
        "session_planned",
        "session_requested",
        "session_requested",
    ]


def test_of_two_requests_for_one_time_that_are_approved_at_once_one_becomes_a_session(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    template = add_template(owner, scene.coach, booking_mode="request")
    for day in range(10, 14):
        asked: list[UUID] = []
        for who in (scene.client, scene.second_client):
            owner.execute("delete from public.booking_requests where client_id = %s", [who])
            with as_user(who) as conn:
                asked.append(one(conn, ASK, [template, at(day, 10)]))

        def approve(request_id: UUID) -> UUID:
            with as_user(scene.coach) as conn:
                return one(conn, ACCEPT, [request_id])

        results = race([lambda r=r: approve(r) for r in asked])
        assert sum(isinstance(result, UUID) for result in results) == 1
        assert {refusal(r) for r in results if isinstance(r, psycopg.Error)} == {(409, "slot_taken")}
        assert sorted(request(owner, r)["status"] for r in asked) == ["booked", "pending"]


def test_nobody_holds_a_coachs_whole_week(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    def hold(hour: int) -> UUID:
        with as_user(scene.client) as conn:
            return one(conn, HOLD, [scene.single, at(7, hour)])

    results = race([lambda hour=hour: hold(hour) for hour in range(9, 17)])
    assert sum(isinstance(result, UUID) for result in results) == 3
    assert {refusal(r) for r in results if isinstance(r, psycopg.Error)} == {(409, "too_many_requests_open")}
    assert one(owner, "select count(*) from public.coach_blocks where coach_id = %s", [scene.coach]) == 3
    for open_request in [result for result in results if isinstance(result, UUID)]:
        with as_user(scene.client) as conn:
            one(conn, "select public.close_request(%s)", [open_request])
    assert one(owner, "select count(*) from public.coach_blocks where coach_id = %s", [scene.coach]) == 0
    assert isinstance(hold(9), UUID)


def test_one_hold_of_twenty_for_one_slot(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    callers = [add_user(owner, f"Caller{n}") for n in range(20)]

    def hold(who: UUID) -> UUID:
        with as_user(who) as conn:
            return one(conn, HOLD, [scene.single, at(8, 10)])

    results = race([lambda who=who: hold(who) for who in callers])
    assert sum(isinstance(result, UUID) for result in results) == 1
    assert {refusal(r) for r in results if isinstance(r, psycopg.Error)} == {(409, "slot_taken")}


def test_a_hold_fills_its_day_and_who_was_parted_from_holds_nothing(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    owner.execute("insert into public.booking_rules (coach_id, max_per_day) values (%s, 1)", [scene.coach])
    with as_user(scene.client) as conn:
        one(conn, HOLD, [scene.single, at(9, 10)])
    assert not free(as_user, scene, scene.single, at(9, 12))
    owner.execute(
        "update public.coach_clients set status = 'ended' where coach_id = %s and client_id = %s",
        [scene.coach, scene.second_client],
    )
    with as_user(scene.second_client) as conn, pytest.raises(psycopg.Error) as parted:
        one(conn, HOLD, [scene.single, at(10, 10)])
    assert refusal(parted.value) == (409, "relation_ended")


async def test_holds_and_requests_over_http(
    client: httpx.AsyncClient, bearer: Bearer, owner: Owner, scene: Scene
) -> None:
    dana, coach = bearer(scene.client), bearer(scene.coach)
    body = {"template_id": str(scene.single), "starts_at": at(4, 10).isoformat(), "timezone": "Asia/Jerusalem"}
    key = {"Idempotency-Key": "hold-1"}
    held = await client.post("/v1/holds", json=body, headers=dana | key)
    assert held.status_code == 201, held.text
    again = await client.post("/v1/holds", json=body, headers=dana | key)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (held.json(), "true")
    booked = await client.post(f"{held.headers['Location']}/accept", headers=dana)
    assert booked.json()["status"] == "booked"
    session = await client.get(f"/v1/sessions/{booked.json()['session_id']}", headers=dana)
    assert session.json()["status"] == "scheduled"

    template = add_template(owner, scene.coach, booking_mode="request")
    ask = body | {"template_id": str(template), "starts_at": at(5, 10).isoformat(), "message": "Is that good?"}
    asked = await client.post("/v1/booking-requests", json=ask, headers=dana)
    assert asked.status_code == 201, asked.text
    waiting = await client.get("/v1/booking-requests", params={"status": "pending"}, headers=coach)
    assert waiting.json()["items"] == [asked.json()]
    declined = await client.post(f"{asked.headers['Location']}/close", json={"reason": "Away"}, headers=coach)
    assert (declined.json()["status"], declined.json()["reason"]) == ("declined", "Away")
    nowhere = await client.post("/v1/holds", json=body | {"timezone": "Mars/Olympus"}, headers=dana)
    assert (nowhere.status_code, nowhere.json()["code"]) == (422, "timezone_unknown")
