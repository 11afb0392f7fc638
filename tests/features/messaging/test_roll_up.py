"""What many deliveries add up to, and who gets one at all, against small oracles; and both under concurrency."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from tests.features.messaging.test_messages import in_threads
from tests.features.messaging.world import Connection, World, make_person, one, post, relate, rows
from tests.support.acting import AsUser
from tests.support.waiting import until

STATES = ["pending", "leased", "sent", "failed", "suppressed"]
SET_STATE: LiteralString = """
update public.message_deliveries
set
  state = %(state)s,
  reason = case when %(state)s in ('failed', 'suppressed') then %(reason)s end,
  error_message = null,
  next_attempt_at = case when %(state)s in ('pending', 'leased') then now() end,
  lease_until = case when %(state)s = 'leased' then now() end,
  sent_at = case when %(state)s = 'sent' then now() end
where id = %(id)s
"""
many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def oracle(states: list[str]) -> str:
    """DESIGN section 4, word by word."""
    if {"pending", "leased"} & set(states):
        return "pending"
    return "sent" if "sent" in states else "failed"


@pytest.fixture(scope="module")
def crowd(database_url: str, as_user: AsUser, world: World) -> dict[str, Any]:
    """A message to five people, and its five e-mail deliveries."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as conn:
        people = [make_person(conn, f"Crowd{number}") for number in range(5)]
        for person in people:
            relate(conn, world.coach, person)
        with as_user(world.coach) as caller:
            group = one(caller, "select id from public.create_group_conversation('Crowd', %s)", people)
        message = post(as_user, world.coach, group, "to all of you")["id"]
        found = rows(
            conn, "select id from public.message_deliveries where message_id = %s and channel = 'email'", message
        )
    return {"people": people, "group": group, "message": message, "deliveries": [row["id"] for row in found]}


def email_roll_up(conn: Connection, message: UUID) -> dict[str, Any]:
    return rows(
        conn, "select * from public.message_delivery_states where message_id = %s and channel = 'email'", message
    )[0]


@many
@given(
    moves=st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(STATES), st.sampled_from(["muted", "no_email", "smtp_refused"])),
        min_size=1,
        max_size=12,
    )
)
def test_a_roll_up_is_what_its_deliveries_add_up_to(
    owner: Connection, crowd: dict[str, Any], moves: list[tuple[int, str, str]]
) -> None:
    for place, state, reason in moves:
        owner.execute(SET_STATE, {"id": crowd["deliveries"][place], "state": state, "reason": reason})
        now = rows(
            owner, "select state, reason from public.message_deliveries where id = any (%s)", crowd["deliveries"]
        )
        states = [row["state"] for row in now]
        seen = email_roll_up(owner, crowd["message"])
        # Taking a lease says nothing new; whatever it follows was open or is made open by hand only.
        if state != "leased":
            assert seen["status"] == oracle(states)
            assert (seen["sent_at"] is not None) == (seen["status"] == "sent")
            if set(states) == {"suppressed"}:
                reasons = sorted({row["reason"] for row in now})
                assert seen["error_message"] == f"suppressed: {', '.join(reasons)}"


@contextmanager
def weakened(owner: Connection, function: str, without: str) -> Iterator[None]:
    """A function as it would be without some words, until the end of the block."""
    whole = one(owner, "select pg_get_functiondef(%s::regprocedure)", function)
    assert without in whole
    owner.execute(cast("LiteralString", whole.replace(without, "")))
    try:
        yield
    finally:
        owner.execute(cast("LiteralString", whole))


def finish_two_at_once(owner: Connection, database_url: str, crowd: dict[str, Any]) -> str:
    """Two workers end the last two open deliveries, each before the other has committed; gives the roll-up."""
    for number, delivery in enumerate(crowd["deliveries"]):
        state = "pending" if number < 2 else "suppressed"
        owner.execute(SET_STATE, {"id": delivery, "state": state, "reason": "muted"})
    first, second = (psycopg.connect(database_url) for _ in range(2))
    with first, second:
        first.execute(SET_STATE, {"id": crowd["deliveries"][0], "state": "sent", "reason": None})
        other = threading.Thread(
            target=lambda: second.execute(SET_STATE, {"id": crowd["deliveries"][1], "state": "sent", "reason": None})
        )
        other.start()
        waits = "select exists (select from pg_stat_activity where pid = %s and wait_event_type = 'Lock')"
        until(lambda: one(owner, waits, second.info.backend_pid), "the second worker waits for the first")
        first.commit()
        other.join()
        second.commit()
    return email_roll_up(owner, crowd["message"])["status"]


