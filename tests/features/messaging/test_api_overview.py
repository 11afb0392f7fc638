"""What goes across conversations, over HTTP: a session's, what is unread, history, audit, and whether it arrived."""

from __future__ import annotations

from uuid import UUID, uuid4

from loom.features.messaging import schemas
from tests.features.messaging.callers import Caller, Callers, exact
from tests.features.messaging.world import Connection, World, one


async def test_a_session_leads_to_its_conversations_and_back(caller: Callers, world: World, owner: Connection) -> None:
    coach, dana, stranger = caller(world.coach), caller(world.dana), caller(world.stranger)
    session = one(
        owner,
        "insert into public.sessions (coach_id, client_id, title, scheduled_at)"
        " values (%s, %s, 'Talk', now() + interval '900 days') returning id",
        world.coach,
        world.dana,
    )
    path = f"/sessions/{session}/conversations"
    assert (await dana("GET", path))["items"] == []
    opened = (await coach("POST", "/conversations/session", 201, session_id=str(session)))["items"]
    for who in (coach, dana):
        found = (await who("GET", path))["items"]
        assert [item["id"] for item in found] == [item["id"] for item in opened]
        assert (found[0]["context_type"], found[0]["session_id"]) == ("session", str(session))
    assert await stranger("GET", path) == await stranger("GET", f"/sessions/{uuid4()}/conversations")


async def test_a_programs_group_says_so(caller: Callers, world: World) -> None:
    coach = caller(world.coach)
    body = {"title": "Spring", "user_ids": [str(world.dana)], "program": "Ten weeks"}
    group = await coach("POST", "/conversations/group", 201, **body)
    assert (group["context_type"], group["program"], group["session_id"]) == ("program", "Ten weeks", None)
    inbox = await coach("GET", "/conversations")
    exact(schemas.Inbox, inbox)
    item = next(item for item in inbox["items"] if item["id"] == group["id"])
    assert item["context"] == {"type": "program", "session_id": None, "program": "Ten weeks"}


async def test_unread_receipts_history_and_audit_over_http(caller: Callers, world: World) -> None:
    coach, dana, admin = caller(world.coach), caller(world.dana), caller(world.admin)
    body = {"title": "Unread", "user_ids": [str(world.dana)]}
    path = f"/conversations/{(await coach('POST', '/conversations/group', 201, **body))['id']}"
    sent = await coach("POST", f"{path}/messages", 201, content="*hi* <b>there</b>\n[x](javascript:alert(1))")
    unread = await dana("GET", "/unread")
    exact(schemas.Unread, unread)
    assert {"conversation_id": sent["conversation_id"], "unread": 1, "is_muted": False} in unread["items"]
    page = await dana("GET", f"{path}/messages?first_unread=true&format=html")
    exact(schemas.Timeline, page)
    assert page["first_unread_seq"] == 1
    assert page["items"][0]["html"] == (
        '<p dir="auto"><em>hi</em> &lt;b&gt;there&lt;/b&gt;<br>\n[x](javascript:alert(1))</p>'
    )
    assert await dana("PATCH", "/messaging-preferences", share_receipts=False) == {"share_receipts": False}
    await dana("POST", f"{path}/read", seq=1)
    assert (await coach("GET", f"{path}/messages"))["read_by"] == []
    assert await dana("PATCH", "/messaging-preferences", share_receipts=True) == await dana(
        "GET", "/messaging-preferences"
    )
    await coach("PATCH", f"/messages/{sent['id']}", content="hello")
    revisions = (await dana("GET", f"/messages/{sent['id']}/revisions"))["items"]
    assert [revision["content"] for revision in revisions] == ["*hi* <b>there</b>\n[x](javascript:alert(1))"]
    await coach("DELETE", f"/messages/{sent['id']}?reason=test")
    assert (await dana("GET", f"/messages/{sent['id']}/revisions"))["items"] == []
    for who in (coach, dana):
        assert (await who("GET", "/message-deletions"))["items"] == []
    audit = (await admin("GET", f"/message-deletions?conversation_id={sent['conversation_id']}"))["items"]
    assert [(entry["content"], entry["reason"]) for entry in audit] == [("hello", "test")]
    changes = (await coach("GET", f"{path}/membership-changes"))["items"]
    assert {(change["user_id"], change["change"]) for change in changes} == {
        (str(world.coach), "joined"),
        (str(world.dana), "joined"),
    }
    assert (await dana("GET", f"{path}/membership-changes"))["items"] == []
    await caller(world.stranger).refused("GET", f"{path}/membership-changes", 404, "not_found")


async def test_did_it_reach_her_and_how_it_goes_in_all(caller: Callers, world: World, owner: Connection) -> None:
    coach, dana, admin = caller(world.coach), caller(world.dana), caller(world.admin)
    body = {"title": "Reach", "user_ids": [str(world.dana), str(world.amir)]}
    path = f"/conversations/{(await coach('POST', '/conversations/group', 201, **body))['id']}"
    owner.execute("update public.notification_preferences set email_messages = false where user_id = %s", [world.amir])
    sent = await coach("POST", f"{path}/messages", 201, content="hello")
    owner.execute("update public.notification_preferences set email_messages = true where user_id = %s", [world.amir])

    async def reached(who: Caller) -> dict[str, tuple[str, list[str] | None]]:
        people = (await who("GET", f"/messages/{sent['id']}/deliveries"))["people"]
        return {person["recipient_id"]: (person["reached"], person["reasons"]) for person in people}

    her, him = str(world.dana), str(world.amir)
    assert await reached(coach) == {
        her: ("on_its_way", ["no_subscription"]),
        him: ("in_the_app", ["no_subscription", "preference_off"]),
    }
    owner.execute(
        "update public.message_deliveries set state = 'sent', sent_at = now(), next_attempt_at = null"
        " where message_id = %s and state = 'pending'",
        [UUID(sent["id"])],
    )
    assert (await reached(coach))[her][0] == "told"
    await dana("POST", f"{path}/read", seq=1)
    assert (await reached(coach))[her][0] == "read"
    assert set(await reached(dana)) == {her}
    # Who shares no receipts is not told on by this either.
    await dana("PATCH", "/messaging-preferences", share_receipts=False)
    assert (await reached(coach))[her][0] == "told"
    await dana("PATCH", "/messaging-preferences", share_receipts=True)
    counted = await admin("GET", "/delivery-statistics")
    rates = {channel["channel"]: channel for channel in counted["channels"]}
    assert rates["email"]["success_rate"] == 1.0
    assert any(item["reason"] == "preference_off" for item in counted["items"])
    mine = await coach("GET", "/delivery-statistics")
    assert sum(item["count"] for item in mine["items"]) <= sum(item["count"] for item in counted["items"])
    assert (await caller(world.stranger)("GET", "/delivery-statistics"))["items"] == []
    assert (await admin("GET", "/delivery-statistics?until=2001-01-01T00:00:00Z"))["items"] == []
    await coach.refused("GET", "/delivery-statistics?since=yesterday", 422, "invalid_request")
