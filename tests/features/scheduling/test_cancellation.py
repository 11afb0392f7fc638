"""What cancelling, moving late and not coming cost: by the terms of the booking, to the second."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow

from tests.support.acting import AsRole, AsUser
from tests.support.scheduling import Scene, add_session, at, make_scene, one, refusal

Owner = psycopg.Connection[DictRow]
Bearer = Callable[[UUID], dict[str, str]]

# Policies that coaches publish: all of it within 72 hours; half within 48 and all within 24.
WITHIN_72 = [{"hours": 72, "forfeit": True}]
HALF_THEN_ALL = [{"hours": 48, "percent": 50}, {"hours": 24, "forfeit": True}]


@pytest.fixture
def scene(owner: Owner) -> Scene:
    return make_scene(owner)


def set_policy(owner: Owner, coach: UUID, tiers: list[dict[str, Any]], **columns: object) -> None:
    values = {"coach_id": coach, "tiers": json.dumps(tiers)} | columns
    owner.execute("delete from public.cancellation_policies where coach_id = %s", [coach])
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    owner.execute(f"insert into public.cancellation_policies ({names}) values ({marks})", list(values.values()))


def booked(owner: Owner, scene: Scene, notice: timedelta) -> UUID:
    """A session of the client that starts so long from now, booked while the policy stood."""
    return add_session(
        owner, scene.coach, scene.client, one(owner, "select now() + %s", [notice]), template_id=scene.single
    )


def outcomes(owner: Owner, session: UUID) -> list[tuple[str, int | None, int | None, bool]]:
    rows = owner.execute(
        "select kind, amount_cents, owed_cents, forfeits from public.seat_outcomes where session_id = %s"
        " order by created_at, id",
        [session],
    ).fetchall()
    return [(row["kind"], row["amount_cents"], row["owed_cents"], row["forfeits"]) for row in rows]


def cost(owner: Owner, tiers: list[dict[str, Any]], notice: timedelta, price: int | None = 30000) -> int | None:
    """What a notice costs under tiers, in shekels' hundredths."""
    terms = json.dumps({"tiers": tiers, "currency": "ILS"})
    return one(owner, "select amount_cents from private.terms_cost(%s, %s, %s, 'ILS')", [terms, notice, price])


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("tiers", "notice", "expected"),
    [
        (WITHIN_72, timedelta(hours=72), 0),
        (WITHIN_72, timedelta(hours=72) - SECOND, 30000),
        (HALF_THEN_ALL, timedelta(hours=48) + SECOND, 0),
        (HALF_THEN_ALL, timedelta(hours=48) - SECOND, 15000),
        (HALF_THEN_ALL, timedelta(hours=24), 15000),
        (HALF_THEN_ALL, timedelta(hours=24) - SECOND, 30000),
        (HALF_THEN_ALL, -timedelta(minutes=1), 30000),
        ([{"hours": 24, "fee_cents": 5000}], timedelta(hours=1), 5000),
        ([{"hours": 24, "fee_cents": 99999}], timedelta(hours=1), 30000),
        ([{"hours": 0, "percent": 80}], timedelta(0), 0),
        ([{"hours": 0, "percent": 80}], -SECOND, 24000),
        ([], -SECOND, 0),
    ],
)
def test_the_tier_changes_at_the_second_and_never_costs_more_than_coming(
    owner: Owner, tiers: list[dict[str, Any]], notice: timedelta, expected: int
) -> None:
    assert cost(owner, tiers, notice) == expected


@pytest.mark.parametrize(
    ("start", "deadline"),
    [
        ("2031-03-28 10:00+03", "2031-03-27 09:00+02"),  # the clock went forward in between: 24 hours are 25 of it
        ("2030-10-27 10:00+02", "2030-10-26 11:00+03"),
    ],
)
def test_hours_before_are_elapsed_hours_also_across_a_clock_change(owner: Owner, start: str, deadline: str) -> None:
    notice = one(owner, "select %s::timestamptz - %s::timestamptz", [start, deadline])
    assert cost(owner, HALF_THEN_ALL, notice) == 15000
    assert cost(owner, HALF_THEN_ALL, notice - SECOND) == 30000


