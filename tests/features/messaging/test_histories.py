"""Unread counts and what one may see, against a plain model of them, over random histories."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from tests.features.messaging.world import World, one, rows
from tests.support.cluster import Cluster

HISTORIES = 60
STEPS = 25


@dataclass
class Seat:
    """What the model knows of a person in the conversation."""

    here: bool = True
    read: int = 0
    first: int = 1


@dataclass
class Said:
    """A message of the model; gone from `Model.said` when purged."""

    sender: UUID
    deleted: bool = False


@dataclass
class Model:
    """One group: who is there, what was said, how far each has read."""

    seats: dict[UUID, Seat]
    said: dict[int, Said] = field(default_factory=dict)
    last: int = 0

    def post(self, person: UUID) -> None:
        self.last += 1
        self.said[self.last] = Said(person)
        if self.seats[person].read == self.last - 1:
            self.seats[person].read = self.last

    def visible(self, person: UUID) -> set[int]:
        seat = self.seats[person]
        return {seq for seq in self.said if seat.here and seq >= seat.first}

    def unread(self, person: UUID) -> int:
        seat = self.seats[person]
        return sum(
            1
            for seq in self.visible(person)
            if seq > seat.read and self.said[seq].sender != person and not self.said[seq].deleted
        )


class Stage:
    """One transaction in which everybody acts; nothing of it stays."""

    def __init__(self, conn: psycopg.Connection[DictRow], coach: UUID, members: list[UUID]) -> None:
        self.conn = conn
        self.coach = coach
        self.act(coach)
        self.group = one(conn, "select id from public.create_group_conversation('History', %s)", members)
        self.model = Model({person: Seat() for person in (coach, *members)})

    def act(self, person: UUID | None) -> None:
        role = "none" if person is None else "authenticated"
        claims = json.dumps({"sub": str(person)}) if person else ""
        self.conn.execute(
            "select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)", [role, claims]
        )

    def step(self, dice: random.Random) -> None:
        model = self.model
        here = [person for person, seat in model.seats.items() if seat.here]
        person = dice.choice(here)
        members = [one_ for one_ in model.seats if one_ != self.coach]
        kind = dice.choices(["post", "read", "delete", "purge", "leave", "remove", "add"], [10, 8, 3, 1, 1, 1, 3])[0]
        self.act(person)
        if kind == "post":
            self.conn.execute("select public.post_message(%s, 'x')", [self.group])
            model.post(person)
        elif kind == "read":
            seq = dice.randint(0, model.last + 2)
            self.conn.execute("select public.mark_read(%s, %s)", [self.group, seq])
            model.seats[person].read = max(model.seats[person].read, min(seq, model.last))
        elif kind in {"delete", "purge"} and model.said:
            self.remove(kind, dice.choice(list(model.said)))
        elif kind == "leave" and person != self.coach:
            self.conn.execute("select public.leave_conversation(%s)", [self.group])
            model.seats[person].here = False
        elif kind in {"remove", "add"}:
            self.act(self.coach)
            self.move(kind, dice.choice(members), dice.random() < 0.5)

    def remove(self, kind: str, seq: int) -> None:
        message = one(self.conn, "select private.seq_message(%s, %s)", self.group, seq)
        if kind == "purge":
            self.act(None)
            self.conn.execute("delete from public.messages where id = %s", [message])
            del self.model.said[seq]
        else:
            self.act(self.coach)
            self.conn.execute("select public.delete_message(%s)", [message])
            self.model.said[seq].deleted = True

    def move(self, kind: str, member: UUID, share: bool) -> None:
        seat = self.model.seats[member]
        if kind == "remove" and seat.here:
            self.conn.execute("select public.remove_from_conversation(%s, %s)", [self.group, member])
            seat.here = False
        elif kind == "add" and not seat.here:
            self.conn.execute("select public.add_to_conversation(%s, %s, %s)", [self.group, [member], share])
            self.model.seats[member] = Seat(True, self.model.last, 1 if share else self.model.last + 1)

    def check(self) -> None:
        for person in self.model.seats:
            self.act(person)
            counted: dict[str, Any] = one(self.conn, "select public.unread_json()")
            unread = {item["conversation_id"]: item["unread"] for item in counted["items"]}.get(str(self.group), 0)
            seen = rows(self.conn, "select seq from public.messages where conversation_id = %s", self.group)
            assert {row["seq"] for row in seen} == self.model.visible(person)
            assert unread == self.model.unread(person)
        self.act(None)


@pytest.fixture
def stage_conn(cluster: Cluster, database_name: str) -> Any:
    with psycopg.connect(cluster.url(database_name, "postgres"), row_factory=dict_row) as conn:
        conn.execute(
            "create function private.seq_message(uuid, bigint) returns uuid language sql stable security definer"
            " set search_path = '' as 'select id from public.messages where conversation_id = $1 and seq = $2'"
        )
        yield conn
        conn.rollback()


def test_unread_counts_and_visibility_are_what_a_plain_model_says(
    stage_conn: psycopg.Connection[DictRow], world: World, request: pytest.FixtureRequest
) -> None:
    histories = 5_000 if request.config.getoption("--campaign") else HISTORIES
    for seed in range(histories):
        dice = random.Random(seed)  # noqa: S311 - a history that can be told again
        stage_conn.execute("savepoint history")
        stage = Stage(stage_conn, world.coach, [world.dana, world.amir, world.noa])
        try:
            for _ in range(STEPS):
                stage.step(dice)
            stage.check()
        except AssertionError as wrong:
            raise AssertionError(f"history {seed}") from wrong
        stage_conn.execute("rollback to savepoint history")


def test_the_model_notices_a_count_that_forgets_deletions(
    stage_conn: psycopg.Connection[DictRow], world: World
) -> None:
    stage_conn.execute("alter table public.messages disable trigger messages_audit_tombstone")
    with pytest.raises(AssertionError):
        for seed in range(HISTORIES):
            dice = random.Random(seed)  # noqa: S311 - a history that can be told again
            stage_conn.execute("savepoint history")
            stage = Stage(stage_conn, world.coach, [world.dana, world.amir, world.noa])
            for _ in range(STEPS):
                stage.step(dice)
            stage.check()
            stage_conn.execute("rollback to savepoint history")
