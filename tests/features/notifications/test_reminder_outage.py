"""Reminders of many sessions through an outage of all workers, against a plain model of who must hear what, and when.

A small version runs always; `--campaign` runs it in full: a thousand sessions, minute by minute over two days.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tests.features.messaging.world import Connection, make_person, one, relate, rows
from tests.features.notifications.test_reminders import session

START = datetime(2031, 3, 1, tzinfo=UTC)
LEADS = (timedelta(hours=24), timedelta(hours=1))


@dataclass
class Planned:
    """A session of the model; `told` are the moments at which both its people were reminded."""

    id: UUID
    at: datetime
    booked: datetime
    cancelled: datetime | None
    called_off: bool = False
    given: set[timedelta] = field(default_factory=set[timedelta])
    told: list[datetime] = field(default_factory=list[datetime])

    def due(self, now: datetime) -> bool:
        """Whether a worker that looks now reminds of it; two leads at once are one reminder."""
        if now >= self.at or (self.cancelled is not None and now >= self.cancelled):
            return False
        new = {lead for lead in LEADS if now >= self.at - lead >= self.booked} - self.given
        self.given |= new
        return bool(new)


def test_exactly_once_through_a_two_hour_outage(owner: Connection, request: pytest.FixtureRequest) -> None:
    count, step, hours = (1000, 1, 48) if request.config.getoption("--campaign") else (30, 15, 30)
    dice = random.Random(7)  # noqa: S311 - a run that can be told again
    outage = START + timedelta(hours=20), START + timedelta(hours=22)
    planned: list[Planned] = []
    for number in range(count):
        coach, client = make_person(owner, "Maya", "coach"), make_person(owner, "Noa")
        relate(owner, coach, client)
        at = START + timedelta(minutes=dice.randint(30, hours * 60 + 600))
        booked = at - timedelta(minutes=dice.choice([20, 45, 200, 1000, 1500, 9000]))
        cancelled = at - timedelta(minutes=dice.randint(1, 1600)) if dice.random() < 0.2 else None
        if number < 5:
            # Their last hour begins while nobody works.
            at, cancelled = outage[1] + timedelta(minutes=5 + 11 * number), None
            booked = at - timedelta(days=6)
        planned.append(Planned(session(owner, (coach, client), at, booked), at, booked, cancelled))
    silent = 0
    for minute in range(0, hours * 60, step):
        now = START + timedelta(minutes=minute)
        for one_ in planned:
            if one_.cancelled is not None and one_.cancelled <= now and not one_.called_off:
                owner.execute("update public.sessions set status = 'cancelled' where id = %s", [one_.id])
                one_.called_off = True
        if outage[0] <= now < outage[1]:
            silent += 1
            continue
        expected = [one_ for one_ in planned if one_.due(now)]
        # Two workers look at the same minute; the second finds nothing left to do.
        told = [one(owner, "select private.remind_of_sessions(%s)", now) for _ in range(2)]
        assert told == [2 * len(expected), 0], now
        for one_ in expected:
            one_.told.append(now)
    assert silent == 120 / step
    for one_ in planned:
        found = rows(
            owner,
            "select user_id, count(*) as reminders from public.notifications"
            " where type = 'session_reminder' and data ->> 'session_id' = %s group by user_id",
            str(one_.id),
        )
        assert [row["reminders"] for row in found] == ([len(one_.told)] * 2 if one_.told else [])
        assert all(moment < one_.at for moment in one_.told)
    assert all(one_.told[-1] >= outage[1] and LEADS[1] in one_.given for one_ in planned[:5])
