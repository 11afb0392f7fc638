"""What people are told of: what others did with their sessions, money, notes and relations, and never what they did."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from tests.features.billing.world import World
from tests.support.acting import AsRole, AsUser
from tests.support.people import Owner, Person, a_coach, a_person, make_client

HEBREW = re.compile("[א-ת]")
PLACES = re.compile(r"\{\w+\}")


@dataclass
class Practice:
    """A coach called Rivka with a client called Dana, and an offer of each kind."""

    owner: Owner
    as_user: AsUser
    coach: Person
    client: Person
    single: UUID
    group: UUID

    def do(self, person: Person, query: str, *params: object) -> Any:
        """One statement as a person; the first column of its first row."""
        with self.as_user(person.id) as conn:
            row = conn.execute(query, params).fetchone()
        return next(iter(row.values())) if row else None

    def told(self, person: Person) -> list[str]:
        """The kinds of notices a person has, oldest first."""
        return [row["data"]["kind"] for row in notices(self.owner, person)]

    def book(self) -> UUID:
        starts_at = self.do(
            self.client, "select min(starts_at) from public.free_slots(%s, %s, now(), now() + interval '20 days')",
            self.coach.id, self.single,
        )  # fmt: skip
        return self.do(self.client, "select public.book_session(%s, %s)", self.single, starts_at)

    def gather(self) -> UUID:
        """A group session next week with the client invited."""
        session = self.do(
            self.coach,
            "select public.create_group_session(%s, date_trunc('hour', now()) + interval '7 days', 5)",
            self.group,
        )
        self.do(self.coach, "select public.invite_attendee(%s, %s)", session, self.client.id)
        return session


def notices(owner: Owner, person: Person) -> list[dict[str, Any]]:
    return owner.execute(
        "select type, title, message, data, action_url from public.notifications"
        " where user_id = %s order by created_at, id",
        [person.id],
    ).fetchall()


@pytest.fixture
def practice(owner: Owner, as_user: AsUser) -> Practice:
    coach, client = a_coach(owner, "rivka"), a_person(owner, "dana")
    make_client(owner, coach, client)
    with as_user(coach.id) as conn:
        conn.execute(
            "select public.set_availability('Asia/Jerusalem', (select jsonb_agg(jsonb_build_object("
            "'day_of_week', d, 'start_time', '09:00', 'end_time', '17:00')) from generate_series(0, 6) as d))"
        )
        offers = [
            conn.execute(
                "insert into public.session_templates (coach_id, title, default_duration_minutes, session_type)"
                " values (%s, %s, 60, %s) returning id",
                [coach.id, title, kind],
            ).fetchone()
            for title, kind in (("Talk", "individual"), ("Circle", "group"))
        ]
    single, group = [offer["id"] for offer in offers if offer]
    return Practice(owner, as_user, coach, client, single, group)


def test_a_booking_is_news_to_the_coach_and_not_to_who_booked(practice: Practice, owner: Owner) -> None:
    owner.execute("update public.users set timezone = 'America/New_York' where id = %s", [practice.coach.id])
    session = practice.book()
    row = owner.execute(
        "select to_char(scheduled_at at time zone 'America/New_York', 'YYYY-MM-DD HH24:MI') as t"
        " from public.sessions where id = %s",
        [session],
    ).fetchone()
    assert row is not None
    assert notices(owner, practice.coach) == [
        {
            "type": "session_confirmation",
            "title": "New booking",
            "message": f"Dana booked “Talk” on {row['t']}.",
            "data": {"kind": "session_booked", "session_id": str(session)},
            "action_url": f"/sessions/{session}",
        }
    ]
    assert practice.told(practice.client) == []


def test_a_hebrew_reader_is_told_in_hebrew(practice: Practice, owner: Owner) -> None:
    owner.execute("update public.users set language = 'he' where id = %s", [practice.coach.id])
    practice.book()
    (notice,) = notices(owner, practice.coach)
    assert notice["title"] == "הזמנה חדשה"
    assert "Dana" in notice["message"]
    assert "{" not in notice["message"]


@pytest.mark.parametrize("choice", ["inapp_enabled", "inapp_session_updates"])
def test_who_does_not_want_to_hear_of_sessions_does_not(practice: Practice, owner: Owner, choice: str) -> None:
    owner.execute(
        f"update public.notification_preferences set {choice} = false where user_id = %s", [practice.coach.id]
    )
    practice.book()
    assert practice.told(practice.coach) == []


def test_moving_and_cancelling_are_told_to_the_other_side(practice: Practice) -> None:
    session = practice.book()
    practice.do(
        practice.coach,
        "select public.reschedule_session(%s, date_trunc('hour', now()) + interval '30 days')",
        session,
    )
    practice.do(practice.client, "select public.cancel_session(%s, 'ill')", session)
    assert practice.told(practice.client) == ["session_moved"]
    assert practice.told(practice.coach) == ["session_booked", "session_cancelled"]


def test_an_invitation_and_its_answers_go_back_and_forth(practice: Practice) -> None:
    session = practice.gather()
    assert practice.told(practice.client) == ["session_invited"]
    practice.do(practice.client, "select public.respond_to_invitation(%s, 'confirmed')", session)
    practice.do(practice.client, "select public.respond_to_invitation(%s, 'declined')", session)
    practice.do(practice.client, "select public.respond_to_invitation(%s, 'confirmed')", session)
    practice.do(practice.client, "select public.cancel_attendance(%s)", session)
    assert practice.told(practice.coach) == ["seat_confirmed", "seat_declined", "seat_confirmed", "seat_given_up"]
    assert practice.told(practice.client) == ["session_invited"]


def test_a_seat_taken_away_and_a_group_called_off_are_told_to_those_who_were_coming(practice: Practice) -> None:
    other = a_person(practice.owner)
    make_client(practice.owner, practice.coach, other)
    session = practice.gather()
    practice.do(practice.coach, "select public.invite_attendee(%s, %s)", session, other.id)
    seat = practice.owner.execute(
        "select id from public.session_attendees where session_id = %s and user_id = %s", [session, other.id]
    ).fetchone()
    assert seat is not None
    practice.do(practice.coach, "select public.cancel_attendance(p_attendee_id => %s)", seat["id"])
    practice.do(practice.coach, "select public.cancel_session(%s)", session)
    assert practice.told(other) == ["session_invited", "seat_taken_away"]
    assert practice.told(practice.client) == ["session_invited", "session_cancelled"]
    assert practice.told(practice.coach) == []


def test_a_guest_who_answers_by_the_link_is_news_to_the_coach(
    practice: Practice, owner: Owner, as_role: AsRole
) -> None:
    session = practice.gather()
    seat = practice.do(
        practice.coach,
        "select public.invite_attendee(%s, p_email => 'guest@example.com', p_display_name => 'Gil')",
        session,
    )
    owner.execute(
        "insert into private.access_links (token_hash, purpose, attendee_id, email, expires_at)"
        " values (%s, 'confirm', %s, 'guest@example.com', now() + interval '1 day')",
        [hashlib.sha256(b"token-token-token").hexdigest(), seat],
    )
    with as_role("anon") as conn:
        conn.execute("select public.act_by_link('token-token-token')")
    assert practice.told(practice.coach) == ["seat_confirmed"]
    assert notices(owner, practice.coach)[0]["message"].startswith("Gil comes to “Circle”")


def test_imports_and_the_service_tell_nobody(practice: Practice, owner: Owner, as_role: AsRole) -> None:
    insert = (
        "insert into public.sessions (coach_id, client_id, title, scheduled_at)"
        " values (%s, %s, 'Old', now() + interval '{} days')"
    )
    owner.execute(insert.format(40), [practice.coach.id, practice.client.id])
    with as_role("service_role") as conn:
        conn.execute(insert.format(41), [practice.coach.id, practice.client.id])
    owner.execute("update public.sessions set status = 'cancelled' where coach_id = %s", [practice.coach.id])
    assert practice.told(practice.coach) == practice.told(practice.client) == []


def test_a_note_is_told_when_it_is_shared_and_only_then(practice: Practice) -> None:
    note = practice.do(
        practice.coach,
        "insert into public.coach_notes (coach_id, client_id, title, content)"
        " values (%s, %s, 'First', 'x') returning id",
        practice.coach.id,
        practice.client.id,
    )
    assert practice.told(practice.client) == []
    for level in ("shared_with_client", "shared_with_client", "private"):
        practice.do(
            practice.coach, "update public.coach_notes set privacy_level = %s where id = %s returning id", level, note
        )
    assert practice.told(practice.client) == ["note_shared"]
    practice.do(
        practice.coach,
        "insert into public.coach_notes (coach_id, client_id, title, content, privacy_level)"
        " values (%s, %s, 'Second', 'x', 'shared_with_client') returning id",
        practice.coach.id,
        practice.client.id,
    )
    assert practice.told(practice.client) == ["note_shared", "note_shared"]


def test_an_invited_account_is_told_if_the_address_is_proven_and_the_coach_of_the_answer(practice: Practice) -> None:
    proven, unproven = a_person(practice.owner, "noa"), a_person(practice.owner, "gal", verified=False)
    relations = []
    for person in (proven, unproven):
        relation = practice.do(
            practice.coach,
            "insert into public.coach_clients (coach_id, display_name, email) values (%s, 'Noa', %s) returning id",
            practice.coach.id,
            person.email,
        )
        practice.do(practice.coach, "select public.invite_client(%s)", relation)
        relations.append(relation)
    assert practice.told(proven) == ["coach_invites"]
    assert practice.told(unproven) == []
    for status in ("ended", "invited"):
        query = "update public.coach_clients set status = %s where id = %s returning id"
        practice.do(practice.coach, query, status, relations[0])
    assert practice.told(proven) == ["coach_invites"], "turning the status back and forth is no news"
    practice.do(proven, "select public.answer_coach_invitation(%s, 'accept')", relations[0])
    practice.do(proven, "select public.leave_coach(%s)", relations[0])
    assert practice.told(practice.coach) == ["invitation_accepted", "client_left"]


def test_money_is_told_to_the_one_it_concerns(owner: Owner, as_user: AsUser, as_role: AsRole) -> None:
    world = World.make(owner, as_user, as_role)
    coach, client = Person(world.coach, ""), Person(world.client, "")
    _, payment = world.paid(125000)
    (issued,) = notices(owner, client)
    assert issued["type"] == "payment_reminder"
    assert "ILS 1,250.00" in issued["message"]
    (received,) = notices(owner, coach)
    assert received["message"] == "Dana paid ILS 1,250.00."

    with world.coaching() as conn:
        refund = conn.execute("select public.request_refund(%s, 5000, 'sorry') as v", [payment]).fetchone()
    assert refund is not None
    owner.execute("update public.payment_refunds set status = 'succeeded' where id = %s", [refund["v"]])
    invoice = world.issued(7000)
    with world.coaching() as conn:
        conn.execute("select public.record_manual_payment(%s, 7000, 'cash')", [invoice])
    kinds = [notice["data"]["kind"] for notice in notices(owner, client)]
    assert kinds == ["invoice_issued", "refund_made", "invoice_issued", "payment_recorded"]
    assert [notice["data"]["kind"] for notice in notices(owner, coach)] == ["payment_received"]


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(125000, "ILS", "ILS 1,250.00"), (5, "USD", "USD 0.05"), (1250, "JPY", "JPY 1,250"), (1250, "KWD", "KWD 1.250")],
)
def test_amounts_read_as_the_currency_has_them(owner: Owner, amount: int, currency: str, text: str) -> None:
    assert owner.execute("select private.money_text(%s, %s) as t", [amount, currency]).fetchone() == {"t": text}


KINDS = [
    "session_booked", "session_planned", "session_invited", "seat_confirmed", "seat_declined", "seat_given_up",
    "seat_taken_away", "session_cancelled", "session_moved", "invoice_issued", "payment_received", "payment_recorded",
    "card_charged", "card_unusable", "client_card_unusable", "pay_link", "hold_booked", "hold_lost", "hold_refunded",
    "refund_made", "note_shared", "coach_invites", "invitation_accepted", "invitation_declined", "client_left",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_notice_says_the_same_in_both_languages(owner: Owner, kind: str) -> None:
    (words,) = owner.execute("select * from private.notice_words(%s)", [kind]).fetchall()
    assert HEBREW.search(words["he_title"])
    assert HEBREW.search(words["he_message"])
    assert not HEBREW.search(words["en_title"] + words["en_message"])
    assert sorted(PLACES.findall(words["en_message"])) == sorted(PLACES.findall(words["he_message"]))
