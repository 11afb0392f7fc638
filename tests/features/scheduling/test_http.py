"""The routes of scheduling: the story over HTTP, and what is refused with which code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow

from tests.support.scheduling import Scene, add_session, add_user, at, make_scene, one

Owner = psycopg.Connection[DictRow]
Bearer = Callable[[UUID], dict[str, str]]

GROUP_TEMPLATE = {
    "title": "Group coaching",
    "session_type": "group",
    "default_duration_minutes": 90,
    "default_price_cents": 25000,
    "default_capacity": 4,
}


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


def booking(scene: Scene, start: datetime, **more: object) -> dict[str, Any]:
    return {"template_id": str(scene.single), "starts_at": start.isoformat(), **more}


async def make_group(client: httpx.AsyncClient, bearer: Bearer, scene: Scene, day: int = 3) -> str:
    body = {"type": "group", "template_id": str(scene.group), "starts_at": at(day).isoformat()}
    answer = await client.post("/v1/sessions", json=body, headers=bearer(scene.coach))
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def test_a_coach_makes_offers_and_clients_find_them(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene
) -> None:
    made = await client.post("/v1/session-templates", json=GROUP_TEMPLATE, headers=bearer(scene.other_coach))
    assert made.status_code == 201, made.text
    url = made.headers["Location"]
    assert (await client.get(url, headers=bearer(scene.client))).json()["default_price_cents"] == 25000
    changed = await client.patch(url, json={"title": "Circle", "description": None}, headers=bearer(scene.other_coach))
    assert (changed.json()["title"], changed.json()["default_capacity"]) == ("Circle", 4)
    for who in (scene.coach, scene.client):
        assert (await client.patch(url, json={"title": "Mine"}, headers=bearer(who))).status_code == 404
    off = await client.post(f"{url}/deactivate", headers=bearer(scene.other_coach))
    assert off.json()["is_active"] is False
    assert (await client.get(url, headers=bearer(scene.client))).status_code == 404
    assert (await client.get(url, headers=bearer(scene.other_coach))).status_code == 200
    assert (
        await client.post("/v1/session-templates", json=GROUP_TEMPLATE, headers=bearer(scene.client))
    ).status_code == 404


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"default_duration_minutes": 0}, "invalid_request"),
        ({"default_duration_minutes": 1441}, "invalid_request"),
        ({"default_price_cents": -1}, "invalid_request"),
        ({"default_price_cents": 2**31}, "invalid_request"),
        ({"currency": "XXX"}, "currency_unknown"),
        ({"currency": "ils"}, "invalid_request"),
        ({"default_capacity": 0}, "invalid_request"),
        ({"session_type": "individual", "default_capacity": 3}, "capacity_out_of_range"),
        ({"title": "  "}, "invalid_request"),
        ({"title": "nul\x00"}, "invalid_request"),
        ({"surprise": 1}, "invalid_request"),
    ],
)
async def test_an_offer_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene, owner: Owner, change: dict[str, Any], code: str
) -> None:
    before = one(owner, "select count(*) from public.session_templates")
    answer = await client.post("/v1/session-templates", json=GROUP_TEMPLATE | change, headers=bearer(scene.coach))
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert one(owner, "select count(*) from public.session_templates") == before


async def test_a_client_sees_slots_on_her_own_clock_and_books_one(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene
) -> None:
    query = {
        "template_id": str(scene.single),
        "from": at(2, 0).isoformat(),
        "to": at(3, 0).isoformat(),
        "time_zone": "America/St_Johns",
    }
    slots = await client.get(f"/v1/coaches/{scene.coach}/slots", params=query, headers=bearer(scene.client))
    assert slots.status_code == 200, slots.text
    items = slots.json()["items"]
    assert len(items) == 8
    assert slots.json()["next_cursor"] is None
    for item in items:
        assert datetime.fromisoformat(item["local_start"]) == datetime.fromisoformat(item["starts_at"])
        assert item["local_start"].endswith(("-03:30", "-02:30"))
    body = booking(scene, datetime.fromisoformat(items[2]["starts_at"]), timezone="America/St_Johns")
    booked = await client.post("/v1/sessions", json=body, headers=bearer(scene.client))
    assert booked.status_code == 201, booked.text
    session = booked.json()
    assert (session["client_id"], session["price_cents"], session["currency"]) == (str(scene.client), 30000, "ILS")
    assert (session["status"], session["billing_status"]) == ("scheduled", "unbilled")
    again = await client.get(f"/v1/coaches/{scene.coach}/slots", params=query, headers=bearer(scene.client))
    assert len(again.json()["items"]) == 7


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"time_zone": "Mars/Olympus"}, 422, "timezone_unknown"),
        ({"to": at(80).isoformat()}, 422, "range_too_long"),
        ({"to": at(0).isoformat()}, 422, "range_invalid"),
        ({"from": "tomorrow"}, 422, "invalid_request"),
        ({"from": "2031-01-01T00:00:00"}, 422, "invalid_request"),
        ({"template_id": str(uuid4())}, 404, "not_found"),
    ],
)
async def test_a_question_for_slots_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene, change: dict[str, str], status: int, code: str
) -> None:
    query = {"template_id": str(scene.single), "from": at(1).isoformat(), "to": at(2).isoformat()} | change
    answer = await client.get(f"/v1/coaches/{scene.coach}/slots", params=query, headers=bearer(scene.client))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await client.get(f"/v1/coaches/{scene.coach}/slots", params=query)).status_code == 401


async def test_the_same_slot_asked_for_by_twenty_over_http_goes_to_one(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene, owner: Owner
) -> None:
    callers = [add_user(owner, f"Caller{n}") for n in range(20)]
    answers = await asyncio.gather(
        *(client.post("/v1/sessions", json=booking(scene, at(6)), headers=bearer(who)) for who in callers)
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"slot_taken"}


async def test_the_same_booking_with_the_same_key_is_made_once(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene, owner: Owner
) -> None:
    headers = bearer(scene.client) | {"Idempotency-Key": uuid4().hex}
    first = await client.post("/v1/sessions", json=booking(scene, at(7)), headers=headers)
    second = await client.post("/v1/sessions", json=booking(scene, at(7)), headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert one(owner, "select count(*) from public.sessions where client_id = %s", [scene.client]) == 1


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"starts_at": at(-1).isoformat()}, 422, "session_in_past"),
        ({"starts_at": "9999-12-31T23:59:59Z"}, 422, "slot_not_offered"),
        ({"starts_at": "2031-05-04T09:00:00"}, 422, "invalid_request"),
        ({"starts_at": at(5, 10, 17).isoformat()}, 422, "slot_not_offered"),
        ({"timezone": "Asia/Atlantis"}, 422, "timezone_unknown"),
        ({"timezone": "FOO3"}, 422, "timezone_unknown"),
        ({"template_id": str(uuid4())}, 404, "not_found"),
        ({"client_id": str(uuid4())}, 404, "not_found"),
        ({"price_cents": 1}, 422, "invalid_request"),
        ({"type": "class"}, 422, "invalid_request"),
        ({"type": "group"}, 404, "not_found"),
    ],
)
async def test_a_booking_that_makes_no_sense_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient,
    bearer: Bearer,
    scene: Scene,
    owner: Owner,
    change: dict[str, Any],
    status: int,
    code: str,
) -> None:
    answer = await client.post("/v1/sessions", json=booking(scene, at(5)) | change, headers=bearer(scene.client))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert one(owner, "select count(*) from public.sessions where coach_id = %s", [scene.coach]) == 0


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"capacity": 0}, 422, "invalid_request"),
        ({"capacity": 1001}, 422, "invalid_request"),
        ({"currency": "USD"}, 422, "currency_mismatch"),
        ({"currency": "XXX", "price_cents": 5}, 422, "currency_unknown"),
        ({"duration_minutes": 3}, 422, "invalid_request"),
        ({"price_cents": -1}, 422, "invalid_request"),
        ({"starts_at": at(-3).isoformat()}, 422, "session_in_past"),
        ({"starts_at": "2999-01-01T00:00:00Z"}, 422, "session_too_far_ahead"),
        ({"meeting_url": "javascript:alert(1)"}, 422, "invalid_request"),
    ],
)
async def test_a_group_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient,
    bearer: Bearer,
    scene: Scene,
    owner: Owner,
    change: dict[str, Any],
    status: int,
    code: str,
) -> None:
    body = {"type": "group", "template_id": str(scene.group), "starts_at": at(5).isoformat()} | change
    answer = await client.post("/v1/sessions", json=body, headers=bearer(scene.coach))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert one(owner, "select count(*) from public.sessions where coach_id = %s", [scene.coach]) == 0


async def test_a_group_from_invitation_to_check_in(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene, as_role: Any
) -> None:
    session = await make_group(client, bearer, scene)
    coach = bearer(scene.coach)
    seats: dict[str, str] = {}
    for body in (
        {"user_id": str(scene.client)},
        {"user_id": str(scene.second_client)},
        {"email": "g@example.com", "name": "Gili"},
    ):
        seat = await client.post(f"/v1/sessions/{session}/attendees", json=body, headers=coach)
        assert seat.status_code == 201, seat.text
        assert (seat.json()["status"], seat.json()["price_cents"]) == ("invited", 25000)
        seats[str(body.get("user_id") or "guest")] = seat.json()["id"]
    answer = await client.post(
        f"/v1/sessions/{session}/respond", json={"answer": "confirmed"}, headers=bearer(scene.client)
    )
    assert answer.json()["status"] == "confirmed"
    no = await client.post(
        f"/v1/sessions/{session}/respond", json={"answer": "declined"}, headers=bearer(scene.second_client)
    )
    assert no.json()["status"] == "declined"
    with as_role("service_role") as conn:
        links = one(conn, "select links from private.prepare_calendar_letter(%s)", [seats["guest"]])
    assert (await client.get(f"/v1/links/{links['confirm']}")).json()["name"] == "Gili"
    guest = await client.post(f"/v1/links/{links['confirm']}", json={})
    assert (guest.status_code, guest.json()["status"]) == (200, "confirmed")
    listed = await client.get(f"/v1/sessions/{session}/attendees", params={"limit": 3}, headers=coach)
    more = await client.get(
        f"/v1/sessions/{session}/attendees", params={"cursor": listed.json()["next_cursor"]}, headers=coach
    )
    everybody = listed.json()["items"] + more.json()["items"]
    assert [seat["name"] for seat in everybody] == ["Noa", "Dana", "Avi", "Gili"]
    own = await client.get(f"/v1/sessions/{session}/attendees", headers=bearer(scene.client))
    assert [seat["user_id"] for seat in own.json()["items"]] == [str(scene.client)]
    closed = await client.get(f"/v1/sessions/{session}/roster", headers=bearer(scene.client))
    assert [entry["name"] for entry in closed.json()["items"]] == ["Noa", "Dana"]
    await client.patch(f"/v1/sessions/{session}", json={"roster_visible": True}, headers=coach)
    shown = await client.get(f"/v1/sessions/{session}/roster", headers=bearer(scene.client))
    assert [entry["name"] for entry in shown.json()["items"]] == ["Noa", "Dana", "Gili"]
    assert set(shown.json()["items"][0]) == {"name", "role", "is_me"}
    for seat in (seats[str(scene.client)], seats["guest"]):
        came = await client.post(f"/v1/attendees/{seat}/attendance", json={"kind": "in"}, headers=coach)
        assert came.json()["kind"] == "in"
    declined = seats[str(scene.second_client)]
    refused = await client.post(f"/v1/attendees/{declined}/attendance", json={"kind": "in"}, headers=coach)
    assert (refused.status_code, refused.json()["code"]) == (409, "seat_state_conflict")
    early = await client.post(f"/v1/sessions/{session}/start", headers=coach)
    assert (early.status_code, early.json()["code"]) == (409, "session_not_started")
    soon = {"starts_at": (datetime.now(UTC) + timedelta(minutes=30)).isoformat()}
    for verb, body in (("reschedule", soon), ("start", None), ("complete", None)):
        moved = await client.post(f"/v1/sessions/{session}/{verb}", json=body, headers=coach)
        assert moved.status_code == 200, moved.text
    events = await client.get(f"/v1/sessions/{session}/events", headers=coach)
    kinds = [event["kind"] for event in events.json()["items"]]
    assert kinds[0] == "created"
    assert kinds[-2:] == ["started", "completed"]
    assert (await client.get(f"/v1/sessions/{session}/events", headers=bearer(scene.client))).json()["items"] == []


async def test_strangers_get_the_same_answer_as_for_what_does_not_exist(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene, owner: Owner
) -> None:
    session = add_session(owner, scene.coach, scene.client, at(4))
    seat = one(owner, "select id from public.session_attendees where session_id = %s and role = 'client'", [session])
    calls: list[tuple[str, str, dict[str, Any] | None]] = [
        ("GET", "/v1/sessions/{session}", None),
        ("PATCH", "/v1/sessions/{session}", {"title": "mine"}),
        ("POST", "/v1/sessions/{session}/start", None),
        ("POST", "/v1/sessions/{session}/complete", None),
        ("POST", "/v1/sessions/{session}/no-show", None),
        ("POST", "/v1/sessions/{session}/cancel", {}),
        ("POST", "/v1/sessions/{session}/reschedule", {"starts_at": at(9).isoformat()}),
        ("POST", "/v1/sessions/{session}/attendees", {"email": "a@example.com"}),
        ("GET", "/v1/sessions/{session}/attendees", None),
        ("GET", "/v1/sessions/{session}/roster", None),
        ("POST", "/v1/sessions/{session}/respond", {"answer": "confirmed"}),
        ("POST", "/v1/sessions/{session}/leave", {}),
        ("GET", "/v1/attendees/{seat}", None),
        ("PATCH", "/v1/attendees/{seat}", {"price_cents": 0}),
        ("POST", "/v1/attendees/{seat}/attendance", {"kind": "in"}),
        ("GET", "/v1/attendees/{seat}/attendance", None),
        ("POST", "/v1/attendees/{seat}/cancel", {}),
    ]
    before = owner.execute("select s::text from public.sessions s where id = %s", [session]).fetchone()
    for who in (scene.stranger, scene.other_coach, scene.second_client):
        for method, path, body in calls:
            answers: list[dict[str, Any]] = []
            for ids in ({"session": session, "seat": seat}, {"session": uuid4(), "seat": uuid4()}):
                answer = await client.request(method, path.format(**ids), json=body, headers=bearer(who))
                assert answer.status_code == 404, (method, path, answer.text)
                answers.append({k: v for k, v in answer.json().items() if k != "request_id"})
            assert answers[0] == answers[1]
            assert (await client.request(method, path.format(session=session, seat=seat), json=body)).status_code == 401
    assert owner.execute("select s::text from public.sessions s where id = %s", [session]).fetchone() == before


async def test_sessions_are_listed_by_time_in_pages_and_only_ones_own(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene, owner: Owner
) -> None:
    starts = [at(day) for day in (-3, -2, 1, 2, 5)]
    for start in starts:
        add_session(owner, scene.coach, scene.client, start)
    add_session(owner, scene.coach, scene.second_client, at(8))

    async def pages(**query: Any) -> list[datetime]:
        found: list[datetime] = []
        while True:
            answer = await client.get("/v1/sessions", params={"limit": 2} | query, headers=bearer(scene.client))
            assert answer.status_code == 200, answer.text
            found += [datetime.fromisoformat(item["scheduled_at"]) for item in answer.json()["items"]]
            query["cursor"] = answer.json()["next_cursor"]
            if query["cursor"] is None:
                return found

    assert await pages() == starts
    assert await pages(order="desc") == starts[::-1]
    later = (datetime.now(starts[0].tzinfo) + timedelta(0)).isoformat()
    assert await pages(**{"from": later}) == starts[2:]
    assert await pages(to=later, status="scheduled") == starts[:2]
    assert await pages(type="group") == []
    assert await pages(coach_id=str(scene.coach)) == starts
    assert await pages(coach_id=str(scene.other_coach)) == []
    coachs = await client.get("/v1/sessions", headers=bearer(scene.coach))
    assert len(coachs.json()["items"]) == 6
    owner.execute("update public.users set role = 'admin' where id = %s", [scene.stranger])
    for query, count in (({}, 0), ({"client_id": str(scene.second_client)}, 1), ({"coach_id": str(scene.coach)}, 6)):
        seen = await client.get("/v1/sessions", params=query, headers=bearer(scene.stranger))
        assert len(seen.json()["items"]) == count
    for bad in ({"cursor": "x"}, {"limit": 0}, {"status": "gone"}, {"from": "soon"}):
        assert (await client.get("/v1/sessions", params=bad, headers=bearer(scene.client))).status_code == 422


async def test_what_is_said_about_a_session_changes_in_part(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene, owner: Owner
) -> None:
    session = add_session(owner, scene.coach, scene.client, at(4), notes="old")
    url = f"/v1/sessions/{session}"
    answer = await client.patch(url, json={"title": "New", "price_cents": 700}, headers=bearer(scene.coach))
    assert (answer.json()["title"], answer.json()["notes"], answer.json()["price_cents"]) == ("New", "old", 700)
    empty = await client.patch(url, json={"notes": None}, headers=bearer(scene.coach))
    assert empty.json()["notes"] is None
    for body, code in (
        ({"currency": "XXX"}, "currency_unknown"),
        ({"timezone": "Nowhere/Land"}, "timezone_unknown"),
        ({"title": None}, "missing_value"),
        ({"status": "completed"}, "invalid_request"),
        ({"billing_status": "paid"}, "invalid_request"),
    ):
        refused = await client.patch(url, json=body, headers=bearer(scene.coach))
        assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert (await client.patch(url, json={"title": "Mine"}, headers=bearer(scene.client))).status_code == 404


async def test_the_directory_names_active_coaches_and_nothing_else_of_them(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene, owner: Owner
) -> None:
    owner.execute("update public.users set status = 'suspended' where id = %s", [scene.other_coach])
    found: dict[str, str] = {}
    cursor = None
    while True:
        query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/coach-directory", params=query, headers=bearer(scene.stranger))).json()
        for item in page["items"]:
            assert set(item) == {"id", "name"}
            found[item["id"]] = item["name"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found[str(scene.coach)] == "Noa"
    assert str(scene.other_coach) not in found
    assert (await client.get("/v1/coach-directory")).status_code == 401
