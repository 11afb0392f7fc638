"""Sends that wait at the same moment go together: each as its own person, with its own outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from loom.core.errors import AppError
from loom.db.actor import Actor
from loom.db.database import Database, Limits
from loom.features.messaging.sending import send_together
from tests.features.messaging.callers import Callers
from tests.features.messaging.world import Connection, World, one, rows
from tests.support.acting import AsUser

Send = Callable[[UUID, Sequence[object]], Coroutine[Any, Any, bytes]]


@pytest.fixture
async def sends(api_url: str, anyio_backend: str) -> AsyncGenerator[Send]:  # noqa: ARG001 - asks for the event loop
    """The sends of a process that would wait for a lock for ever."""
    async with await Database.open(api_url, max_size=8, limits=Limits(lock_ms=0)) as db:
        send_together(db)
        yield lambda person, params: db.write_json(Actor.user(person), "public.send_message_json", params)


def params(conversation: UUID, content: str | None, **more: Any) -> Sequence[object]:
    return [conversation, content, more.get("key"), more.get("mentions", []), more.get("reply_to"), []]


def direct(as_user: AsUser, one_person: UUID, other: UUID) -> UUID:
    with as_user(one_person) as conn:
        return one(conn, "select id from public.start_direct_conversation(%s)", other)


@asynccontextmanager
async def one_under_way(sends: Send, world: World, database_url: str) -> AsyncGenerator[asyncio.Task[bytes]]:
    """A send waits for a lock on the group, so that what comes next goes together; afterwards it goes on."""
    with psycopg.connect(database_url) as other:
        other.execute("select from public.conversations where id = %s for update", [world.group])
        task = asyncio.create_task(sends(world.coach, params(world.group, "first")))
        await asyncio.sleep(0)
        yield task
        other.rollback()
    assert json.loads(await task)["conversation_id"] == str(world.group)


def transactions(owner: Connection, ids: list[str]) -> list[int]:
    """Of each message the transaction that wrote it."""
    found = rows(
        owner, "select message_id::text, xid::text::bigint as xid from public.live_events where message_id = any (%s)",
        [UUID(one_id) for one_id in ids],
    )  # fmt: skip
    by_id = {row["message_id"]: row["xid"] for row in found}
    return [by_id[one_id] for one_id in ids]


async def test_each_in_company_is_itself_and_is_told_its_own_outcome(
    sends: Send, owner: Connection, as_user: AsUser, world: World, database_url: str
) -> None:
    pair, other_pair = direct(as_user, world.coach, world.dana), direct(as_user, world.coach, world.amir)
    key, used = uuid4(), uuid4()
    with as_user(world.dana) as conn:
        first = one(conn, "select id from public.post_message(%s, 'said before', %s)", pair, used)
    asked: list[tuple[UUID, Sequence[object], str | None]] = [
        (world.dana, params(pair, "from dana"), None),
        (world.amir, params(pair, "not his"), "not_found"),
        (world.amir, params(other_pair, "from amir", key=key), None),
        (world.amir, params(other_pair, "from amir", key=key), None),
        (world.dana, params(uuid4(), "nowhere"), "not_found"),
        (world.coach, params(pair, "from the coach"), None),
        (world.coach, params(pair, "in answer", reply_to=uuid4()), "reply_unknown"),
        (world.dana, params(pair, "another text", key=used), "idempotency_conflict"),
        (world.dana, params(pair, "said before", key=used), None),
        (world.coach, params(other_pair, "mentions dana", mentions=[world.dana]), "mention_unknown"),
        (world.coach, params(other_pair, "mentions amir", mentions=[world.amir]), None),
    ]
    async with one_under_way(sends, world, database_url):
        tasks = [asyncio.create_task(sends(who, given)) for who, given, _ in asked]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    done: list[dict[str, Any]] = []
    for (who, given, refusal), answer in zip(asked, answers, strict=True):
        if refusal is not None:
            assert isinstance(answer, AppError), given
            assert answer.code == refusal
            continue
        assert isinstance(answer, bytes), answer
        sent = json.loads(answer)
        assert (sent["sender_id"], sent["content"]) == (str(who), given[1])
        with as_user(who) as conn:
            page = one(conn, "select public.conversation_timeline_json(%s, %s, 1)", given[0], sent["seq"] + 1)
        assert list(page["items"][0].items()) == list(sent.items())
        done.append(sent)
    dana, amir, again, coach, before, mentioning = done
    assert amir == again
    assert before["id"] == str(first)
    assert dana["seq"] + 1 == coach["seq"], "no number was used up by what was refused"
    written = transactions(owner, [dana["id"], amir["id"], coach["id"], mentioning["id"]])
    assert len(set(written)) == 1, "they went together"


async def test_what_no_call_can_hold_spoils_nothing_for_the_others(
    sends: Send, as_user: AsUser, world: World, database_url: str
) -> None:
    pair = direct(as_user, world.coach, world.dana)
    async with one_under_way(sends, world, database_url):
        bad, good = (asyncio.create_task(sends(world.dana, params(pair, text))) for text in ("nul \x00", "good"))
        with pytest.raises(AppError) as refused:
            await bad
        assert refused.value.code == "invalid_value"
        assert json.loads(await good)["content"] == "good"


async def test_who_waits_for_a_lock_keeps_nobody_else_waiting(
    sends: Send, as_user: AsUser, world: World, database_url: str
) -> None:
    pair = direct(as_user, world.coach, world.dana)
    async with one_under_way(sends, world, database_url) as stuck:
        more = [
            asyncio.create_task(sends(world.dana, params(where, "hello")))
            for where in (world.group, pair, world.group, pair)
        ]
        async with asyncio.timeout(10):
            free = await asyncio.gather(more[1], more[3])
        assert [json.loads(answer)["conversation_id"] for answer in free] == [str(pair)] * 2
        assert not any(task.done() for task in (stuck, more[0], more[2]))
    for task in (more[0], more[2]):
        assert json.loads(await task)["conversation_id"] == str(world.group)


async def test_many_callers_at_once_are_answered_with_what_is_there(
    caller: Callers, owner: Connection, world: World
) -> None:
    people = [caller(person) for person in (world.coach, world.dana, world.amir)]
    before = one(owner, "select last_seq from public.conversations where id = %s", world.group)
    path = f"/conversations/{world.group}/messages"
    answers = await asyncio.gather(*(people[n % 3]("POST", path, 201, content=f"{n}") for n in range(45)))
    sent = sorted(answers, key=lambda message: message["seq"])
    assert [message["seq"] for message in sent] == list(range(before + 1, before + 46))
    kept = rows(
        owner, "select id::text, content, sender_id::text from public.messages where conversation_id = %s and seq > %s"
        " order by seq", world.group, before,
    )  # fmt: skip
    assert [(m["id"], m["content"], m["sender_id"]) for m in sent] == [tuple(row.values()) for row in kept]
    assert len(set(transactions(owner, [message["id"] for message in sent]))) < 45
    assert one(
        owner, "select count(*) from public.message_deliveries where message_id = any (%s)", [row["id"] for row in kept]
    ) == 45 * 2 * 3  # fmt: skip
