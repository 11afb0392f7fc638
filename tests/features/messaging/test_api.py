"""Conversations over HTTP, as the people themselves."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from loom.core.settings import Settings
from loom.features.messaging import schemas
from loom.providers.push.sink import PushSink
from tests.features.messaging.callers import Callers, exact
from tests.features.messaging.world import Connection, World, one


async def test_a_conversation_from_its_start_to_its_end(caller: Callers, world: World) -> None:
    coach, dana = caller(world.coach), caller(world.dana)
    direct = await coach("POST", "/conversations/direct", 201, user_id=str(world.dana))
    assert (await dana("POST", "/conversations/direct", 201, user_id=str(world.coach)))["id"] == direct["id"]
    path = f"/conversations/{direct['id']}"
    key = str(uuid4())
    body = {"content": "שלום, how was it?", "client_message_id": key, "mentions": [str(world.dana)]}
    sent = await coach("POST", f"{path}/messages", 201, **body)
    exact(schemas.Message, sent)
    assert sent["deliveries"] == {"in_app": "sent", "email": "pending", "push": "failed"}
    again = await asyncio.gather(*(coach("POST", f"{path}/messages", 201, **body) for _ in range(5)))
    assert {message["id"] for message in again} == {sent["id"]}
    await coach.refused("POST", f"{path}/messages", 409, "idempotency_conflict", **body | {"content": "else"})

    inbox = await dana("GET", "/conversations")
    exact(schemas.Inbox, inbox)
    item = next(item for item in inbox["items"] if item["id"] == direct["id"])
    assert (item["unread"], item["last_message"]["preview"], item["people"][0]["display_name"]) == (
        1,
        "שלום, how was it?",
        "Coach Levi",
    )
    page = await dana("GET", f"{path}/messages")
    exact(schemas.Timeline, page)
    assert [(m["seq"], m["is_read"], m["mentions"]) for m in page["items"]] == [(1, False, [str(world.dana)])]
    assert await dana("POST", f"{path}/read", seq=1) == {"conversation_id": direct["id"], "last_read_seq": 1}
    reply = await dana("POST", f"{path}/messages", 201, content="good", reply_to_id=sent["id"])
    assert reply["reply_to_id"] == sent["id"]
    receipts = await coach("GET", f"/messages/{sent['id']}/receipts")
    assert [(r["user_id"], r["display_name"]) for r in receipts["items"]] == [(str(world.dana), "Dana Levi")]

    reacted = await coach("POST", f"/messages/{reply['id']}/reactions", 201, emoji="🎉")
    assert reacted["reactions"] == [{"emoji": "🎉", "count": 1, "mine": True}]
    await coach("POST", f"/messages/{reply['id']}/reactions", 201, emoji="🎉")
    assert len((await dana("GET", f"/messages/{reply['id']}/reactions"))["items"]) == 1
    await dana.refused("DELETE", f"/messages/{reply['id']}/reactions/🎉", 404, "not_found")
    await coach("DELETE", f"/messages/{reply['id']}/reactions/🎉", 204)

    edited = await dana("PATCH", f"/messages/{reply['id']}", content="very good", mentions=[str(world.coach)])
    assert (edited["content"], edited["is_edited"], edited["mentions"]) == ("very good", True, [str(world.coach)])
    gone = await dana("DELETE", f"/messages/{reply['id']}?reason=typo")
    assert (gone["content"], gone["mentions"], gone["deleted_at"] is not None) == (None, [], True)
    await dana.refused("PATCH", f"/messages/{reply['id']}", 404, "not_found", content="back")

    changed = await dana("PATCH", path, is_muted=True, is_archived=True)
    assert (changed["is_muted"], changed["is_archived"]) == (True, True)
    assert direct["id"] not in {item["id"] for item in (await dana("GET", "/conversations"))["items"]}
    assert direct["id"] in {item["id"] for item in (await dana("GET", "/conversations?archived=true"))["items"]}
    await dana.refused("PATCH", path, 404, "not_found", title="mine")
    await dana.refused("POST", f"{path}/leave", 409, "conversation_direct")


async def test_a_group_and_its_people(caller: Callers, world: World) -> None:
    coach, dana = caller(world.coach), caller(world.dana)
    people = [str(world.dana), str(world.amir)]
    group = await coach("POST", "/conversations/group", 201, title="  Team  ", user_ids=people)
    path = f"/conversations/{group['id']}"
    assert (group["title"], group["role"], group["context_type"]) == ("Team", "coach", "general")
    await coach("POST", f"{path}/people", user_ids=[str(world.noa)])
    await coach("DELETE", f"{path}/people/{world.amir}", 204)
    listed = (await dana("GET", f"{path}/people"))["items"]
    assert {(p["display_name"], p["is_current"]) for p in listed} == {
        ("Coach Levi", True),
        ("Dana Levi", True),
        ("Noa Levi", True),
        ("Amir Levi", False),
    }
    await dana("POST", f"{path}/leave", 204)
    await dana.refused("GET", f"{path}/people", 404, "not_found")
    assert (await coach("PATCH", path, title="Crew"))["title"] == "Crew"


async def test_deliveries_are_shown_to_the_sender_and_the_coach(caller: Callers, world: World) -> None:
    coach, dana, amir = caller(world.coach), caller(world.dana), caller(world.amir)
    sent = await dana("POST", f"/conversations/{world.group}/messages", 201, content="hello all")
    for person, rows in ((dana, 6), (coach, 6), (amir, 3)):
        shown = await person("GET", f"/messages/{sent['id']}/deliveries")
        assert len(shown["items"]) == rows
        assert len(shown["channels"]) == (0 if person is amir else 3)
    push = [d for d in (await coach("GET", f"/messages/{sent['id']}/deliveries"))["items"] if d["channel"] == "push"]
    assert {(d["recipient_name"], d["state"], d["reason"]) for d in push} == {
        ("Coach Levi", "suppressed", "no_subscription"),
        ("Amir Levi", "suppressed", "no_subscription"),
    }


async def test_outsiders_get_the_answer_that_a_random_id_gets(caller: Callers, world: World) -> None:
    sent = await caller(world.dana)("POST", f"/conversations/{world.group}/messages", 201, content="private")
    reads = ["", "/people", "/messages", "/typing"]
    for person in (world.noa, world.stranger, world.other_coach):
        outsider = caller(person)
        for real, other in ((f"/conversations/{world.group}", f"/conversations/{uuid4()}"),):
            for path in reads:
                answers = [await outsider.refused("GET", base + path, 404, "not_found") for base in (real, other)]
                assert answers[0] == answers[1]
            for method, path, body in (
                ("POST", "/messages", {"content": "hi"}),
                ("POST", "/messages", {"content": "hi", "reply_to_id": sent["id"], "mentions": [str(world.dana)]}),
                ("POST", "/read", {"seq": 1}),
                ("POST", "/typing", {"typing": True}),
                ("POST", "/leave", {}),
                ("POST", "/people", {"user_ids": [str(person)]}),
                ("DELETE", f"/people/{world.dana}", {}),
                ("PATCH", "", {"title": "x"}),
                ("PATCH", "", {"is_muted": True}),
            ):
                answers = [
                    await outsider.refused(method, base + path, 404, "not_found", **body) for base in (real, other)
                ]
                assert answers[0] == answers[1]
        for method, path, body in (
            ("GET", "", {}),
            ("GET", "/deliveries", {}),
            ("GET", "/receipts", {}),
            ("GET", "/reactions", {}),
            ("PATCH", "", {"content": "mine"}),
            ("DELETE", "", {}),
            ("POST", "/reactions", {"emoji": "👍"}),
            ("DELETE", "/reactions/x", {}),
        ):
            answers = [
                await outsider.refused(method, f"/messages/{message}{path}", 404, "not_found", **body)
                for message in (sent["id"], uuid4())
            ]
            assert answers[0] == answers[1]


async def test_the_answer_to_a_bad_mention_is_one_for_all(caller: Callers, world: World, owner: Connection) -> None:
    dana = caller(world.dana)
    before = one(owner, "select last_seq from public.conversations where id = %s", world.group)
    answers = [
        await dana.refused(
            "POST",
            f"/conversations/{world.group}/messages",
            422,
            "mention_unknown",
            content="hi",
            mentions=[str(person)],
        )
        for person in (world.noa, world.stranger, uuid4())
    ]
    assert answers[0] == answers[1] == answers[2]
    assert one(owner, "select last_seq from public.conversations where id = %s", world.group) == before


@pytest.mark.parametrize(
    "body",
    [
        {"content": ""},
        {"content": "  \n "},
        {"content": "x" * 10_001},
        {"content": "a\x00b"},
        {"content": None},
        {},
        {"content": "hi", "type": "system"},
        {"content": "hi", "client_message_id": "1"},
        {"content": "hi", "mentions": "all"},
        {"content": "hi", "mentions": [str(uuid4())] * 51},
    ],
)
async def test_a_bad_message_is_refused_and_leaves_nothing(
    caller: Callers, world: World, owner: Connection, body: dict[str, Any]
) -> None:
    before = one(owner, "select last_seq from public.conversations where id = %s", world.group)
    await caller(world.dana).refused(
        "POST",
        f"/conversations/{world.group}/messages",
        422,
        "invalid_request",
        **body | {"content": body.get("content")},
    )
    assert one(owner, "select last_seq from public.conversations where id = %s", world.group) == before


async def test_ten_megabytes_are_refused_before_they_are_read(caller: Callers, world: World) -> None:
    huge = {"content": "x" * 10_000_000}
    await caller(world.dana).refused("POST", f"/conversations/{world.group}/messages", 413, "body_too_large", **huge)


async def test_paging_over_http_goes_both_ways(caller: Callers, world: World) -> None:
    coach = caller(world.coach)
    group = await coach("POST", "/conversations/group", 201, title="Pages", user_ids=[str(world.dana)])
    path = f"/conversations/{group['id']}/messages"
    for number in range(7):
        await coach("POST", path, 201, content=str(number))
    newest = await coach("GET", f"{path}?limit=3")
    older = await coach("GET", f"{path}?limit=3&before={newest['next_cursor']}")
    later = await coach("GET", f"{path}?limit=3&after=0")
    assert [[m["content"] for m in page["items"]] for page in (newest, older, later)] == [
        ["6", "5", "4"],
        ["3", "2", "1"],
        ["0", "1", "2"],
    ]
    for query in ("before=0", "before=x", "after=-1", "limit=0", "limit=201", "before=99999999999999999999"):
        await coach.refused("GET", f"{path}?{query}", 422, "invalid_request")
    await coach.refused("GET", "/conversations?cursor=nonsense", 422, "invalid_cursor")


async def test_devices_are_kept_listed_and_removed_and_private_addresses_refused(
    caller: Callers, world: World, settings: Settings
) -> None:
    dana = caller(world.dana)
    assert len((await dana("GET", "/push-key"))["public_key"]) == 87
    target = PushSink("https://push.example.com").add_device("phone").target("https://push.example.com")
    keys = {"p256dh": target.p256dh, "auth": target.auth}
    made = await dana(
        "POST", "/push-subscriptions", 201, endpoint=target.endpoint, keys=keys, label="Phone", expirationTime=None
    )
    assert (made["label"], "auth" in made) == ("Phone", False)
    assert [d["id"] for d in (await dana("GET", "/push-subscriptions"))["items"]] == [made["id"]]
    assert settings.push_allow_private is False
    for endpoint in (
        "http://push.example.com/x",
        "https://127.0.0.1/x",
        "http://127.0.0.1:9/x",
        "https://10.0.0.8/x",
        "ftp://x.y/z",
    ):
        await dana.refused("POST", "/push-subscriptions", 422, "endpoint_refused", endpoint=endpoint, keys=keys)
    await dana.refused(
        "POST", "/push-subscriptions", 422, "invalid_request", endpoint=target.endpoint, keys=keys | {"auth": "short"}
    )
    await caller(world.amir).refused("DELETE", f"/push-subscriptions/{made['id']}", 404, "not_found")
    await dana("DELETE", f"/push-subscriptions/{made['id']}", 204)
    assert (await dana("GET", "/push-subscriptions"))["items"][0]["retired_reason"] == "removed"


async def test_nobody_without_a_token_gets_in(client: httpx.AsyncClient, world: World) -> None:
    for path in (
        "/conversations",
        f"/conversations/{world.group}",
        f"/conversations/{world.group}/messages",
        "/push-key",
    ):
        answer = await client.get(f"/v1{path}")
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