def test_half_of_an_odd_price_is_rounded_and_a_seat_without_price_owes_what_is_decided_later(owner: Owner) -> None:
    assert cost(owner, [{"hours": 24, "percent": 50}], timedelta(0), 33333) == 16667
    assert cost(owner, [{"hours": 24, "percent": 50}], timedelta(0), 2**31 - 1) == 1073741824
    assert cost(owner, [{"hours": 24, "percent": 50}], timedelta(0), None) is None


def test_a_late_cancellation_owes_by_the_terms_of_the_booking_not_by_todays(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    set_policy(owner, scene.coach, HALF_THEN_ALL)
    session = booked(owner, scene, timedelta(hours=30))
    set_policy(owner, scene.coach, WITHIN_72)
    with as_user(scene.client) as conn:
        quote = one(conn, "select public.cancellation_quote(%s)", [session])
        assert (quote["amount_cents"], quote["forfeits"], quote["may_move"]) == (15000, False, False)
        assert [step["amount_cents"] for step in quote["steps"]] == [15000, 30000]
        one(conn, "select public.cancel_session(%s, 'ill')", [session])
        seen = conn.execute("select owed_cents from public.seat_outcomes").fetchall()
    assert [row["owed_cents"] for row in seen] == [15000]
    assert outcomes(owner, session) == [("cancelled", 15000, 15000, False)]


def test_a_template_has_terms_of_its_own_or_its_coachs_or_none(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    with as_user(scene.client) as conn:
        assert one(conn, "select public.cancellation_terms(%s)", [scene.single])["tiers"] == []
    set_policy(owner, scene.coach, WITHIN_72)
    owner.execute(
        "insert into public.cancellation_policies (coach_id, template_id, tiers) values (%s, %s, %s)",
        [scene.coach, scene.group, json.dumps(list(reversed(HALF_THEN_ALL)))],
    )
    with as_user(scene.stranger) as conn:
        assert one(conn, "select public.cancellation_terms(%s)", [scene.single])["tiers"] == WITHIN_72
        assert one(conn, "select public.cancellation_terms(%s)", [scene.group])["tiers"] == HALF_THEN_ALL


def test_whoever_is_cancelled_on_owes_nothing_and_imports_cost_nobody_anything(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    set_policy(owner, scene.coach, WITHIN_72)
    by_coach, by_import = booked(owner, scene, timedelta(hours=3)), booked(owner, scene, timedelta(hours=5))
    with as_user(scene.coach) as conn:
        one(conn, "select public.cancel_session(%s)", [by_coach])
    owner.execute("update public.sessions set status = 'cancelled' where id = %s", [by_import])
    assert outcomes(owner, by_coach) == outcomes(owner, by_import) == [("cancelled", 0, 0, False)]


def test_what_the_coach_cancels_because_the_client_asked_owes_what_the_client_would(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    set_policy(owner, scene.coach, WITHIN_72)
    session = booked(owner, scene, timedelta(hours=3))
    with as_user(scene.coach) as conn:
        one(conn, "select public.cancel_session(%s, 'ill', true)", [session])
    assert outcomes(owner, session) == [("cancelled", 30000, 30000, True)]
    row = owner.execute(
        "select s.cancelled_by, e.actor_id from public.sessions as s join public.session_events as e"
        " on e.session_id = s.id and e.kind = 'cancelled' where s.id = %s",
        [session],
    ).fetchone()
    assert row == {"cancelled_by": scene.client, "actor_id": scene.coach}
    group = add_session(owner, scene.coach, None, at(1), price_cents=25000)
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as nobodys:
        one(conn, "select public.cancel_session(%s, 'ill', true)", [group])
    assert refusal(nobodys.value) == (422, "group_has_no_client")


@pytest.mark.parametrize(("for_client", "owed"), [(True, 25000), (False, 0)])
def test_a_seat_cancelled_for_its_person_owes_and_one_taken_away_does_not(
    owner: Owner, scene: Scene, as_user: AsUser, for_client: bool, owed: int
) -> None:
    set_policy(owner, scene.coach, WITHIN_72)
    session = add_session(owner, scene.coach, None, at(1), price_cents=25000, template_id=scene.group)
    with as_user(scene.coach) as conn:
        seats = [
            one(conn, "select public.invite_attendee(%s, %s)", [session, scene.client]),
            one(conn, "select public.invite_attendee(%s, p_email => 'guest@example.com')", [session]),
        ]
    owner.execute("update public.session_attendees set status = 'confirmed' where id = any (%s)", [seats])
    for seat in seats:
        with as_user(scene.coach) as conn:
            one(conn, "select public.cancel_attendance(null, %s, 'phoned', %s)", [seat, for_client])
    assert [owes for _, _, owes, _ in outcomes(owner, session)] == [owed, owed]


def test_a_group_that_is_cancelled_has_one_outcome_for_each_who_said_yes(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    session = add_session(owner, scene.coach, None, at(1), price_cents=25000)
    seat = "insert into public.session_attendees (session_id, user_id, role, status) values (%s, %s, 'client', %s)"
    owner.execute(seat, [session, scene.client, "confirmed"])
    owner.execute(seat, [session, scene.second_client, "invited"])
    owner.execute(seat, [session, scene.stranger, "confirmed"])
    with as_user(scene.coach) as conn:
        one(conn, "select public.cancel_session(%s)", [session])
    with as_user(scene.coach) as conn, pytest.raises(psycopg.Error) as again:
        one(conn, "select public.cancel_session(%s)", [session])
    assert refusal(again.value) == (409, "session_state_conflict")
    assert outcomes(owner, session) == [("cancelled", 0, 0, False)] * 2


def test_a_seat_given_up_late_owes_and_owes_nothing_once_it_is_taken_again(
    owner: Owner, scene: Scene, as_user: AsUser
) -> None:
    set_policy(owner, scene.coach, WITHIN_72)
    session = add_session(owner, scene.coach, None, at(1), price_cents=25000, template_id=scene.group)
    with as_user(scene.coach) as conn:
        one(conn, "select public.invite_attendee(%s, %s)", [session, scene.client])
    with as_user(scene.client) as conn:
        # Saying no to an invitation is free; taking a yes back is what the terms are about.
        one(conn, "select public.respond_to_invitation(%s, 'declined')", [session])
        assert outcomes(owner, session) == []
    for step, answer in enumerate(("confirmed", "declined", "confirmed")):
        with as_user(scene.client) as conn:
            one(conn, "select public.respond_to_invitation(%s, %s)", [session, answer])
        assert len(outcomes(owner, session)) == min(step, 1)
    assert outcomes(owner, session) == [("cancelled", 25000, 0, True)]
    with as_user(scene.client) as conn:
        one(conn, "select public.cancel_attendance(%s, p_reason => 'ill')", [session])
    assert outcomes(owner, session)[1:] == [("cancelled", 25000, 25000, True)]


def test_the_coach_lets_somebody_off_and_nobody_else_does(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    set_policy(owner, scene.coach, WITHIN_72)
    session = booked(owner, scene, timedelta(hours=3))
    with as_user(scene.client) as conn:
        one(conn, "select public.cancel_session(%s)", [session])
    outcome = one(owner, "select id from public.seat_outcomes where session_id = %s", [session])
    for who in (scene.client, scene.other_coach):
        with as_user(who) as conn, pytest.raises(psycopg.Error) as refused:
            one(conn, "select public.waive_outcome(%s)", [outcome])
        assert refusal(refused.value) == (404, "not_found")
    with as_user(scene.coach) as conn:
        one(conn, "select public.waive_outcome(%s, 'first time')", [outcome])
        one(conn, "select public.waive_outcome(%s, 'again')", [outcome])
    assert outcomes(owner, session) == [("cancelled", 30000, 0, True)]
    assert one(owner, "select waive_reason from public.seat_outcomes where id = %s", [outcome]) == "first time"


def test_who_does_not_come_owes_what_missing_costs(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    set_policy(owner, scene.coach, [{"hours": 24, "percent": 50}, {"hours": 0, "forfeit": True}])
    session = booked(owner, scene, timedelta(hours=1))
    owner.execute("update public.sessions set scheduled_at = now() - interval '20 minutes' where id = %s", [session])
    with as_user(scene.coach) as conn:
        one(conn, "select public.mark_no_show(%s)", [session])
    assert outcomes(owner, session) == [("no_show", 30000, 30000, True)]


def test_a_seat_that_is_missed_owes_and_owes_nothing_once_that_is_taken_back(
    owner: Owner, scene: Scene, as_user: AsUser, as_role: AsRole
) -> None:
    set_policy(owner, scene.coach, [{"hours": 0, "percent": 80}])
    session = add_session(
        owner, scene.coach, None, at(1), price_cents=25000, template_id=scene.group, no_show_grace_minutes=0
    )
    seats = [
        one(
            owner,
            "insert into public.session_attendees (session_id, user_id, role, status)"
            " values (%s, %s, 'client', 'confirmed') returning id",
            [session, who],
        )
        for who in (scene.client, scene.second_client)
    ]
    owner.execute("update public.sessions set scheduled_at = now() - interval '3 hours' where id = %s", [session])
    record = "select public.record_attendance(%s, %s)"
    with as_user(scene.coach) as conn:
        one(conn, record, [seats[0], "no_show"])
    assert outcomes(owner, session) == [("no_show", 20000, 20000, False)]
    with as_user(scene.coach) as conn:
        one(conn, record, [seats[0], "in"])
    assert outcomes(owner, session) == [("no_show", 20000, 0, False)]
    with as_role("service_role") as conn:
        one(conn, "select private.derive_no_shows()")
    assert outcomes(owner, session)[1:] == [("no_show", 20000, 20000, False)]
    with as_user(scene.coach) as conn:
        one(conn, "select public.mark_no_show(%s)", [session])
    assert len(outcomes(owner, session)) == 2, "who was missed already is not missed twice"


def test_moves_are_counted_and_a_late_one_is_refused_or_charged(owner: Owner, scene: Scene, as_user: AsUser) -> None:
    set_policy(owner, scene.coach, [{"hours": 72, "percent": 50}], free_moves=2)
    session = add_session(owner, scene.coach, scene.client, at(9, 10), template_id=scene.single)
    for hour in (10, 11, 11, 12):
        # To where it is already is no move.
        with as_user(scene.client) as conn:
            one(conn, "select public.reschedule_session(%s, %s)", [session, at(9, hour)])
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as used_up:
        one(conn, "select public.reschedule_session(%s, %s)", [session, at(9, 13)])
    assert refusal(used_up.value) == (409, "moves_used_up")
    with as_user(scene.coach) as conn:
        one(conn, "select public.reschedule_session(%s, %s)", [session, at(9, 13)])
    assert outcomes(owner, session) == []

    soon = add_session(owner, scene.coach, scene.client, at(2, 10), template_id=scene.single)
    with as_user(scene.client) as conn, pytest.raises(psycopg.Error) as too_late:
        one(conn, "select public.reschedule_session(%s, %s)", [soon, at(9, 9)])
    assert refusal(too_late.value) == (409, "move_too_late")
    assert one(owner, "select scheduled_at from public.sessions where id = %s", [soon]) == at(2, 10)

    set_policy(owner, scene.coach, [{"hours": 72, "percent": 50}], late_moves="charge")
    charged = add_session(owner, scene.coach, scene.client, at(2, 12), template_id=scene.single)
    with as_user(scene.client) as conn:
        one(conn, "select public.reschedule_session(%s, %s)", [charged, at(9, 9)])
    assert outcomes(owner, charged) == [("moved", 15000, 15000, False)]


@pytest.mark.parametrize(
    ("tiers", "code"),
    [
        ([{"hours": 24, "percent": 50}, {"hours": 48, "percent": 80}], "policy_contradictory"),
        ([{"hours": 24, "percent": 50}, {"hours": 24, "forfeit": True}], "policy_contradictory"),
        ([{"hours": 48, "forfeit": True}, {"hours": 24, "percent": 50}], "policy_contradictory"),
        ([{"hours": 48, "percent": 10}, {"hours": 24, "fee_cents": 500}], "policy_contradictory"),
        ([{"hours": 24}], "policy_invalid"),
        ([{"hours": 24, "percent": 50, "forfeit": True}], "policy_invalid"),
        ([{"hours": -1, "percent": 50}], "policy_invalid"),
        ([{"hours": 1.5, "percent": 50}], "policy_invalid"),
        ([{"hours": "24", "percent": 50}], "policy_invalid"),
        ([{"hours": 24, "percent": 101}], "policy_invalid"),
        ([{"hours": 24, "percent": "all"}], "policy_invalid"),
        ([{"hours": 24, "forfeit": False}], "policy_invalid"),
        ([{"hours": 24, "fee_cents": 500}], "policy_invalid"),
        ([{"hours": hours, "percent": 50} for hours in range(11)], "policy_invalid"),
        ("24", "policy_invalid"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(owner: Owner, scene: Scene, tiers: Any, code: str) -> None:
    with pytest.raises(psycopg.Error) as refused:
        owner.execute(
            "insert into public.cancellation_policies (coach_id, tiers) values (%s, %s)",
            [scene.coach, json.dumps(tiers)],
        )
    assert refusal(refused.value) == (422, code)


async def test_terms_are_set_shown_and_kept_over_http(
    client: httpx.AsyncClient, bearer: Bearer, scene: Scene, owner: Owner
) -> None:
    coach, dana = bearer(scene.coach), bearer(scene.client)
    assert (await client.get("/v1/cancellation-policy", headers=coach)).status_code == 404
    body = {"tiers": HALF_THEN_ALL, "free_moves": 1}
    made = await client.put("/v1/cancellation-policy", json=body, headers=coach)
    assert made.status_code == 200, made.text
    again = await client.put("/v1/cancellation-policy", json=body | {"free_moves": 2}, headers=coach)
    assert again.json()["free_moves"] == 2
    of_template = f"/v1/session-templates/{scene.single}/cancellation-policy"
    fee = {"tiers": [{"hours": 24, "fee_cents": 10000}], "currency": "ILS"}
    assert (await client.get(of_template, headers=dana)).json()["tiers"] == HALF_THEN_ALL
    assert (await client.put(of_template, json=fee, headers=dana)).status_code == 404
    assert (await client.put(of_template, json=fee, headers=coach)).status_code == 200
    bad = await client.put(of_template, json=fee | {"currency": "USD"}, headers=coach)
    assert (bad.status_code, bad.json()["code"]) == (422, "currency_mismatch")

    session = booked(owner, scene, timedelta(hours=3))
    quote = await client.get(f"/v1/sessions/{session}/cancellation", headers=dana)
    assert (quote.json()["amount_cents"], quote.json()["currency"]) == (10000, "ILS")
    seat = {"attendee_id": quote.json()["attendee_id"]}
    assert (await client.get(f"/v1/sessions/{session}/cancellation", params=seat, headers=coach)).json()[
        "amount_cents"
    ] == 10000
    for who in (scene.second_client, scene.other_coach):
        assert (
            await client.get(f"/v1/sessions/{session}/cancellation", params=seat, headers=bearer(who))
        ).status_code == 404

    assert (await client.post(f"/v1/sessions/{session}/cancel", json={}, headers=dana)).status_code == 200
    (owed,) = (await client.get("/v1/outcomes", params={"owed": True}, headers=coach)).json()["items"]
    assert (owed["kind"], owed["owed_cents"]) == ("cancelled", 10000)
    assert (await client.get(f"/v1/sessions/{session}/outcomes", headers=dana)).json()["items"] == [owed]
    waived = await client.post(f"/v1/outcomes/{owed['id']}/waive", json={"reason": "ill"}, headers=coach)
    assert (waived.json()["owed_cents"], waived.json()["amount_cents"]) == (0, 10000)
    assert (await client.delete(of_template, headers=coach)).status_code == 204
    assert (await client.delete(of_template, headers=coach)).status_code == 404
