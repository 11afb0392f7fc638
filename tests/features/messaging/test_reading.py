"""History of edits, the audit of what was deleted, receipts that two share or neither, and finding what is unread."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.features.messaging.test_messages import refusal
from tests.features.messaging.world import Connection, World, one, post, rows
from tests.support.acting import AsUser


@pytest.fixture
def group(as_user: AsUser, world: World) -> UUID:
    with as_user(world.coach) as conn:
        return one(conn, "select id from public.create_group_conversation('Reading', %s)", [world.dana, world.amir])


def timeline(as_user: AsUser, person: UUID, group: UUID, *more: Any) -> dict[str, Any]:
    with as_user(person) as conn:
        return one(conn, f"select public.conversation_timeline_json(%s{', %s' * len(more)})", group, *more)


def test_edits_are_kept_until_the_message_goes_and_then_for_an_admin(
    owner: Connection, as_user: AsUser, world: World, group: UUID
) -> None:
    message = post(as_user, world.dana, group, "one")["id"]
    owner.execute(
        "insert into public.message_attachments (message_id, file_name, file_size, file_type, url)"
        " values (%s, 'plan.pdf', 10, 'application/pdf', '/old')",
        [message],
    )
    for text in ("two", "three", "three"):
        with as_user(world.dana) as conn:
            conn.execute("select public.edit_message(%s, %s)", [message, text])
    history = "select revision, content from public.message_revisions where message_id = %s order by revision"
    for person in (world.dana, world.amir, world.coach):
        with as_user(person) as conn:
            assert [row["content"] for row in rows(conn, history, message)] == ["one", "two"]
    for person in (world.noa, world.stranger):
        with as_user(person) as conn:
            assert rows(conn, history, message) == []
    with as_user(world.dana) as conn:
        conn.execute("select public.delete_message(%s, 'mistaken')", [message])
    assert rows(owner, history, message) == []
    assert rows(owner, "select from public.message_attachments where message_id = %s", message) == []
    with as_user(world.admin) as conn:
        audit = rows(conn, "select * from public.message_deletions where message_id = %s", message)[0]
    assert (audit["content"], audit["reason"], audit["deleted_by"]) == ("three", "mistaken", world.dana)
    assert [revision["content"] for revision in audit["revisions"]] == ["one", "two"]
    assert audit["attachments"] == [{"file_name": "plan.pdf", "file_size": 10, "file_type": "application/pdf"}]


def test_who_came_later_sees_no_history_of_what_was_before(as_user: AsUser, world: World, group: UUID) -> None:
    message = post(as_user, world.dana, group, "early")["id"]
    with as_user(world.coach) as conn:
        conn.execute("select public.add_to_conversation(%s, %s)", [group, [world.noa]])
    with as_user(world.dana) as conn:
        conn.execute("select public.edit_message(%s, 'changed')", [message])
    with as_user(world.noa) as conn:
        assert rows(conn, "select from public.message_revisions where message_id = %s", message) == []


def test_a_deleted_message_is_nothing_to_read(as_user: AsUser, world: World, group: UUID) -> None:
    first = post(as_user, world.dana, group, "one")["id"]
    post(as_user, world.dana, group, "two")
    assert timeline(as_user, world.coach, group)["first_unread_seq"] == 1
    with as_user(world.dana) as conn:
        conn.execute("select public.delete_message(%s)", [first])
    with as_user(world.coach) as conn:
        unread = one(conn, "select public.unread_json()")
    item = next(item for item in unread["items"] if item["conversation_id"] == str(group))
    assert item == {"conversation_id": str(group), "unread": 1, "is_muted": False}
    assert timeline(as_user, world.coach, group)["first_unread_seq"] == 2
    with as_user(world.coach) as conn:
        # A receipt for what is gone would say something about nothing.
        assert one(conn, "select public.mark_read(%s, 2)", group) == 2
        assert one(conn, "select count(*) from public.message_read_receipts where conversation_id = %s", group) == 1


def shares(as_user: AsUser, person: UUID, share: bool) -> None:
    with as_user(person) as conn:
        conn.execute(
            "insert into public.messaging_preferences (user_id, share_receipts) values (%s, %s)"
            " on conflict (user_id) do update set share_receipts = excluded.share_receipts",
            [person, share],
        )


def test_receipts_are_shared_by_two_or_by_neither(as_user: AsUser, world: World, group: UUID) -> None:
    post(as_user, world.coach, group, "read me")
    for person in (world.dana, world.amir):
        with as_user(person) as conn:
            conn.execute("select public.mark_read(%s, 1)", [group])

    def seen(person: UUID) -> tuple[set[UUID], set[str], set[UUID]]:
        """Whose reading somebody sees: in receipts, in the timeline, among the people."""
        with as_user(person) as conn:
            receipts = rows(conn, "select user_id from public.message_read_receipts where conversation_id = %s", group)
            people = rows(conn, "select user_id, last_read_seq from public.conversation_people(%s)", group)
        page = timeline(as_user, person, group)
        return (
            {row["user_id"] for row in receipts},
            {row["user_id"] for row in page["read_by"]},
            {row["user_id"] for row in people if row["last_read_seq"] is not None},
        )

    dana, amir, coach = world.dana, world.amir, world.coach
    assert seen(coach) == ({dana, amir}, {str(dana), str(amir)}, {coach, dana, amir})
    shares(as_user, dana, False)
    assert seen(coach) == ({amir}, {str(amir)}, {coach, amir})
    assert seen(amir) == ({amir}, {str(coach)}, {coach, amir})
    # She sees nobody's either, only her own.
    assert seen(dana) == ({dana}, set(), {dana})
    assert seen(world.admin)[0] == {dana, amir}
    shares(as_user, dana, True)
    assert seen(coach)[0] == {dana, amir}


def test_a_page_around_what_is_unread_leads_both_ways(as_user: AsUser, world: World, group: UUID) -> None:
    for number in range(1, 31):
        post(as_user, world.dana, group, str(number))
    with as_user(world.amir) as conn:
        conn.execute("select public.mark_read(%s, 14)", [group])

    def seqs(page: dict[str, Any]) -> list[int]:
        return [item["seq"] for item in page["items"]]

    page = timeline(as_user, world.amir, group, None, 6, None, 0)
    assert (page["first_unread_seq"], seqs(page)) == (15, [17, 16, 15, 14, 13, 12])
    assert (page["next_cursor"], page["newer_cursor"]) == ("12", "17")
    older = timeline(as_user, world.amir, group, int(page["next_cursor"]), 6)
    newer = timeline(as_user, world.amir, group, None, 6, int(page["newer_cursor"]))
    assert seqs(older) == [11, 10, 9, 8, 7, 6]
    assert seqs(newer) == [18, 19, 20, 21, 22, 23]
    # At an end the page reaches the other way; beyond it there is the end.
    assert seqs(timeline(as_user, world.amir, group, None, 6, None, 1)) == [6, 5, 4, 3, 2, 1]
    assert seqs(timeline(as_user, world.amir, group, None, 6, None, 999)) == [30, 29, 28, 27, 26, 25]
    assert timeline(as_user, world.amir, group, None, 6, None, 999)["newer_cursor"] is None
    with as_user(world.amir) as conn:
        conn.execute("select public.mark_read(%s, 30)", [group])
    assert seqs(timeline(as_user, world.amir, group, None, 6, None, 0)) == [30, 29, 28, 27, 26, 25]


@pytest.mark.parametrize(
    "title",
    ["\u202egnp.exe", "zero\u200bwidth", "line\nbreak", "\ufeffhidden", "isolate\u2066d", "x" * 201, "  "],
)
def test_titles_that_look_like_others_are_refused(as_user: AsUser, world: World, group: UUID, title: str) -> None:
    with pytest.raises(psycopg.Error) as caught, as_user(world.coach) as conn:
        conn.execute("update public.conversations set title = %s where id = %s", [title, group])
    assert refusal(caught.value) == ("PT422", "title_invalid")


@pytest.mark.parametrize("title", ["שיחה עם דנה", "קבוצה \u200f1", "👩\u200d👧 family", "<script>alert(1)</script>"])
def test_titles_of_every_language_are_taken(as_user: AsUser, world: World, group: UUID, title: str) -> None:
    with as_user(world.coach) as conn:
        assert conn.execute("update public.conversations set title = %s where id = %s", [title, group]).rowcount == 1
