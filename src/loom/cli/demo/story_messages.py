"""Step 7: a conversation of the group session, and what became of each message for each person on each channel."""

from __future__ import annotations

import json
from typing import Any

from loom.cli.demo import people
from loom.cli.demo.listening import listening
from loom.cli.demo.stage import Stage

_HEARD = """
  select u.first_name as recipient, d.channel, d.state, d.reason, d.attempts
  from public.message_deliveries as d join public.users as u on u.id = d.recipient_id
  where d.message_id = %(id)s order by u.email, d.channel
"""


async def conversation(stage: Stage) -> None:
    """The coach writes and mentions a client, the client answers, reading leaves receipts."""
    maya = stage.people[people.MAYA.email]
    noa, sarah = stage.people[people.NOA.email], stage.people[people.SARAH.email]
    await _devices(stage)
    opened = (await maya.post("/v1/conversations/session", {"session_id": stage.facts["group_session"]}))["items"]
    stage.check("the roster is visible, so the group shares one conversation", len(opened) == 1)
    talk = stage.facts["conversation"] = opened[0]["id"]
    messages = f"/v1/conversations/{talk}/messages"
    names = (await maya.get(f"/v1/conversations/{talk}/people"))["items"]
    stage.check("the coach and the three who came are in it", len(names) == 4)

    omer = stage.people[people.OMER.email]
    await omer.sign_in()
    body = {"content": "Thank you all. @נועה, would you share your one sentence?", "mentions": [noa.user_id]}
    async with listening(sarah) as told, listening(omer) as outside:
        first = await maya.post(messages, body)
        stage.facts["message"] = first["id"]
        stage.check("the mention is recorded", first["mentions"] == [noa.user_id])
        live = await stage.until("the message on the live stream", lambda: told.message(first["id"]))
        stage.check("who has a live stream open is told at once", live["content"] == body["content"])
        stage.check("who is not in it is told nothing", outside.message(first["id"]) is None)
    refused = await maya.call("POST", messages, {"content": "@עומר?", "mentions": [omer.user_id]})
    stage.check("only who takes part can be mentioned", refused.status_code in {404, 422})
    reply = await noa.post(messages, {"content": "אני מתחילה ממה שכבר עובד.", "reply_to_id": first["id"]})
    async with listening(sarah, told.last_id) as again:
        missed = await stage.until("what was missed", lambda: again.message(reply["id"]))
        stage.check("who was away is told what was missed", missed["content"] == reply["content"])
        stage.check("and nothing for a second time", again.message(first["id"]) is None)
    await sarah.post(f"/v1/conversations/{talk}/read", {"seq": reply["seq"]})
    receipts = (await maya.get(f"/v1/messages/{first['id']}/receipts"))["items"]
    stage.check("reading left a receipt", sarah.user_id in [receipt["user_id"] for receipt in receipts])
    inbox = (await maya.get("/v1/conversations"))["items"]
    unread = next(item["unread"] for item in inbox if item["id"] == talk)
    stage.check("the coach has one unread message", unread == 1)
    await _deliveries(stage, first["id"])
    await _finding(stage, talk, first["id"])


async def _finding(stage: Stage, talk: str, message_id: str) -> None:
    """Whether it reached each person, in a word; and finding it again in either language."""
    maya = stage.people[people.MAYA.email]
    reach = (await maya.get(f"/v1/messages/{message_id}/deliveries"))["people"]
    stage.table("did it reach them?", [{"person": one["recipient_name"], "reached": one["reached"]} for one in reach])
    stage.check("one has read it, the others were told", {one["reached"] for one in reach} == {"read", "told"})
    for words in ("sentences", "והמתחילה"):
        found = await maya.get("/v1/search/messages", q=words, conversation_id=talk)
        stage.check(f"“{words}” finds one message", len(found["items"]) == 1 and not found["fuzzy"])
    session = (await maya.get(f"/v1/sessions/{stage.facts['group_session']}/conversations"))["items"]
    stage.check("the session leads to its conversation", [one["id"] for one in session] == [talk])


async def _devices(stage: Stage) -> None:
    """Two phones: one takes what comes, one is gone. The third person has none."""
    stage.push_sink.add_device("noa-phone")
    stage.push_sink.add_device("sarah-old-phone", status=410)
    for account, device in ((people.NOA, "noa-phone"), (people.SARAH, "sarah-old-phone"), (people.PRIYA, None)):
        person = stage.people[account.email]
        await person.patch("/v1/notifications/preferences", {"push_enabled": True, "push_messages": True})
        if device:
            target = stage.push_sink.devices[device].target(stage.push_sink.base_url)
            keys = {"p256dh": target.p256dh, "auth": target.auth}
            await person.post("/v1/push-subscriptions", {"endpoint": target.endpoint, "keys": keys})


async def _deliveries(stage: Stage, message_id: str) -> None:
    async def settled() -> list[dict[str, Any]] | None:
        found = await stage.rows(_HEARD, id=message_id)
        return found if all(row["state"] not in {"pending", "leased"} for row in found) else None

    rows = await stage.until("the deliveries of the first message", settled)
    stage.table("message_deliveries of the first message", rows)
    by = {(row["recipient"], row["channel"]): row for row in rows}
    noa, sarah, priya = (account.first_name for account in (people.NOA, people.SARAH, people.PRIYA))
    stage.check("nine deliveries: three people, three channels", len(rows) == 9)
    stage.check("in the app everybody has it", all(by[who, "in_app"]["state"] == "sent" for who in (noa, sarah, priya)))
    received = [json.loads(payload) for payload in stage.push_sink.devices["noa-phone"].received]
    stage.table(
        "what the accepting phone decrypted", [{name: push[name] for name in ("title", "body")} for push in received]
    )
    stage.check("one phone accepted the push", by[noa, "push"]["state"] == "sent" and len(received) == 1)
    stage.check(
        "one answered 410", by[sarah, "push"]["state"] in {"failed", "suppressed"} and by[sarah, "push"]["reason"]
    )
    gone = await stage.show(
        "push_subscriptions",
        """
        select u.first_name as person, s.retired_at is not null as retired, s.retired_reason
        from public.push_subscriptions as s join public.users as u on u.id = s.user_id order by u.email
        """,
    )
    stage.check("and was retired", [row["retired"] for row in gone if row["person"] == sarah] == [True])
    stage.check(
        "one person has no device, and that is the reason recorded",
        by[priya, "push"]["state"] == "suppressed" and by[priya, "push"]["reason"],
    )
    rolled_up = await stage.show(
        "message_delivery_states, the roll-up",
        "select channel, status from public.message_delivery_states where message_id = %(id)s order by channel",
        id=message_id,
    )
    stage.check("rolled up, each channel reached somebody", {str(row["status"]) for row in rolled_up} == {"sent"})
