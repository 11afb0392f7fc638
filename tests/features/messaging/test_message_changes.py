"""What becomes of messages in SQL: edits, tombstones, reading, and signs of writing."""

from __future__ import annotations

from uuid import UUID, uuid4

import psycopg
import pytest

from tests.features.messaging.test_messages import refusal
from tests.features.messaging.world import Connection, World, make_person, one, post, relate, rows
from tests.support.acting import AsUser


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
