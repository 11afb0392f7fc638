"""Mentions never carry a message to somebody who may not have it: twelve cases, three channels, thirty-six cells."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from loom.providers.push.sink import PushSink
from tests.features.messaging.office import Office, states
from tests.features.messaging.test_messages import refusal
from tests.features.messaging.world import Connection, World, make_person, one, relate, rows
from tests.support.acting import AsUser

Cell = tuple[str, str | None] | None
SENT: tuple[Cell, Cell, Cell] = (("sent", None), ("sent", None), ("sent", None))
NOTHING: tuple[Cell, Cell, Cell] = (None, None, None)
UNKNOWN = ("PT422", "mention_unknown")
SECRET = "the secret plan"


@dataclass
class Scene:
    """A group of a coach with somebody, who has a mailbox and a phone, and what was said in it."""

    owner: Connection
    as_user: AsUser
    coach: UUID
    person: UUID
    outsider: UUID
    group: UUID
    refused: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def call(self, who: UUID, query: str, *params: Any) -> Any:
        with self.as_user(who) as conn:
            return one(conn, query, *params)

    def send(self, mentions: list[UUID], text: str = SECRET) -> UUID | None:
        """The message's id, or None where it was refused."""
        try:
            return self.call(
                self.coach, "select id from public.post_message(%s, %s, null, %s)", self.group, text, mentions
            )
        except psycopg.Error as error:
            self.refused.append(refusal(error))
            return None

    def edit(self, message: UUID | None, text: str, mentions: list[UUID]) -> None:
        try:
            self.call(self.coach, "select id from public.edit_message(%s, %s, %s)", message, text, mentions)
        except psycopg.Error as error:
            self.refused.append(refusal(error))

    def remove(self, person: UUID) -> None:
        self.call(self.coach, "select public.remove_from_conversation(%s, %s)", self.group, person)

    def add(self, person: UUID) -> None:
        self.call(self.coach, "select public.add_to_conversation(%s, %s)", self.group, [person])


def outsider(scene: Scene) -> UUID | None:
    return scene.send([scene.outsider])


def nobody(scene: Scene) -> UUID | None:
    return scene.send([uuid4()])


def has_left(scene: Scene) -> UUID | None:
    scene.call(scene.person, "select public.leave_conversation(%s)", scene.group)
    return scene.send([scene.person])


def an_outsider_beside_a_member(scene: Scene) -> UUID | None:
    return scene.send([scene.person, scene.outsider])


def joined_later(scene: Scene) -> UUID | None:
    scene.remove(scene.person)
    message = scene.send([])
    scene.add(scene.person)
    scene.edit(message, SECRET + ", for you too", [scene.person])
    return message


def mentioned_by_an_edit(scene: Scene) -> UUID | None:
    message = scene.send([])
    scene.edit(message, "now you", [scene.person])
    return message


def an_outsider_by_an_edit(scene: Scene) -> UUID | None:
    message = scene.send([scene.person])
    scene.edit(message, SECRET + "!", [scene.person, scene.outsider])
    return message


def taken_back_before_sending(scene: Scene) -> UUID | None:
    message = scene.send([scene.person])
    scene.edit(message, "nothing for you", [])
    return message


def deleted_before_sending(scene: Scene) -> UUID | None:
    message = scene.send([scene.person])
    scene.call(scene.coach, "select id from public.delete_message(%s)", message)
    return message


def removed_before_sending(scene: Scene) -> UUID | None:
    message = scene.send([scene.person])
    scene.remove(scene.person)
    return message


def muted_and_mentioned(scene: Scene) -> UUID | None:
    scene.owner.execute(
        "update public.conversation_participants set is_muted = true where conversation_id = %s and user_id = %s",
        [scene.group, scene.person],
    )
    return scene.send([scene.person])


def in_a_conversation_of_two(scene: Scene) -> UUID | None:
    scene.group = scene.call(scene.coach, "select id from public.start_direct_conversation(%s)", scene.person)
    return scene.send([scene.person, scene.outsider]) or scene.send([scene.person])


# What the mentioned (the person; the outsider in the first two) has of it on: in_app, email, push.
CASES: list[tuple[Any, tuple[Cell, Cell, Cell], bool]] = [
    (outsider, NOTHING, True),
    (nobody, NOTHING, True),
    (has_left, NOTHING, True),
    (an_outsider_beside_a_member, NOTHING, True),
    (joined_later, NOTHING, False),
    (mentioned_by_an_edit, SENT, False),
    (an_outsider_by_an_edit, SENT, True),
    (taken_back_before_sending, SENT, False),
    (deleted_before_sending, (("sent", None), ("suppressed", "deleted"), ("suppressed", "deleted")), False),
    (removed_before_sending, (("sent", None), ("suppressed", "left"), ("suppressed", "left")), False),
    (muted_and_mentioned, (("sent", None), ("suppressed", "muted"), ("suppressed", "muted")), False),
    (in_a_conversation_of_two, SENT, True),
]


@pytest.mark.parametrize(("case", "cells", "refuses"), CASES, ids=[case[0].__name__ for case in CASES])
async def test_a_mention_reaches_who_may_have_it_and_tells_nobody_else(
    owner: Connection,
    as_user: AsUser,
    world: World,
    office: Office,
    sink: PushSink,
    case: Any,
    cells: tuple[Cell, Cell, Cell],
    refuses: bool,
) -> None:
    people = [make_person(owner, name) for name in ("Mentioned", "Outsider")]
    for person in people:
        relate(owner, world.coach, person)
        target = sink.add_device(f"{case.__name__}-{person}").target(sink.base_url)
        with as_user(person) as conn:
            conn.execute(
                "select public.register_push_subscription(%s, %s, %s)", [target.endpoint, target.p256dh, target.auth]
            )
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Private', %s)", [people[0]])
    scene = Scene(owner, as_user, world.coach, people[0], people[1], group)
    message = case(scene)
    await office.drain()
    # An outsider, somebody who left and nobody at all are refused in the same words.
    assert scene.refused == ([UNKNOWN] if refuses else [])
    found = states(owner, message) if message is not None else {}
    channels = ("in_app", "email", "push")
    assert tuple(found.get((scene.person, channel)) for channel in channels) == cells
    assert not any(person == scene.outsider for person, _ in found)
    mentioned = rows(owner, "select mentioned_user_id from public.message_mentions where message_id = %s", message)
    assert scene.outsider not in {row["mentioned_user_id"] for row in mentioned}
    # What went out is what it said at that moment; to the outsider nothing went at all.
    outsider_mail = one(owner, "select email from public.users where id = %s", scene.outsider)
    assert not [mail for mail in office.mails() if outsider_mail in str(mail["To"])]
    assert sink.devices[f"{case.__name__}-{scene.outsider}"].received == []
    bodies = [json.loads(notice)["body"] for notice in sink.devices[f"{case.__name__}-{scene.person}"].received]
    if cells[2] != ("sent", None):
        assert bodies == []
    if case in {taken_back_before_sending, mentioned_by_an_edit}:
        assert SECRET not in "".join(bodies)
