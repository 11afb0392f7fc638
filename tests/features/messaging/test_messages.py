"""Messages in SQL: numbering, repetition, edits, tombstones, mentions, who reads what."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.features.messaging.world import Connection, World, one, post, rows
from tests.support.acting import AsRole, AsUser


def refusal(error: psycopg.Error) -> tuple[str | None, str | None]:
    """SQLSTATE and code of a refusal."""
    return error.sqlstate, error.diag.constraint_name


def in_threads(jobs: list[Any]) -> list[Any]:
    """Runs all at once; a job's exception is its result."""
    results: list[Any] = [None] * len(jobs)
    gate = threading.Barrier(len(jobs))

    def run(place: int) -> None:
        gate.wait()
        try:
            results[place] = jobs[place]()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_numbers_are_dense_with_eight_senders_at_once(owner: Connection, as_user: AsUser, world: World) -> None:
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Busy', %s)", [world.dana, world.amir])
    people = [world.coach, world.dana, world.amir]

    def sender(place: int) -> Any:
        def run() -> None:
            for n in range(12):
                with as_user(people[place % 3]) as conn:
                    conn.execute(
                        "insert into public.messages (conversation_id, sender_id, content) values (%s, %s, 'hi')",
                        [group, people[place % 3]],
                    )
                    if n % 4 == 0:
                        conn.rollback()

        return run

    assert in_threads([sender(place) for place in range(8)]) == [None] * 8
    numbers = [
        row["seq"]
        for row in rows(owner, "select seq from public.messages where conversation_id = %s order by seq", group)
    ]
    assert numbers == list(range(1, 8 * 9 + 1))
    assert one(owner, "select last_seq from public.conversations where id = %s", group) == 72


def test_a_message_sent_five_times_at_once_is_one_message(owner: Connection, as_user: AsUser, world: World) -> None:
    key = uuid4()
    before = one(owner, "select last_seq from public.conversations where id = %s", world.group)
    sent = in_threads([lambda: post(as_user, world.dana, world.group, "once", key=key)["id"]] * 5)
    assert len(set(sent)) == 1
    assert isinstance(sent[0], UUID)
    assert one(owner, "select count(*) from public.messages where client_message_id = %s", key) == 1
    assert one(owner, "select last_seq from public.conversations where id = %s", world.group) == before + 1
    # An edit in between does not make the repetition look different; other content does.
    with as_user(world.dana) as conn:
        conn.execute("select public.edit_message(%s, 'edited')", [sent[0]])
    assert post(as_user, world.dana, world.group, "once", key=key)["content"] == "edited"
    with pytest.raises(psycopg.Error) as caught:
        post(as_user, world.dana, world.group, "other", key=key)
    assert refusal(caught.value) == ("PT409", "idempotency_conflict")
    # Somebody else's key is their own affair.
    assert post(as_user, world.amir, world.group, "once", key=key)["id"] != sent[0]


def test_a_repetition_that_does_nothing_uses_up_no_number(owner: Connection, as_user: AsUser, world: World) -> None:
    key = uuid4()
    first = post(as_user, world.dana, world.group, "ignored twice", key=key)
    with as_user(world.dana) as conn:
        again = conn.execute(
            "insert into public.messages (conversation_id, sender_id, content, client_message_id)"
            " values (%s, %s, 'x', %s) on conflict (sender_id, client_message_id) do nothing",
            [world.group, world.dana, key],
        )
        assert again.rowcount == 0
    owner.execute(
        "insert into public.messages (id, conversation_id, sender_id, content) values (%s, %s, %s, 'x')"
        " on conflict do nothing",
        [first["id"], world.group, world.dana],
    )
    assert post(as_user, world.dana, world.group, "next")["seq"] == first["seq"] + 1


def test_a_plain_insert_returns_its_row_and_owner_imports_need_only_the_old_columns(
    owner: Connection, as_user: AsUser, as_role: AsRole, world: World
) -> None:
    with as_user(world.amir) as conn:
        row = conn.execute(
            "insert into public.messages (conversation_id, sender_id, content) values (%s, %s, 'plain') returning *",
            [world.group, world.amir],
        ).fetchone()
    with as_role("service_role") as conn:
        conn.execute(
            "insert into public.messages (conversation_id, sender_id, type, content, created_at)"
            " values (%s, %s, 'system', '', '2020-01-01')",
            [world.group, world.coach],
        )
    old = one(
        owner, "select id from public.messages where created_at = '2020-01-01' and conversation_id = %s", world.group
    )
    assert one(owner, "select seq from public.messages where id = %s", old) == row["seq"] + 1
    # History is no news: nobody is told.
    assert one(owner, "select count(*) from public.message_deliveries where message_id = %s", old) == 0
    assert one(owner, "select count(*) from public.message_deliveries where message_id = %s", row["id"]) == 6


