"""A coach's calendar lived through at random: whatever happens in whatever order, nobody is booked twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from psycopg.rows import DictRow, dict_row

from tests.support.cluster import Cluster
from tests.support.scheduling import JERUSALEM, Scene, add_template, at, make_scene, one, set_hours

Owner = psycopg.Connection[DictRow]

# Each finds what must not exist.
INVARIANTS = {
    "no two blocked ranges of one coach overlap": """
        with busy as (
          select s.id, s.coach_id, tstzrange(s.scheduled_at - make_interval(mins => s.buffer_before_minutes),
            s.ends_at + make_interval(mins => s.buffer_after_minutes)) as during
          from public.sessions s where s.coach_id = %(coach)s and s.status in ('scheduled', 'in_progress')
          union all
          select r.id, r.coach_id, tstzrange(r.starts_at, r.starts_at + make_interval(mins => r.duration_minutes))
          from public.booking_requests r
          where r.coach_id = %(coach)s and r.status = 'pending' and r.block_id is not null and r.expires_at > now()
          union all
          select b.id, b.coach_id, b.during from public.coach_blocks b
          where b.coach_id = %(coach)s and b.kind = 'time_off'
        )
        select a.id from busy a join busy b on a.id < b.id and a.during && b.during""",
    "sold is at most the capacity": """
        select s.id from public.sessions s
        join public.session_attendees a on a.session_id = s.id and a.role <> 'coach'
          and a.status <> 'declined' and a.cancelled_at is null
        where s.coach_id = %(coach)s group by s.id having count(*) > s.capacity""",
    "what is ahead is blocked, and what is not is not": """
        select s.id from public.sessions s left join public.coach_blocks b on b.session_id = s.id
        where s.coach_id = %(coach)s and s.ends_at > now()
          and (s.status in ('scheduled', 'in_progress')) <> (b.id is not null)""",
    "a request that was answered keeps nothing free": """
        select r.id from public.booking_requests r join public.coach_blocks b on b.id = r.block_id
        where r.coach_id = %(coach)s and r.status <> 'pending'""",
    "a series is whole": """
        select x.id from public.session_series x where x.coach_id = %(coach)s
          and (select count(*) from public.series_sessions m where m.series_id = x.id) <> 3""",
    "each yes that was taken back has its outcome": """
        select a.id from public.session_attendees a join public.sessions s on s.id = a.session_id
        where s.coach_id = %(coach)s and s.status = 'cancelled' and a.role <> 'coach' and a.status = 'confirmed'
          and not exists (select from public.seat_outcomes o where o.attendee_id = a.id and o.undone_at is null)""",
}

EVERY = " union all ".join(
    f"select '{name}' as what, wrong.id from ({query}) as wrong" for name, query in INVARIANTS.items()
)
PLACES = "select session_id as id from public.series_sessions where coach_id = %(coach)s order by ordinal, session_id"
STEPS = st.integers(0, 47)
"""Half hours from eight in the morning on, over two days."""


class Calendar(RuleBasedStateMachine):
    """What people do to one coach's calendar. The database says what of it may be."""

    owner: Owner
    api: psycopg.Connection[DictRow]
    scene: Scene

    @initialize()
    def open_practice(self) -> None:
        self.scene = make_scene(self.owner)
        set_hours(self.owner, self.scene.coach, JERUSALEM, "08:00", "24:00")
        coach = self.scene.coach
        self.owner.execute("delete from public.booking_rules where coach_id = %s", [coach])
        self.single = add_template(self.owner, coach, slot_step_minutes=30)
        self.asked = add_template(self.owner, coach, slot_step_minutes=30, booking_mode="request", request_blocks=True)
        self.group = self.do(coach, "select public.create_group_session(%s, %s, 2)", self.scene.group, at(40, 10))

    def do(self, who: UUID, query: str, *params: object) -> Any:
        """What somebody gets who acts; None where the database refuses, and nothing but a refusal is fine."""
        try:
            with self.api.transaction():
                self.api.execute(
                    "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
                    [json.dumps({"sub": str(who)})],
                )
                return one(self.api, query, params)
        except psycopg.Error as refused:
            if not (refused.sqlstate or "").startswith("PT4"):
                raise
            return None

    def some(self, query: str, choice: int) -> Any:
        """One of the rows that a query finds, or a stranger's id where there is none."""
        rows = self.owner.execute(query, {"coach": self.scene.coach}).fetchall()  # pyright: ignore[reportArgumentType]
        return rows[choice % len(rows)]["id"] if rows else self.scene.stranger

    def session(self, choice: int) -> Any:
        return self.some(
            "select id from public.sessions where coach_id = %(coach)s and type = 'individual'"
            " order by scheduled_at, id",
            choice,
        )

    def when(self, step: int) -> Any:
        return at(3 + step // 24, 8) + timedelta(minutes=30 * (step % 24))

    @rule(step=STEPS, second=st.booleans())
    def book(self, step: int, second: bool) -> None:
        who = self.scene.second_client if second else self.scene.client
        self.do(who, "select public.book_session(%s, %s)", self.single, self.when(step))

    @rule(step=STEPS)
    def coach_books(self, step: int) -> None:
        start = self.when(step) + timedelta(minutes=10)
        self.do(self.scene.coach, "select public.book_session(%s, %s, %s)", self.single, start, self.scene.client)

    @rule(step=STEPS)
    def hold(self, step: int) -> None:
        self.do(self.scene.client, "select public.hold_slot(%s, %s)", self.single, self.when(step))

    @rule(step=STEPS)
    def ask(self, step: int) -> None:
        self.do(self.scene.second_client, "select public.request_slot(%s, %s)", self.asked, self.when(step))

    @rule(choice=st.integers(0, 5), by_coach=st.booleans(), accept=st.booleans())
    def answer(self, choice: int, by_coach: bool, accept: bool) -> None:
        request = self.some(
            "select id from public.booking_requests where coach_id = %(coach)s and status = 'pending'"
            " order by created_at, id",
            choice,
        )
        who = self.scene.coach if by_coach else self.scene.client
        self.do(who, f"select public.{'accept' if accept else 'close'}_request(%s)", request)

    @rule(choice=st.integers(0, 5))
    def expire(self, choice: int) -> None:
        request = self.some(
            "select id from public.booking_requests where coach_id = %(coach)s and status = 'pending'"
            " order by created_at, id",
            choice,
        )
        self.owner.execute(
            "update public.coach_blocks set expires_at = now() where id ="
            " (select block_id from public.booking_requests where id = %s)",
            [request],
        )
        self.owner.execute("update public.booking_requests set expires_at = now() where id = %s", [request])

    @rule(choice=st.integers(0, 20), step=STEPS, by_coach=st.booleans())
    def move(self, choice: int, step: int, by_coach: bool) -> None:
        who = self.scene.coach if by_coach else self.scene.client
        self.do(who, "select public.reschedule_session(%s, %s)", self.session(choice), self.when(step))

    @rule(choice=st.integers(0, 20), by_coach=st.booleans(), for_client=st.booleans())
    def cancel(self, choice: int, by_coach: bool, for_client: bool) -> None:
        who = self.scene.coach if by_coach else self.scene.client
        self.do(who, "select public.cancel_session(%s, p_for_client => %s)", self.session(choice), for_client)

    @rule(step=STEPS, hours=st.integers(1, 6))
    def take_time_off(self, step: int, hours: int) -> None:
        start = self.when(step)
        self.do(self.scene.coach, "select public.take_time_off(%s, %s)", start, start + timedelta(hours=hours))

    @rule(choice=st.integers(0, 5))
    def come_back(self, choice: int) -> None:
        self.owner.execute(
            "delete from public.coach_blocks where id = %s",
            [
                self.some(
                    "select id from public.coach_blocks"
                    " where coach_id = %(coach)s and kind = 'time_off' order by during",
                    choice,
                )
            ],
        )

    @rule(step=STEPS, by_coach=st.booleans())
    def book_series(self, step: int, by_coach: bool) -> None:
        first = self.when(step).astimezone(ZoneInfo(JERUSALEM)).replace(tzinfo=None)
        times = [first + timedelta(hours=2 * n) for n in range(3)]
        who = self.scene.coach if by_coach else self.scene.client
        self.do(
            who,
            "select public.create_series(%s, %s, %s, 'x', %s)",
            self.single,
            times,
            JERUSALEM,
            self.scene.client,
        )

    @rule(step=STEPS, capacity=st.integers(1, 2))
    def book_group_series(self, step: int, capacity: int) -> None:
        first = self.when(step).astimezone(ZoneInfo(JERUSALEM)).replace(tzinfo=None)
        self.do(
            self.scene.coach,
            "select public.create_series(%s, %s, %s, 'x', p_capacity => %s)",
            self.scene.group,
            [first + timedelta(hours=2 * n) for n in range(3)],
            JERUSALEM,
            capacity,
        )

    @rule(choice=st.integers(0, 8), who=st.sampled_from(["client", "second_client"]))
    def invite_to_series(self, choice: int, who: str) -> None:
        place, person = self.some(PLACES, choice), getattr(self.scene, who)
        self.do(self.scene.coach, "select public.invite_to_series(%s, %s)", place, person)

    @rule(choice=st.integers(0, 8), step=STEPS)
    def move_series(self, choice: int, step: int) -> None:
        place = self.some(
            PLACES,
            choice,
        )
        self.do(self.scene.coach, "select public.move_series(%s, %s)", place, self.when(step))

    @rule(choice=st.integers(0, 8))
    def cancel_series(self, choice: int) -> None:
        place = self.some(
            PLACES,
            choice,
        )
        self.do(self.scene.client, "select public.cancel_series(%s)", place)

    @rule(who=st.sampled_from(["client", "second_client"]))
    def invite(self, who: str) -> None:
        self.do(self.scene.coach, "select public.invite_attendee(%s, %s)", self.group, getattr(self.scene, who))

    @rule(name=st.sampled_from("abc"))
    def invite_guest(self, name: str) -> None:
        self.do(
            self.scene.coach,
            "select public.invite_attendee(%s, p_email => %s)",
            self.group,
            f"{name}@example.com",
        )

    @rule(who=st.sampled_from(["client", "second_client"]), answer=st.sampled_from(["confirmed", "declined"]))
    def respond(self, who: str, answer: str) -> None:
        self.do(getattr(self.scene, who), "select public.respond_to_invitation(%s, %s)", self.group, answer)

    @rule(who=st.sampled_from(["client", "second_client"]))
    def leave(self, who: str) -> None:
        self.do(getattr(self.scene, who), "select public.cancel_attendance(%s)", self.group)

    @rule(choice=st.integers(0, 5), undo=st.booleans())
    def check_in(self, choice: int, undo: bool) -> None:
        seat = self.some(
            "select a.id from public.session_attendees a join public.sessions s on s.id = a.session_id"
            " where s.coach_id = %(coach)s and s.type = 'group' and a.role <> 'coach' order by a.created_at, a.id",
            choice,
        )
        self.do(self.scene.coach, "select public.record_attendance(%s, %s)", seat, "undo" if undo else "in")

    @rule(capacity=st.integers(1, 3))
    def resize(self, capacity: int) -> None:
        self.do(
            self.scene.coach,
            "with n as (update public.sessions set capacity = %s where id = %s returning id) select count(*) from n",
            capacity,
            self.group,
        )

    @invariant()
    def the_calendar_is_right(self) -> None:
        if not hasattr(self, "group"):
            return
        wrong = self.owner.execute(EVERY, {"coach": self.scene.coach}).fetchall()  # pyright: ignore[reportArgumentType]
        assert wrong == []


@pytest.fixture
def machine(cluster: Cluster) -> Iterator[type[Calendar]]:
    """The machine on a database of its own."""
    name = cluster.create(cluster.template())
    try:
        with (
            psycopg.connect(cluster.url(name, "loom_owner"), autocommit=True, row_factory=dict_row) as conn,
            psycopg.connect(cluster.url(name, "loom_api"), autocommit=True, row_factory=dict_row) as api_conn,
        ):

            class Bound(Calendar):
                owner = conn
                api = api_conn

            yield Bound
    finally:
        cluster.drop(name)


def test_whatever_happens_to_a_calendar_nobody_is_booked_twice(
    machine: type[Calendar], pytestconfig: pytest.Config
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            # 2,000 steps; in a campaign ten times as many.
            max_examples=400 if pytestconfig.getoption("--campaign") else 40,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_machine_sees_two_sessions_at_once_where_the_constraint_is_gone(machine: type[Calendar]) -> None:
    """The negative control: with the guard switched off, the same steps leave what the invariants find."""
    owner = machine.owner
    owner.execute("alter table public.coach_blocks drop constraint coach_blocks_no_overlap")
    body = one(owner, "select pg_get_functiondef('private.keep_session_block(public.sessions)'::regprocedure)")
    owner.execute(body.replace("on conflict on constraint coach_blocks_no_overlap do nothing", ""))
    run = machine()
    run.open_practice()
    run.book(0, second=False)
    run.the_calendar_is_right()
    run.coach_books(0)
    with pytest.raises(AssertionError):
        run.the_calendar_is_right()


def test_the_machine_sees_a_seat_too_many_where_the_claim_is_gone(machine: type[Calendar]) -> None:
    machine.owner.execute("alter table public.session_attendees disable trigger session_attendees_before_update")
    run = machine()
    run.open_practice()
    for who in ("client", "second_client"):
        run.invite(who)
        run.respond(who, "declined")
    run.invite_guest("a")
    run.invite_guest("b")
    run.the_calendar_is_right()
    run.respond("client", "confirmed")
    with pytest.raises(AssertionError):
        run.the_calendar_is_right()
