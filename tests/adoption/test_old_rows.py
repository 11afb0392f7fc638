"""Old rows get their meaning: what is said of each is worked out a second time, from the rows as they were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from tests.adoption.generator import expected_statuses, generate
from tests.adoption.old_database import extend, legacy_database
from tests.support.cluster import Cluster

Conn = psycopg.Connection[DictRow]
Rows = list[DictRow]
TABLES = (
    "users", "sessions", "coach_notes", "reflections", "coach_availability", "notifications", "conversations",
    "conversation_participants", "messages", "message_reactions", "message_attachments", "message_read_receipts",
    "typing_indicators", "payments", "coach_profiles", "file_uploads", "notification_delivery_logs", "session_ratings",
)  # fmt: skip

# Two conversations about one session, one of them without its client; and one where a message names none.
LINKED: LiteralString = """
    with pair as (
      select s.id, s.coach_id, s.client_id from public.sessions as s order by s.id limit 1
    ), talks as (
      insert into public.conversations (id, type, created_by)
      select n::text::uuid, 'direct', pair.coach_id
      from pair, unnest(array['1', '2', '3']) as d, lateral (select repeat('0', 31) || d) as t (n)
      returning id
    ), people as (
      insert into public.conversation_participants (conversation_id, user_id)
      select t.id, person
      from talks as t, pair, lateral (values (pair.coach_id), (pair.client_id)) as both_of (person)
      where t.id::text not like '%2' or person <> pair.client_id
    )
    insert into public.messages (conversation_id, sender_id, content, metadata)
    select t.id, pair.coach_id, 'about it', case
      when n = 2 and t.id::text like '%3' then '{}' else jsonb_build_object('session_id', pair.id) end
    from talks as t, pair, generate_series(1, 2) as n