@pytest.mark.parametrize("content", ["", "   \n\t ", "\u200b", " \u2060\ufeff\u200f\n", None, "x" * 10_001])
def test_a_message_must_say_something_and_not_too_much(as_user: AsUser, world: World, content: str | None) -> None:
    with pytest.raises(psycopg.Error) as caught:
        post(as_user, world.dana, world.group, content)  # type: ignore[arg-type]
    assert refusal(caught.value) == ("PT422", "content_invalid")


def test_the_longest_message_is_taken(as_user: AsUser, world: World) -> None:
    assert len(post(as_user, world.dana, world.group, "ש" * 10_000)["content"]) == 10_000


@pytest.mark.parametrize("who", ["stranger", "other_coach", "noa", "admin"])
def test_outsiders_cannot_write_and_learn_nothing_from_trying(as_user: AsUser, world: World, who: str) -> None:
    outsider = getattr(world, who)
    answers = []
    for conversation in (world.group, uuid4()):
        with pytest.raises(psycopg.Error) as caught:
            post(as_user, outsider, conversation, "let me in")
        answers.append((refusal(caught.value), str(caught.value)))
        with pytest.raises(psycopg.Error) as caught, as_user(outsider) as conn:
            conn.execute(
                "insert into public.messages (conversation_id, sender_id, content, reply_to_id)"
                " values (%s, %s, '', %s)",
                [conversation, outsider, uuid4()],
            )
        answers.append((caught.value.sqlstate, str(caught.value)))
    assert answers[:2] == answers[2:]
    assert answers[0][0] == ("PT404", "not_found")
    assert answers[1][0] == "42501"


def test_nobody_writes_in_anothers_name_or_enters_by_themselves(as_user: AsUser, world: World) -> None:
    for statement, params in (
        (
            "insert into public.messages (conversation_id, sender_id, content) values (%s, %s, 'hi')",
            [world.group, world.amir],
        ),
        (
            "insert into public.conversation_participants (conversation_id, user_id) values (%s, %s)",
            [world.group, world.noa],
        ),
        ("insert into public.conversations (created_by, type) values (%s, 'group')", [world.noa]),
        ("update public.conversation_participants set user_id = %s", [world.noa]),
        ("update public.messages set sender_id = %s", [world.noa]),
        ("update public.messages set conversation_id = %s", [world.group]),
        ("delete from public.messages where conversation_id = %s", [world.group]),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(world.noa) as conn:
            conn.execute(statement, params)


def test_only_people_of_the_conversation_read_it(
    owner: Connection, as_user: AsUser, as_role: AsRole, world: World
) -> None:
    message = post(as_user, world.coach, world.group, "for us")
    with as_user(world.dana) as conn:
        conn.execute(
            "insert into public.message_reactions (message_id, user_id, emoji) values (%s, %s, '👍')",
            [message["id"], world.dana],
        )
        conn.execute("select public.mark_read(%s, %s)", [world.group, message["seq"]])
        conn.execute("select public.set_typing(%s, true)", [world.group])
    tables = [
        "conversations", "messages", "message_reactions", "message_read_receipts", "typing_indicators",
        "conversation_participants", "message_delivery_states", "message_deliveries",
    ]  # fmt: skip
    seen: dict[str, dict[str, int]] = {}
    for name in ("dana", "coach", "noa", "stranger", "other_coach", "admin"):
        with as_user(getattr(world, name)) as conn:
            column = {"conversations": "id"}
            seen[name] = {
                table: one(
                    conn,
                    f"select count(*) from public.{table} where {column.get(table, 'conversation_id')} = %s",
                    world.group,
                )
                for table in tables
            }
    for name in ("noa", "stranger", "other_coach"):
        assert set(seen[name].values()) == {0}, name
    assert all(count > 0 for count in seen["coach"].values())
    assert all(count > 0 for count in seen["admin"].values())
    assert seen["dana"]["conversation_participants"] == 1
    assert seen["admin"]["conversation_participants"] == 3
    for table in [
        *tables,
        "message_mentions",
        "conversation_contexts",
        "message_deletions",
        "push_subscriptions",
        "message_attachments",
    ]:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), as_role("anon") as conn:
            conn.execute(f"select from public.{table}")
    owner.execute("update public.users set status = 'suspended' where id = %s", [world.dana])
    try:
        with as_user(world.dana) as conn:
            assert {one(conn, f"select count(*) from public.{table}") for table in tables} == {0}
            with pytest.raises(psycopg.Error):
                conn.execute("select public.post_message(%s, 'still here')", [world.group])
    finally:
        owner.execute("update public.users set status = 'active' where id = %s", [world.dana])


