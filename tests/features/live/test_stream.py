"""The stream, as its clients hear it."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import httpx

from loom.providers.tokens.verifier import Proof
from tests.features.live.conftest import Bearer, Listen
from tests.features.messaging.world import Connection, World, one, post
from tests.support.acting import AsUser


async def test_a_message_reaches_those_who_take_part_and_nobody_else(
    world: World, as_user: AsUser, listen: Listen
) -> None:
    dana, coach, noa, admin = (listen(who) for who in (world.dana, world.coach, world.noa, world.admin))
    for client in (dana, coach, noa, admin):
        await client.connect()
    sent = post(as_user, world.coach, world.group, "Good morning", mentions=[world.dana])
    for client in (dana, coach, admin):
        heard = await client.kind("message.created")
        assert heard.data["id"] == str(sent["id"])
        assert heard.data["content"] == "Good morning"
        assert heard.data["mentions"] == [str(world.dana)]
    post(as_user, world.dana, world.group, "Good morning to you")
    await coach.kind("message.created", 2)
    assert noa.kinds() == ["ready"]


async def test_every_kind_of_change_is_told(world: World, as_user: AsUser, listen: Listen, owner: Connection) -> None:
    dana = listen(world.dana)
    await dana.connect()
    sent = post(as_user, world.coach, world.group, "First")
    with as_user(world.amir) as conn:
        conn.execute("select public.mark_read(%s, %s)", [world.group, sent["seq"]])
        conn.execute(
            "insert into public.message_reactions (message_id, user_id, emoji) values (%s, %s, '🙂')",
            [sent["id"], world.amir],
        )
    with as_user(world.amir) as conn:
        conn.execute("delete from public.message_reactions where message_id = %s", [sent["id"]])
    with as_user(world.coach) as conn:
        conn.execute("select public.edit_message(%s, 'Second')", [sent["id"]])
    with as_user(world.coach) as conn:
        conn.execute("update public.conversations set title = 'Ring' where id = %s", [world.group])
        conn.execute("select public.add_to_conversation(%s, %s)", [world.group, [world.noa]])
    with as_user(world.coach) as conn:
        conn.execute("select public.remove_from_conversation(%s, %s)", [world.group, world.noa])
        conn.execute("select public.delete_message(%s)", [sent["id"]])
    owner.execute("select private.notify(%s, 'system_update', 'Title', 'Text')", [world.dana])
    notice = await dana.kind("notification.created")
    with as_user(world.dana) as conn:
        conn.execute("update public.notifications set read_at = now() where id = %s", [notice.data["id"]])
    await dana.kind("notification.changed")
    with as_user(world.dana) as conn:
        conn.execute("delete from public.notifications where id = %s", [notice.data["id"]])
    await dana.kind("notification.deleted")
    assert dana.kinds() == [
        "ready", "message.created", "conversation.read", "reaction.added", "reaction.removed", "message.edited",
        "conversation.changed", "participant.joined", "participant.left", "message.deleted", "notification.created",
        "notification.changed", "notification.deleted",
    ]  # fmt: skip
    said = {event.kind: event.data for event in dana.events}
    assert said["message.edited"]["id"] == said["message.deleted"]["id"] == str(sent["id"])
    assert said["message.deleted"]["content"] is None
    assert said["reaction.removed"] == said["reaction.added"]
    assert said["reaction.added"]["emoji"] == "🙂"
    assert said["conversation.read"] == {
        "conversation_id": str(world.group), "user_id": str(world.amir), "seq": sent["seq"],
    }  # fmt: skip
    assert said["conversation.changed"]["title"] == "Ring"
    assert said["participant.left"]["user_id"] == str(world.noa)


async def test_what_happened_while_away_is_told_once_and_in_order(
    world: World, as_user: AsUser, listen: Listen
) -> None:
    dana = listen(world.dana)
    await dana.connect()
    post(as_user, world.coach, world.group, "heard")
    await dana.kind("message.created")
    await dana.drop()
    sent = [post(as_user, world.coach, world.group, f"missed {n}")["seq"] for n in range(20)]
    await dana.connect()
    sent.append(post(as_user, world.coach, world.group, "live again")["seq"])
    await dana.kind("message.created", 22)
    assert [event.data["seq"] for event in dana.events if event.kind == "message.created"][1:] == sent
    assert dana.kinds().count("ready") == 2
    assert dana.kinds().count("reset") == 0


async def test_a_cursor_that_is_none_starts_anew_and_says_so(
    world: World, listen: Listen, owner: Connection, as_user: AsUser
) -> None:
    first = listen(world.dana)
    await first.connect()
    epoch, xid, number = str(first.last_id).split("-")
    post(as_user, world.coach, world.group, "somewhere in the log")
    await first.kind("message.created")
    for wrong in (
        "nonsense", "1", f"{epoch}-{10**17}-0", f"00000000-{xid}-{number}", f"{epoch}-{xid}-{number}-1",
        f"{epoch}-{'9' * 40}-0", "', select 1", "ü",
    ):  # fmt: skip
        client = listen(world.dana)
        await client.connect_once_until_ready(after=wrong)
        assert client.kinds() == ["reset"], wrong
        assert str(client.last_id).startswith(epoch)
    # Last year's: the log no longer reaches back so far.
    owner.execute("update public.live_events set created_at = now() - interval '1 year'")
    assert one(owner, "select private.prune_live(interval '7 days')") > 0
    old = listen(world.dana, last_id=f"{epoch}-{xid}-{number}")
    await old.connect()
    assert old.kinds() == ["reset"]
    # The place just before what was thrown away last is still good, and so is every later one.
    young = listen(world.dana, last_id=first.last_id)
    await young.connect()
    assert young.kinds() == ["ready"]


async def test_somebody_elses_cursor_is_a_place_and_opens_nothing(
    world: World, as_user: AsUser, listen: Listen
) -> None:
    dana = listen(world.dana)
    await dana.connect()
    await dana.drop()
    post(as_user, world.coach, world.group, "for the group only")
    noa = listen(world.noa, last_id=dana.last_id)
    await noa.connect()
    amir = listen(world.amir, last_id=dana.last_id)
    await amir.connect()
    assert (await amir.kind("message.created")).data["content"] == "for the group only"
    assert noa.kinds() == ["ready"]


async def test_who_is_removed_hears_of_that_and_nothing_more(
    world: World, as_user: AsUser, listen: Listen, owner: Connection
) -> None:
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Short', %s)", [world.dana, world.amir])
    amir, dana = listen(world.amir), listen(world.dana)
    await amir.connect()
    await dana.connect()
    post(as_user, world.coach, group, "with amir")
    await amir.kind("message.created")
    with as_user(world.coach) as conn:
        conn.execute("select public.remove_from_conversation(%s, %s)", [group, world.amir])
        conn.execute("select public.post_message(%s, 'without amir')", [group])
    post(as_user, world.dana, group, "without amir too")
    await dana.kind("message.created", 3)
    left = await amir.kind("conversation.left")
    assert left.data == {"id": str(group)}
    # A marker in another conversation, so that what could have come before it has come.
    post(as_user, world.coach, world.group, "marker")
    await amir.wait_for(lambda event: event.data.get("content") == "marker")
    assert [e.data["content"] for e in amir.events if e.kind == "message.created"] == ["with amir", "marker"]
    # Nor is anything of it told later, from a cursor of before.
    again = listen(world.amir, last_id=amir.events[0].id)
    await again.connect()
    assert "with amir" not in str([event.data for event in again.events])
    owner.execute("update public.users set status = 'suspended' where id = %s", [world.amir])
    gone = listen(world.amir)
    await gone.connect()
    assert gone.events == []
    owner.execute("update public.users set status = 'active' where id = %s", [world.amir])


async def test_who_comes_later_hears_nothing_of_before(world: World, as_user: AsUser, listen: Listen) -> None:
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Late', %s)", [world.dana])
    early = post(as_user, world.coach, group, "before noa")
    noa = listen(world.noa)
    await noa.connect()
    with as_user(world.coach) as conn:
        conn.execute("select public.add_to_conversation(%s, %s)", [group, [world.noa]])
    assert (await noa.kind("conversation.joined")).data == {"id": str(group)}
    with as_user(world.coach) as conn:
        conn.execute("select public.edit_message(%s, 'before noa, mended')", [early["id"]])
    post(as_user, world.coach, group, "with noa")
    heard = await noa.kind("message.created")
    assert heard.data["content"] == "with noa"
    assert "message.edited" not in noa.kinds()


async def test_typing_is_told_to_the_others_and_touches_no_table(
    world: World, listen: Listen, server: str, bearer: Bearer, owner: Connection
) -> None:
    dana, coach, noa = (listen(who) for who in (world.dana, world.coach, world.noa))
    for client in (dana, coach, noa):
        await client.connect()
    written = "select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_user_tables where relname <> 'live_log'"
    async with httpx.AsyncClient(base_url=server) as http:
        path = f"/v1/conversations/{world.group}/typing"
        owner.execute("select pg_stat_force_next_flush()")
        before = one(owner, written)
        for _ in range(5):
            answer = await http.post(path, json={"typing": True}, headers=bearer(world.dana))
            assert answer.status_code == 204, answer.text
        heard = await coach.kind("typing")
        assert heard.data == {"conversation_id": str(world.group), "user_id": str(world.dana), "typing": True}
        assert heard.id == coach.events[0].id, "typing moves no cursor"
        shown = (await http.get(path, headers=bearer(world.coach))).json()["items"]
        assert [item["user_id"] for item in shown] == [str(world.dana)]
        assert (await http.get(path, headers=bearer(world.dana))).json()["items"] == []
        await http.post(path, json={"typing": False}, headers=bearer(world.dana))
        await coach.kind("typing", 2)
        assert (await http.get(path, headers=bearer(world.coach))).json()["items"] == []
        assert (await http.post(path, json={"typing": True}, headers=bearer(world.noa))).status_code == 404
        assert (await http.get(path, headers=bearer(world.noa))).status_code == 404
        assert one(owner, written) == before
    assert dana.kinds() == ["ready"]
    assert noa.kinds() == ["ready"]
    assert coach.kinds() == ["ready", "typing", "typing"], "repetitions within seconds are no news"


async def test_what_others_say_on_the_typing_channel_is_not_believed(
    world: World, listen: Listen, as_user: AsUser
) -> None:
    dana = listen(world.dana)
    await dana.connect()
    with as_user(world.noa) as conn:
        for text in ("", "x", "ü", "A" * 7000, f"{world.group}{world.coach}"):
            conn.execute("select pg_notify('loom_typing', %s)", [text])
            conn.execute("select pg_notify('loom_changes', %s)", [text])
    post(as_user, world.coach, world.group, "after the noise")
    await dana.kind("message.created")
    assert "typing" not in dana.kinds()


async def test_tickets_open_the_stream_of_their_owner_for_a_while(
    world: World, listen: Listen, server: str, bearer: Bearer, app: Any
) -> None:
    async with httpx.AsyncClient(base_url=server) as http:
        given = (await http.post("/v1/live/tickets", headers=bearer(world.dana))).json()
        assert (await http.post("/v1/live/tickets")).status_code == 401
    client = listen(world.dana)
    client.headers = {}
    await client.connect_once_until_ready(ticket=given["ticket"])
    assert client.kinds() == ["ready"]
    seal = await app.state.live.seal()
    forged = given["ticket"][:-2] + ("AA" if given["ticket"][-2:] != "AA" else "BB")
    for wrong in (forged, "x", "", seal.ticket(world.dana, 1.0, None), seal.typing([(world.group, world.dana, True)])):
        refused = listen(world.dana)
        refused.headers = {}
        await refused.connect_once(ticket=wrong)
        assert refused.status == 401, wrong


async def test_without_a_token_there_is_no_stream(listen: Listen, world: World) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic x"}):
        client = listen(world.dana)
        client.headers = headers
        await client.connect_once()
        assert client.status == 401
    unknown = listen(uuid4())
    await unknown.connect()
    assert unknown.events == []


async def test_the_stream_ends_with_the_token(world: World, listen: Listen, app: Any, monkeypatch: Any) -> None:
    verifier = app.state.verifier
    known = verifier.proof

    async def soon(token: str) -> Proof:
        return (await known(token))._replace(expires=time.time() + 0.5)

    monkeypatch.setattr(verifier, "proof", soon)
    dana = listen(world.dana)
    await dana.connect()
    await dana.ended()
    assert [event.kind for event in dana.events] == ["ready", "end"]
    assert dana.events[-1].data == {"reason": "expired"}