"""


@dataclass(frozen=True)
class Story:
    """Rows before and the database after."""

    conn: Conn
    before: dict[str, Rows]

    def rows(self, query: LiteralString) -> Rows:
        return self.conn.execute(query).fetchall()


def everything(conn: Conn) -> dict[str, Rows]:
    return {table: conn.execute(f"select * from public.{table}").fetchall() for table in TABLES}


@pytest.fixture(scope="module")
def story(cluster: Cluster) -> Iterator[Story]:
    name = cluster.create()
    cluster.platform(name)
    with psycopg.connect(cluster.url(name), autocommit=True, row_factory=dict_row) as conn:
        legacy_database(conn)
        generate(conn, seed=11, sessions=400, payments=600, messages=800)
        conn.execute(LINKED)
        before = everything(conn)
        extend(conn)
        yield Story(conn, before)
    cluster.drop(name)


def link(payment: DictRow) -> str | None:
    """The session that a payment names."""
    metadata = payment["metadata"]
    if not isinstance(metadata, dict):
        return None
    found = metadata.get("session_id") or metadata.get("sessionId")
    return None if found is None else str(found)


def linked_payments(story: Story) -> dict[str, Rows]:
    """Session → payments that name it and may."""
    clients = {str(s["id"]): s["client_id"] for s in story.before["sessions"]}
    found: dict[str, Rows] = defaultdict(list)
    for payment in story.before["payments"]:
        session = (link(payment) or "").lower()
        if session in clients and payment["user_id"] in {None, clients[session]}:
            found[session].append(payment)
    return found


def currency(payment: DictRow) -> str:
    return payment["currency"].strip().upper()


def decided(story: Story, kind: str) -> dict[str, str]:
    rows = story.conn.execute("select key, value from private.adoption_decisions where kind = %s", [kind]).fetchall()
    return {row["key"]: row["value"] for row in rows}


def test_no_row_is_lost_or_made_up(story: Story) -> None:
    after = everything(story.conn)
    for table in TABLES:
        assert len(after[table]) == len(story.before[table]), table
        assert {r["id"] for r in after[table]} == {r["id"] for r in story.before[table]}, table
    for table in ("invoices", "message_deliveries", "message_delivery_states", "payment_refunds", "session_events"):
        assert story.conn.execute(f"select count(*) as n from public.{table}").fetchone() == {"n": 0}, table


def test_every_spelling_of_a_status_became_what_it_means_and_no_money_moved(story: Story) -> None:
    expected = expected_statuses()
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for payment in story.before["payments"]:
        sums[expected[payment["status"]], currency(payment)] += payment["amount_cents"]
    found = story.rows(
        "select status::text as s, currency as c, sum(amount_cents) as n from public.payments group by 1, 2"
    )
    assert {(row["s"], row["c"]): row["n"] for row in found} == dict(sums)
    originals = {str(p["id"]): p["status"] for p in story.before["payments"]}
    for row in story.rows(
        "select id::text, status::text, metadata ->> 'status_before_loom' as before from public.payments"
    ):
        changed = originals[row["id"]] != row["status"]
        assert row["before"] == (originals[row["id"]] if changed else None)


def test_what_a_metadata_said_is_still_there(story: Story) -> None:
    after = {row["id"]: row["metadata"] for row in story.rows("select id, metadata from public.payments")}
    for payment in story.before["payments"]:
        metadata = after[payment["id"]]
        if isinstance(payment["metadata"], dict):
            assert payment["metadata"].items() <= metadata.items()
        elif payment["metadata"] is not None:
            assert metadata["value"] == payment["metadata"]


def test_a_session_is_paid_exactly_where_a_paid_payment_names_it(story: Story) -> None:
    expected = expected_statuses()
    linked = linked_payments(story)
    profiles = {
        p["coach_id"]: p["currency"].upper()
        for p in story.before["coach_profiles"]
        if (p["currency"], p["session_rate"]) != ("USD", 75) and p["currency"].upper() in {"USD", "ILS", "EUR"}
    }
    assert sum(len(payments) for payments in linked.values()) > 100
    for row in story.rows(
        "select id::text, coach_id, billing_status::text as b, price_cents, currency from public.sessions"
    ):
        paid = [p for p in linked[row["id"]] if expected[p["status"]] == "paid"]
        if paid and len({currency(p) for p in paid}) == 1:
            price = paid[0]["amount_cents"] if len(paid) == 1 else None
            assert (row["b"], row["price_cents"], row["currency"]) == ("paid", price, currency(paid[0]))
        else:
            assert (row["b"], row["price_cents"]) == ("unbilled", None)
            assert row["currency"] == profiles.get(row["coach_id"], "ILS")


def test_every_unbilled_session_that_is_over_says_why(story: Story) -> None:
    why = decided(story, "sessions.unbilled")
    linked = linked_payments(story)
    seen = set[str]()
    for row in story.rows(
        "select id::text, status::text, billing_status::text as b, scheduled_at < now() as over from public.sessions"
    ):
        if row["b"] == "paid" or not row["over"]:
            assert row["id"] not in why
            continue
        seen.add(why[row["id"]])
        if row["status"] in {"cancelled", "rescheduled", "no_show"}:
            assert why[row["id"]] == "it was not held"
        elif linked[row["id"]]:
            assert why[row["id"]] in {
                "payments name it, and none of them is paid",
                "it was paid in more than one currency",
            }
        else:
            assert why[row["id"]].endswith("no payment names it")
    assert len(seen) == 5


def test_payments_whose_word_does_not_hold_are_remembered(story: Story) -> None:
    holds = {p["id"] for payments in linked_payments(story).values() for p in payments}
    named = {
        str(p["id"]): str(link(p)) for p in story.before["payments"] if link(p) is not None and p["id"] not in holds
    }
    assert len(named) > 10
    assert decided(story, "payments.session") == named


def test_past_sessions_that_overlap_are_kept_and_marked(story: Story) -> None:
    now = datetime.now(UTC)
    by_coach: dict[Any, Rows] = defaultdict(list)
    for session in story.before["sessions"]:
        if session["status"] not in {"cancelled", "rescheduled"} and ends(session) <= now:
            by_coach[session["coach_id"]].append(session)
    marked: dict[str, str] = {}
    for sessions in by_coach.values():
        busy = datetime.min.replace(tzinfo=UTC)
        for session in sorted(sessions, key=lambda s: (s["scheduled_at"], s["id"])):
            if session["scheduled_at"] < busy:
                marked[str(session["id"])] = busy.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            busy = max(busy, ends(session))
    assert len(marked) > 5
    assert decided(story, "sessions.overlap") == marked


def ends(session: DictRow) -> datetime:
    return session["scheduled_at"] + timedelta(minutes=session["duration_minutes"])


def test_every_session_has_the_seats_of_its_coach_and_its_client(story: Story) -> None:
    seats = {
        (row["session_id"], row["user_id"]): row
        for row in story.rows(
            "select a.*, s.created_at as since, s.price_cents as price, s.billing_status as billing,"
            " c.client_id as of from public.session_attendees as a join public.sessions as s on s.id = a.session_id"
            " left join public.coach_clients as c on c.id = a.coach_client_id"
        )
    }
    assert len(seats) == 2 * len(story.before["sessions"])
    for session in story.before["sessions"]:
        coach, client = seats[session["id"], session["coach_id"]], seats[session["id"], session["client_id"]]
        assert (coach["role"], coach["status"], coach["billing_status"]) == ("coach", "confirmed", "unbilled")
        assert (client["role"], client["status"], client["of"]) == ("client", "confirmed", session["client_id"])
        assert (client["price_cents"], client["billing_status"]) == (client["price"], client["billing"])
        assert coach["created_at"] == client["created_at"] == client["since"]


def test_a_context_follows_only_where_all_that_was_said_names_one_session(story: Story) -> None:
    contexts = story.rows(
        "select right(x.conversation_id::text, 1) as talk, x.context_type::text as about, c.direct_key ~ '@' as keyed"
        " from public.conversation_contexts as x join public.conversations as c on c.id = x.conversation_id"
        " where x.conversation_id::text like '00000000-%'"
    )
    assert contexts == [{"talk": "1", "about": "session", "keyed": True}]


def test_giving_conversations_their_key_is_no_change_that_anybody_made(story: Story) -> None:
    before = {row["id"]: row["updated_at"] for row in story.before["conversations"] if row["updated_at"] is not None}
    after = {row["id"]: row["updated_at"] for row in story.rows("select id, updated_at from public.conversations")}
    assert before == {talk: after[talk] for talk in before}
    assert story.rows("select from public.conversations where direct_key is not null")


def test_nobody_is_told_anything(story: Story) -> None:
    """Neither notices nor deliveries nor jobs: whoever opens the application finds what was there."""
    before = {row["id"]: row["read_at"] for row in story.before["notifications"]}
    assert {row["id"]: row["read_at"] for row in story.rows("select id, read_at from public.notifications")} == before
    assert story.rows("select to_regclass('jobs.procrastinate_jobs') as queue") == [{"queue": None}]


def test_running_the_extension_again_changes_nothing(story: Story) -> None:
    before = everything(story.conn)
    kept = story.rows("select * from private.adoption_decisions order by kind, key")
    extend(story.conn)
    assert everything(story.conn) == before
    assert story.rows("select * from private.adoption_decisions order by kind, key") == kept