def test_who_has_left_reads_and_writes_nothing_more_and_who_comes_later_not_what_was_before(
    as_user: AsUser, world: World
) -> None:
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Turns', %s)", [world.dana])
    before = post(as_user, world.dana, group, "before")
    with as_user(world.dana) as conn:
        conn.execute(
            "insert into public.message_reactions (message_id, user_id, emoji) values (%s, %s, '🙂')",
            [before["id"], world.dana],
        )
    with as_user(world.coach) as conn:
        conn.execute("select public.add_to_conversation(%s, %s)", [group, [world.amir]])
    after = post(as_user, world.coach, group, "after")
    with as_user(world.amir) as conn:
        assert [
            row["content"]
            for row in rows(conn, "select content from public.messages where conversation_id = %s", group)
        ] == ["after"]
        assert one(conn, "select count(*) from public.message_reactions where conversation_id = %s", group) == 0
        page = one(conn, "select public.conversation_timeline_json(%s)", group)
        assert [item["content"] for item in page["items"]] == ["after"]
        assert one(conn, "select (public.inbox_json() -> 'items' -> 0 ->> 'unread')::int") == 1
    with pytest.raises(psycopg.Error) as caught:
        post(as_user, world.amir, group, "quoting", reply_to=before["id"])
    assert refusal(caught.value) == ("PT422", "reply_unknown")
    with as_user(world.amir) as conn:
        conn.execute("select public.leave_conversation(%s)", [group])
    with as_user(world.amir) as conn:
        assert rows(conn, "select from public.messages where conversation_id = %s", group) == []
        assert rows(conn, "select from public.conversations where id = %s", group) == []
        assert rows(conn, "select from public.conversation_participants where conversation_id = %s", group) == []
    for call in ("public.post_message(%s, 'back')", "public.mark_read(%s, 1)", "public.set_typing(%s, true)",
                 "public.conversation_timeline_json(%s)",
                 "public.conversation_people(%s)", "public.leave_conversation(%s)"):  # fmt: skip
        with pytest.raises(psycopg.Error) as caught, as_user(world.amir) as conn:
            conn.execute(f"select {call}", [group])
        assert refusal(caught.value) == ("PT404", "not_found")
    # Told to the coach, the former member still has a name.
    with as_user(world.coach) as conn:
        people = rows(conn, "select display_name, is_current from public.conversation_people(%s)", group)
    assert {"display_name": "Amir Levi", "is_current": False} in people
    # Back again: what was said meanwhile stays unseen.
    post(as_user, world.coach, group, "while away")
    with as_user(world.coach) as conn:
        conn.execute("select public.add_to_conversation(%s, %s)", [group, [world.amir]])
    post(as_user, world.coach, group, "welcome back")
    with as_user(world.amir) as conn:
        assert [
            row["content"]
            for row in rows(conn, "select content from public.messages where conversation_id = %s order by seq", group)
        ] == ["welcome back"]
    assert after["seq"] == 2


def test_a_mention_never_tells_who_exists_or_was_here(owner: Connection, as_user: AsUser, world: World) -> None:
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Names', %s)", [world.dana, world.amir])
    with as_user(world.amir) as conn:
        conn.execute("select public.leave_conversation(%s)", [group])
    mine = post(as_user, world.dana, group, "hello")
    theirs = post(as_user, world.coach, group, "hello back")
    answers = set()
    for person in (world.noa, world.stranger, world.other_coach, world.admin, world.amir, uuid4()):
        with pytest.raises(psycopg.Error) as caught:
            post(as_user, world.dana, group, "you?", mentions=[world.coach, person])
        answers.add((caught.value.sqlstate, caught.value.diag.message_primary))
        with pytest.raises(psycopg.Error) as caught, as_user(world.dana) as conn:
            conn.execute(
                "insert into public.message_mentions (message_id, mentioned_user_id) values (%s, %s)",
                [mine["id"], person],
            )
        answers.add((caught.value.sqlstate, caught.value.diag.message_primary))
        with pytest.raises(psycopg.Error) as caught, as_user(world.dana) as conn:
            conn.execute("select public.edit_message(%s, 'you?', %s)", [mine["id"], [person]])
        answers.add((caught.value.sqlstate, caught.value.diag.message_primary))
    assert answers == {("PT422", "Only people in this conversation can be mentioned.")}
    for message in (theirs["id"], uuid4(), post(as_user, world.coach, world.group, "elsewhere")["id"]):
        for person in (world.coach, uuid4()):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(world.dana) as conn:
                conn.execute(
                    "insert into public.message_mentions (message_id, mentioned_user_id) values (%s, %s)",
                    [message, person],
                )
    assert one(owner, "select count(*) from public.message_mentions where conversation_id = %s", group) == 0
    assert one(owner, "select count(*) from public.messages where conversation_id = %s", group) == 2
    # The same calls with somebody who is there pass.
    with as_user(world.dana) as conn:
        conn.execute(
            "insert into public.message_mentions (message_id, mentioned_user_id) values (%s, %s)",
            [mine["id"], world.coach],
        )
        conn.execute("select public.edit_message(%s, 'you?', '{}')", [mine["id"]])
    assert one(owner, "select count(*) from public.message_mentions where conversation_id = %s", group) == 0
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        owner.execute(
            "insert into public.message_mentions (message_id, mentioned_user_id) values (%s, %s)",
            [mine["id"], world.stranger],
        )
