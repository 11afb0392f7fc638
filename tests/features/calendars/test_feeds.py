"""Private feeds: what they show to whom, what they cost when nothing has changed, and that revoked ones are over."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from icalendar import Calendar
from psycopg.rows import DictRow

from tests.support.acting import AsRole, AsUser
from tests.support.scheduling import Scene, add_session, at, one, race, refusal

Owner = psycopg.Connection[DictRow]
Bearer = Any


async def a_feed(client: httpx.AsyncClient, bearer: Bearer, who: UUID, name: str = "Phone") -> tuple[str, str]:
    """The id and path of a new feed."""
    made = await client.post("/v1/calendar-feeds", json={"name": name}, headers=bearer(who))
    assert made.status_code == 201, made.text
    url = made.json()["url"]
    assert made.json()["webcal_url"] == "webcal:" + url.partition(":")[2]
    return made.json()["id"], url[url.index("/v1/") :]


async def summaries(client: httpx.AsyncClient, path: str) -> list[tuple[str, str]]:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/calendar; charset=utf-8")
    return [(str(e["SUMMARY"]), str(e["STATUS"])) for e in Calendar.from_ical(answer.content).walk("VEVENT")]


async def test_coach_and_client_each_see_their_own_and_no_other_attendee(
    client: httpx.AsyncClient, bearer: Bearer, owner: Owner, as_user: AsUser, scene: Scene, group: UUID, booked: UUID
) -> None:
    with as_user(scene.coach) as conn:
        for who in (scene.client, scene.second_client):
            one(conn, "select public.invite_attendee(%s, %s)", [group, who])
        conn.execute("update public.sessions set notes = 'for all', title = 'Circle' where id = %s", [group])
    cancelled = add_session(owner, scene.coach, scene.client, at(5), title="Off")
    owner.execute("update public.sessions set status = 'cancelled' where id = %s", [cancelled])
    add_session(owner, scene.coach, scene.second_client, at(6), title="Others")
    _, mine = await a_feed(client, bearer, scene.client)
    _, coachs = await a_feed(client, bearer, scene.coach)
    assert await summaries(client, mine) == [
        ("Circle · Noa", "TENTATIVE"),
        ("Single session · Noa", "CONFIRMED"),
        ("Cancelled: Off · Noa", "CANCELLED"),
    ]
    assert await summaries(client, coachs) == [
        ("Circle · 2 of 5", "CONFIRMED"),
        ("Single session · Dana", "CONFIRMED"),
        ("Cancelled: Off · Dana", "CANCELLED"),
        ("Others · Avi", "CONFIRMED"),
    ]
    body = (await client.get(mine)).text
    assert "Avi" not in body
    assert "for all" not in body
    assert str(booked) in (await client.get(coachs)).text
    with as_user(scene.client) as conn:
        one(conn, "select public.respond_to_invitation(%s, 'declined')", [group])
    assert ("Circle · Noa", "TENTATIVE") not in await summaries(client, mine)


async def test_nothing_new_is_a_304_and_any_change_is_news(
    client: httpx.AsyncClient, bearer: Bearer, owner: Owner, scene: Scene, booked: UUID
) -> None:
    _, path = await a_feed(client, bearer, scene.client)
    first = await client.get(path)
    tag, dated = first.headers["etag"], first.headers["last-modified"]
    for sent in (
        {"If-None-Match": tag},
        {"If-None-Match": f'"other", W/{tag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": dated},
        {"If-None-Match": tag, "If-Modified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"},
    ):
        same = await client.get(path, headers=sent)
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag), sent
    for sent in ({"If-None-Match": '"other"', "If-Modified-Since": dated}, {"If-Modified-Since": "yesterday"}):
        assert (await client.get(path, headers=sent)).status_code == 200, sent
    changes = (
        ("update public.sessions set title = 'New' where id = %s", [booked]),
        ("update public.sessions set scheduled_at = scheduled_at + interval '1 day' where id = %s", [booked]),
        ("update public.sessions set status = 'cancelled' where id = %s", [booked]),
        ("update public.users set first_name = 'Noga' where id = %s", [scene.coach]),
        ("update public.users set language = 'he' where id = %s", [scene.client]),
    )
    for change, params in changes:
        owner.execute(change, params)
        news = await client.get(path, headers={"If-None-Match": tag, "If-Modified-Since": dated})
        assert news.status_code == 200, change
        # All of this happens within a second or two, and still no two contents have one date.
        assert parsedate_to_datetime(news.headers["last-modified"]) > parsedate_to_datetime(dated)
        tag, dated = news.headers["etag"], news.headers["last-modified"]
    early = format_datetime(parsedate_to_datetime(dated) - timedelta(seconds=1), usegmt=True)
    assert (await client.get(path, headers={"If-Modified-Since": early})).status_code == 200
    assert first.headers["cache-control"] == "private, no-cache"


async def test_every_seat_and_name_behind_a_coachs_feed_is_news(
    client: httpx.AsyncClient, bearer: Bearer, owner: Owner, as_user: AsUser, scene: Scene, group: UUID, booked: UUID
) -> None:
    _, path = await a_feed(client, bearer, scene.coach)
    tag = (await client.get(path)).headers["etag"]
    seat = "select id from public.session_attendees where session_id = %s and role <> 'coach'"
    with as_user(scene.coach) as conn:
        one(conn, "select public.invite_attendee(%s, %s)", [group, scene.second_client])
    for change, params in (
        ("update public.session_attendees set status = 'declined' where id = %s", [one(owner, seat, [group])]),
        ("update public.users set first_name = 'Dina' where id = %s", [scene.client]),
        ("update public.coach_clients set display_name = 'D.' where client_id = %s", [scene.client]),
        ("delete from public.session_attendees where id = %s", [one(owner, seat, [group])]),
        ("delete from public.sessions where id = %s", [booked]),
    ):
        news = await client.get(path, headers={"If-None-Match": tag})
        assert news.status_code == 200, change
        tag = news.headers["etag"]
        assert (await client.get(path, headers={"If-None-Match": tag})).status_code == 304
        owner.execute(change, params)
    assert (await client.get(path, headers={"If-None-Match": tag})).status_code == 200


async def test_a_revoked_feed_and_that_of_somebody_shut_out_are_over(
    client: httpx.AsyncClient, bearer: Bearer, owner: Owner, scene: Scene
) -> None:
    feed, path = await a_feed(client, bearer, scene.client)
    _, other = await a_feed(client, bearer, scene.client, "Laptop")
    tag = (await client.get(path)).headers["etag"]
    for who in (scene.coach, scene.second_client, scene.stranger):
        assert (await client.delete(f"/v1/calendar-feeds/{feed}", headers=bearer(who))).status_code == 404
    for _ in range(2):
        assert (await client.delete(f"/v1/calendar-feeds/{feed}", headers=bearer(scene.client))).status_code == 204
    gone = await client.get(path, headers={"If-None-Match": tag})
    assert (gone.status_code, gone.json()["code"]) == (410, "feed_revoked")
    assert (await client.get(other)).status_code == 200
    listed = (await client.get("/v1/calendar-feeds", headers=bearer(scene.client))).json()["items"]
    assert [(item["name"], item["revoked_at"] is not None) for item in listed] == [("Laptop", False), ("Phone", True)]
    assert "token" not in str(listed)
    owner.execute("update public.users set status = 'suspended' where id = %s", [scene.client])
    assert (await client.get(other)).status_code == 404
    for forged in (other.replace("/feeds/", "/feeds/0"), f"/v1/feeds/{feed}/calendar.ics", "/v1/feeds/x/calendar.ics"):
        assert (await client.get(forged)).status_code == 404


def test_the_token_is_stored_nowhere_and_nobody_reads_the_hash(
    owner: Owner, as_user: AsUser, as_role: AsRole, scene: Scene
) -> None:
    with as_user(scene.client) as conn:
        token = one(conn, "select token from public.create_calendar_feed()")
    with as_user(scene.client) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("select token_hash from public.calendar_feeds")
    assert one(owner, "select count(*) from public.calendar_feeds as f where f::text like %s", [f"%{token}%"]) == 0
    with as_role("anon") as conn:
        assert one(conn, "select content_hash is not null from public.calendar_feed_state(%s)", [token])
    stored = one(owner, "select token_hash from public.calendar_feeds where user_id = %s", [scene.client])
    with as_role("anon") as conn, pytest.raises(psycopg.Error) as refused:
        one(conn, "select * from public.calendar_feed_state(%s)", [stored])
    assert refusal(refused.value) == (404, "not_found")


def test_nobody_has_more_than_twenty_feeds_even_at_once(owner: Owner, as_user: AsUser, scene: Scene) -> None:
    with as_user(scene.client) as conn:
        for _ in range(18):
            one(conn, "select id from public.create_calendar_feed()")

    def make() -> UUID:
        with as_user(scene.client) as conn:
            return one(conn, "select id from public.create_calendar_feed()")

    results = race([make] * 6)
    assert sum(isinstance(result, UUID) for result in results) == 2
    assert {refusal(r) for r in results if isinstance(r, psycopg.Error)} == {(409, "too_many_feeds")}
    assert one(owner, "select count(*) from public.calendar_feeds where user_id = %s", [scene.client]) == 20


async def test_a_huge_practice_gets_the_latest_five_thousand(
    client: httpx.AsyncClient, bearer: Bearer, owner: Owner, scene: Scene
) -> None:
    owner.execute(
        "insert into public.sessions (coach_id, client_id, title, scheduled_at, status)"
        " select %s, %s, 'Old ' || n, now() - interval '1 hour' * n, 'completed' from generate_series(1, 5200) as n",
        [scene.coach, scene.client],
    )
    add_session(owner, scene.coach, scene.client, at(3), title="Ahead")
    _, path = await a_feed(client, bearer, scene.coach)
    found = await summaries(client, path)
    assert len(found) == 5000
    assert found[-1][0] == "Ahead · Dana"