def test_two_workers_that_finish_at_once_do_not_leave_it_pending(
    owner: Connection, database_url: str, crowd: dict[str, Any]
) -> None:
    assert finish_two_at_once(owner, database_url, crowd) == "sent"
    # Without the lock each counts the other's delivery as open, and nobody comes back to it.
    with weakened(owner, "private.roll_up_deliveries()", "for update"):
        assert finish_two_at_once(owner, database_url, crowd) == "pending"
    assert finish_two_at_once(owner, database_url, crowd) == "sent"


def test_without_the_conversations_lock_numbers_would_collide(
    owner: Connection, as_user: AsUser, crowd: dict[str, Any]
) -> None:
    def send(person: UUID) -> Any:
        return lambda: [post(as_user, person, crowd["group"], "at once")["seq"] for _ in range(10)]

    with weakened(owner, "private.place_message()", "for no key update"):
        found = in_threads([send(person) for person in crowd["people"] * 2])
    assert any(isinstance(result, Exception) for result in found)
    found = in_threads([send(person) for person in crowd["people"]])
    assert not [result for result in found if isinstance(result, Exception)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    choices=st.lists(
        st.fixed_dictionaries(
            {
                "muted": st.booleans(),
                "left": st.booleans(),
                "suspended": st.booleans(),
                "device": st.booleans(),
                "address": st.booleans(),
                "email_enabled": st.booleans(),
                "email_messages": st.booleans(),
                "push_enabled": st.booleans(),
                "push_messages": st.booleans(),
                "inapp_messages": st.booleans(),
            }
        ),
        min_size=5,
        max_size=5,
    )
)
def test_a_message_goes_to_exactly_those_it_should(
    owner: Connection, world: World, crowd: dict[str, Any], choices: list[dict[str, bool]]
) -> None:
    expected: dict[tuple[UUID, str], tuple[str, str | None]] = {}
    with owner.transaction(force_rollback=True):
        for person, chosen in zip(crowd["people"], choices, strict=True):
            _prepare(owner, crowd["group"], person, chosen)
            if not chosen["left"]:
                for channel in ("in_app", "email", "push"):
                    reason = _why_not(channel, chosen)
                    state = "suppressed" if reason else "sent" if channel == "in_app" else "pending"
                    expected[person, channel] = (state, reason)
        message = one(
            owner,
            "insert into public.messages (conversation_id, sender_id, content) values (%s, %s, 'hi') returning id",
            crowd["group"],
            world.coach,
        )
        planned = rows(owner, "select * from public.message_deliveries where message_id = %s", message)
        assert {(row["recipient_id"], row["channel"]): (row["state"], row["reason"]) for row in planned} == expected


def _why_not(channel: str, chosen: dict[str, bool]) -> str | None:
    if chosen["suspended"]:
        return "inactive"
    if channel == "in_app":
        return None if chosen["inapp_messages"] else "preference_off"
    if channel == "email" and not chosen["address"]:
        return "no_email"
    if channel == "push" and not chosen["device"]:
        return "no_subscription"
    if chosen["muted"]:
        return "muted"
    return None if chosen[f"{channel}_enabled"] and chosen[f"{channel}_messages"] else "preference_off"


def _prepare(owner: Connection, group: UUID, person: UUID, chosen: dict[str, bool]) -> None:
    owner.execute(
        "update public.conversation_participants set is_muted = %s, left_at = case when %s then now() end"
        " where conversation_id = %s and user_id = %s",
        [chosen["muted"], chosen["left"], group, person],
    )
    owner.execute(
        "update public.users set status = %s, email = id || case when %s then '@example.com' else '@gone.invalid' end"
        " where id = %s",
        ["suspended" if chosen["suspended"] else "active", chosen["address"], person],
    )
    owner.execute(
        "update public.notification_preferences"
        " set email_enabled = %(email_enabled)s, email_messages = %(email_messages)s,"
        " push_enabled = %(push_enabled)s, push_messages = %(push_messages)s, inapp_messages = %(inapp_messages)s"
        " where user_id = %(person)s",
        {**chosen, "person": person},
    )
    if chosen["device"]:
        owner.execute(
            "insert into public.push_subscriptions (user_id, endpoint, p256dh, auth)"
            " values (%s, 'https://push.example.com/' || %s, repeat('A', 87), repeat('A', 22))",
            [person, str(person)],
        )
