"""Messages in SQL: numbering, repetition, edits, tombstones, mentions, who reads what."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.features.messaging.world import Connection, World, make_person, one, post, relate, rows
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


@pytest.mark.parametrize("content", ["", "   \n\t ", None, "x" * 10_001])
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


def test_an_edit_leaves_marks_and_only_the_sender_edits(owner: Connection, as_user: AsUser, world: World) -> None:
    message = post(as_user, world.dana, world.group, "teh")
    with as_user(world.dana) as conn:
        edited = conn.execute("select * from public.edit_message(%s, 'the')", [message["id"]]).fetchone()
    assert (edited["content"], edited["is_edited"], edited["edited_at"] is not None) == ("the", True, True)
    with as_user(world.amir) as conn:
        assert conn.execute("update public.messages set content = 'mine' where id = %s", [message["id"]]).rowcount == 0
    with pytest.raises(psycopg.Error) as caught, as_user(world.coach) as conn:
        conn.execute("select public.edit_message(%s, 'mine')", [message["id"]])
    assert refusal(caught.value) == ("PT404", "not_found")
    with pytest.raises(psycopg.Error) as caught, as_user(world.dana) as conn:
        conn.execute("update public.messages set content = '' where id = %s", [message["id"]])
    assert refusal(caught.value) == ("PT422", "content_invalid")
    with pytest.raises(psycopg.Error) as caught:
        owner.execute("update public.messages set seq = seq + 1000 where id = %s", [message["id"]])
    assert refusal(caught.value) == ("PT409", "message_fixed")


def test_deleting_leaves_a_tombstone_and_an_audit_that_only_an_admin_reads(
    owner: Connection, as_user: AsUser, world: World
) -> None:
    message = post(as_user, world.dana, world.group, "regret", mentions=[world.amir])
    with as_user(world.amir) as conn:
        conn.execute(
            "insert into public.message_reactions (message_id, user_id, emoji) values (%s, %s, '😮')",
            [message["id"], world.amir],
        )
    with pytest.raises(psycopg.Error) as caught, as_user(world.amir) as conn:
        conn.execute("select public.delete_message(%s)", [message["id"]])
    assert refusal(caught.value) == ("PT404", "not_found")
    for _ in range(2):
        with as_user(world.dana) as conn:
            gone = conn.execute("select * from public.delete_message(%s, 'too early')", [message["id"]]).fetchone()
        assert (gone["content"], gone["deleted_by"], gone["seq"]) == (None, world.dana, message["seq"])
    assert one(owner, "select count(*) from public.message_reactions where message_id = %s", message["id"]) == 0
    with as_user(world.admin) as conn:
        audit = rows(conn, "select * from public.message_deletions where message_id = %s", message["id"])
    assert [(row["kind"], row["reason"], row["content_length"], row["deleted_by"]) for row in audit] == [
        ("tombstone", "too early", 6, world.dana)
    ]
    for person in (world.coach, world.dana):
        with as_user(person) as conn:
            assert rows(conn, "select from public.message_deletions") == []
    with pytest.raises(psycopg.Error), as_user(world.amir) as conn:
        conn.execute(
            "insert into public.message_reactions (message_id, user_id, emoji) values (%s, %s, '😮')",
            [message["id"], world.amir],
        )
    with as_user(world.dana) as conn:
        assert conn.execute("update public.messages set content = 'back' where id = %s", [message["id"]]).rowcount == 0
    # The coach of the conversation may remove what others wrote; a purge by the service is audited as well.
    other = post(as_user, world.amir, world.group, "spam")
    with as_user(world.coach) as conn:
        conn.execute("select public.delete_message(%s)", [other["id"]])
    owner.execute("delete from public.messages where id = %s", [other["id"]])
    kinds = rows(
        owner,
        "select kind, deleted_by from public.message_deletions where message_id = %s order by created_at",
        other["id"],
    )
    assert [row["kind"] for row in kinds] == ["tombstone", "purge"]


def test_between_two_nobody_takes_back_what_the_other_said(owner: Connection, as_user: AsUser, world: World) -> None:
    with as_user(world.coach) as conn:
        direct = one(conn, "select id from public.start_direct_conversation(%s)", world.amir)
    key = uuid4()
    message = post(as_user, world.amir, direct, "no", key=key)
    with pytest.raises(psycopg.Error) as caught, as_user(world.coach) as conn:
        conn.execute("select public.delete_message(%s)", [message["id"]])
    assert refusal(caught.value) == ("PT404", "not_found")
    with as_user(world.amir) as conn:
        conn.execute("select public.delete_message(%s)", [message["id"]])
    # A short text could be guessed from its digest; and the key still gives the message, such as it is.
    assert one(owner, "select client_digest from public.messages where id = %s", message["id"]) is None
    assert post(as_user, world.amir, direct, "no", key=key)["id"] == message["id"]


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


def test_reading_moves_only_forward_and_leaves_receipts_for_what_others_wrote(
    owner: Connection, as_user: AsUser, world: World
) -> None:
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Read', %s)", [world.dana, world.amir])

    def unread(person: UUID) -> int:
        with as_user(person) as conn:
            items = one(conn, "select public.inbox_json()")["items"]
        return next(item["unread"] for item in items if item["id"] == str(group))

    for sender in (world.coach, world.amir, world.dana, world.coach):
        post(as_user, sender, group, "…")
    # Dana wrote the third without having read the first two: hers is not unread, theirs is.
    assert (unread(world.dana), unread(world.amir), unread(world.coach)) == (3, 3, 2)
    for seq, position in ((2, 2), (1, 2), (99, 4), (-5, 4), (None, 4)):
        with as_user(world.dana) as conn:
            assert one(conn, "select public.mark_read(%s, %s)", group, seq) == position
    assert unread(world.dana) == 0
    receipts = rows(
        owner,
        "select message_seq from public.message_read_receipts where conversation_id = %s and user_id = %s order by 1",
        group,
        world.dana,
    )
    assert [row["message_seq"] for row in receipts] == [1, 2, 4]
    post(as_user, world.dana, group, "up to date")
    assert unread(world.dana) == 0
    for refused in ("insert into public.message_read_receipts (message_id, user_id) values (gen_random_uuid(), null)",
                    "update public.conversation_participants set last_read_seq = 0"):  # fmt: skip
        with pytest.raises(psycopg.errors.InsufficientPrivilege), as_user(world.dana) as conn:
            conn.execute(refused)


def test_typing_ends_by_itself_and_is_ones_own(owner: Connection, as_user: AsUser, world: World) -> None:
    with as_user(world.coach) as conn:
        group = one(conn, "select id from public.create_group_conversation('Typing', %s)", [world.dana])
    for _ in range(2):
        with as_user(world.dana) as conn:
            conn.execute("select public.set_typing(%s, true)", [group])
    with as_user(world.coach) as conn:
        left = one(
            conn,
            "select expires_at - now() <= interval '10 s' from public.typing_indicators where conversation_id = %s",
            group,
        )
        assert left is True
        assert conn.execute("delete from public.typing_indicators where conversation_id = %s", [group]).rowcount == 0
    owner.execute("update public.typing_indicators set expires_at = now() where conversation_id = %s", [group])
    with as_user(world.coach) as conn:
        assert rows(conn, "select from public.typing_indicators where conversation_id = %s", group) == []
    with as_user(world.dana) as conn:
        conn.execute("select public.set_typing(%s, true)", [group])
    with as_user(world.coach) as conn:
        assert len(rows(conn, "select from public.typing_indicators where conversation_id = %s", group)) == 1
    with as_user(world.dana) as conn:
        conn.execute("select public.set_typing(%s, false)", [group])
    assert one(owner, "select count(*) from public.typing_indicators where conversation_id = %s", group) == 0


def test_a_person_with_messages_is_not_deleted(owner: Connection, as_user: AsUser, world: World) -> None:
    person = make_person(owner, "Gone")
    relate(owner, world.coach, person)
    with as_user(world.coach) as conn:
        direct = one(conn, "select id from public.start_direct_conversation(%s)", person)
    post(as_user, person, direct, "I was here")
    with pytest.raises(psycopg.Error) as caught:
        owner.execute("delete from public.users where id = %s", [person])
    assert refusal(caught.value) == ("PT409", "user_has_history")
