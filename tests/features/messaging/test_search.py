"""Search: what Hebrew and English words are found by, what mistakes are forgiven, and who finds nothing."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.features.messaging.test_messages import refusal
from tests.features.messaging.world import Connection, World, one, post
from tests.support.acting import AsUser

# What was written, and what somebody types who looks for it.
FOUND = [
    # prefix letters
    ("נקבעה הפגישה ליום ראשון", "פגישה"),
    ("דיברנו על זה בפגישה", "פגישה"),
    ("הגעתי לפגישה באיחור", "פגישה"),
    ("כשהפגישה הסתיימה הלכנו", "פגישה"),
    ("וכשהילד חזר הביתה", "ילד"),
    ("המסמך נשלח אליך", "מסמך"),
    ("במסמך יש טעות", "מסמך"),
    ("ראיתי שהמטרה ברורה", "מטרה"),
    ("והתשלום עבר", "תשלום"),
    ("מהקבוצה של אתמול", "קבוצה"),
    ("ניפגש בבית קפה", "בית"),
    ("פגישה טובה", "הפגישה"),
    ("תשלום אחרון", "והתשלום"),
    # niqqud, both ways
    ("שָׁלוֹם לְכֻלָּם", "שלום"),
    ("שלום לכולם", "שָׁלוֹם"),
    ("הַפְּגִישָׁה הַבָּאָה", "פגישה"),
    ("\ufb2aלום", "שלום"),
    # final letters
    ("זה היה חלום", "חלומ"),
    ("דרך ארוכה", "דרכ"),
    ("האימונים קשים", "אימון"),
    ("הסיכומים אצלי", "סיכום"),
    # singular and plural
    ("שתי פגישות השבוע", "פגישה"),
    ("פגישה אחת", "פגישות"),
    ("הילדים בבית", "ילד"),
    ("המטרות שלי לשנה", "מטרה"),
    ("אימון אחד", "אימונים"),
    # maqaf, geresh, quotes, punctuation
    ("בית־ספר חדש", "ספר"),
    ("אמרתי „תודה” והלכתי", "תודה"),
    ("חשבונית מס' 12", "חשבונית 12"),
    ("שלום,מה שלומך?", "שלום"),
    # English
    ("Two meetings this week", "meeting"),
    ("We met at the meeting", "meetings"),
    ("I was running late", "run"),
    ("The invoice is PAID", "paid"),
    ("naïve café", "cafe"),
    ("a cafe", "CAFÉ"),
    ("to be or not", "not"),
    # the beginning of a word, several words, both languages at once
    ("Thursday at nine", "thursd"),
    ("הזמנה לסדנה", "סדנ"),
    ("send the contract tomorrow", "tomorrow contr"),
    ("see you at the פגישה", "פגישה see"),
]
# Mistyped.
FORGIVEN = [
    ("the invoice is late", "invioce"),
    ("coaching package", "coching"),
    ("see the agreement", "agreemant"),
    ("a beautiful breakthrough", "breaktrough"),
    ("החשבונית נשלחה", "חשבנית"),
    ("ההתקדמות שלך מרשימה", "התקדמט"),
    ("נקבעה פגישה", "פגיששה"),
    ("האימון הקודם", "אימוןן"),
    ("your schedule for may", "schedulle"),
]
NOT_FOUND = [
    ("the invoice is late", "receipt"),
    ("שלום לך", "פגישה"),
    ("send the contract", "contract yesterday"),
    ("meeting", "zzzzz"),
    ("קבוצה חדשה", "תשלום"),
]


def search(as_user: AsUser, person: UUID, query: str, *more: Any) -> dict[str, Any]:
    with as_user(person) as conn:
        return one(conn, f"select public.search_messages_json(%s{', %s' * len(more)})", query, *more)


@pytest.fixture
def group(as_user: AsUser, world: World) -> UUID:
    with as_user(world.coach) as conn:
        return one(conn, "select id from public.create_group_conversation('Search', %s)", [world.dana, world.amir])


def test_the_gold_list_is_found_and_mistakes_are_forgiven(as_user: AsUser, world: World) -> None:
    """Each text in a conversation of its own, searched there: what is found is found by that text."""
    missed: list[tuple[str, str, bool]] = []
    for kind, pairs in (("found", FOUND), ("forgiven", FORGIVEN), ("not found", NOT_FOUND)):
        for text, query in pairs:
            with as_user(world.coach) as conn:
                group = one(conn, "select id from public.create_group_conversation('G', %s)", [world.dana])
                one(conn, "select id from public.post_message(%s, %s)", group, text)
                answer = one(conn, "select public.search_messages_json(%s, %s)", query, group)
            wanted = (kind != "not found", kind == "forgiven")
            if (bool(answer["items"]), answer["fuzzy"]) != wanted:
                missed.append((text, query, answer["fuzzy"]))
            elif kind != "not found":
                assert any(piece["hit"] for piece in answer["items"][0]["snippet"]), (text, query)
    assert missed == []


def test_a_hit_is_marked_in_the_text_as_it_was_written(as_user: AsUser, world: World, group: UUID) -> None:
    text = "<b>ראינו</b> את הַפְּגִישָׁה, ואז 3 פגישות & more"
    post(as_user, world.dana, group, text)
    snippet = search(as_user, world.coach, "פגישה", group)["items"][0]["snippet"]
    assert "".join(piece["text"] for piece in snippet) == text
    assert [piece["text"] for piece in snippet if piece["hit"]] == ["הַפְּגִישָׁה", "פגישות"]
    post(as_user, world.dana, group, "word " * 300 + "needle" + " word" * 300)
    long = search(as_user, world.coach, "needle", group)["items"][0]["snippet"]
    assert [piece["text"] for piece in long if piece["hit"]] == ["needle"]
    assert len(long) <= 51


def test_only_what_one_may_read_is_found(as_user: AsUser, world: World, group: UUID) -> None:
    word = f"w{uuid4().hex}"
    early = post(as_user, world.dana, group, f"early {word}")["id"]
    with as_user(world.coach) as conn:
        conn.execute("select public.add_to_conversation(%s, %s)", [group, [world.noa]])
    late = post(as_user, world.dana, group, f"late {word}")["id"]

    def found(person: UUID, *more: Any) -> list[str]:
        return [item["message_id"] for item in search(as_user, person, word, *more)["items"]]

    assert found(world.coach) == found(world.admin) == found(world.amir, group) == [str(late), str(early)]
    assert found(world.noa) == [str(late)]
    assert found(world.stranger) == found(world.other_coach) == []
    for nothing in (group, uuid4()):
        with pytest.raises(psycopg.Error) as caught:
            found(world.stranger, nothing)
        assert refusal(caught.value) == ("PT404", "not_found")
    with as_user(world.noa) as conn:
        conn.execute("select public.leave_conversation(%s)", [group])
    assert found(world.noa) == []
    with as_user(world.dana) as conn:
        conn.execute("select public.edit_message(%s, 'something else')", [early])
        conn.execute("select public.delete_message(%s)", [late])
    assert found(world.coach) == []


def test_pages_lead_through_everything_once_exactly_and_nearly(as_user: AsUser, world: World, group: UUID) -> None:
    sent = [str(post(as_user, world.dana, group, f"sentence number {n}")["id"]) for n in range(7)]
    for query, fuzzy in (("sentence", False), ("sentenze", True)):
        seen: list[str] = []
        cursor = None
        while True:
            page = search(as_user, world.amir, query, group, cursor, 3)
            assert page["fuzzy"] is fuzzy
            seen += [item["message_id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == sent[::-1]


@pytest.mark.parametrize("query", ["", "   ", "'\"&|!():*<->", "\u202e", "״־׳"])
def test_a_search_for_nothing_is_refused(as_user: AsUser, world: World, query: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        search(as_user, world.dana, query)
    assert refusal(caught.value) == ("PT422", "query_invalid")


@pytest.mark.parametrize("query", ["a' | 'b", "x\\\\y", "x:* & !y", "%a_b%", "a" * 5000, "🙂", "' or true --"])
def test_what_looks_like_syntax_is_only_words(as_user: AsUser, world: World, query: str) -> None:
    assert search(as_user, world.stranger, query)["items"] == []


def test_both_indexes_serve_it(owner: Connection) -> None:
    """The planner prefers a scan of the few rows of a test; told not to, it must be able to go by the index."""
    with owner.transaction():
        owner.execute("set local enable_seqscan = off; set local pg_trgm.word_similarity_threshold = 0.4")
        for condition, index in (
            ("private.search_vector(content) @@ '''x'''::tsquery", "messages_search_idx"),
            ("private.search_letters(content) operator(extensions.%>) 'invoice'", "messages_typos_idx"),
        ):
            plan = owner.execute(
                f"explain select from public.messages where content is not null and {condition}"  # type: ignore[arg-type]
            ).fetchall()
            assert index in str(plan)
