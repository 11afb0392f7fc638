"""Fills an empty database with a small practice that looks real.

People act for themselves: each statement runs as the person whose it is, under the same policies as over HTTP. Only
what lies in the past is put there by the service role, since nobody can book yesterday.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from loom.cli.demo import people, seed_cards, seed_papers
from loom.cli.demo.actors import PASSWORD
from loom.cli.demo.people import Account
from loom.core import clock
from loom.core.errors import OperatorError
from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.db.database import Database
from loom.db.sql import load_queries
from loom.features.hours import holidays
from loom.features.identity.service import create_user

SQL = load_queries(__package__)
_UNFINISHED = "demo-unfinished"
_PAST = Actor.service("put the sample practice's past in place")


@dataclass(slots=True)
class Sample:
    """What has been made so far: ids by e-mail address and by title."""

    database: Database
    users: dict[str, UUID] = field(default_factory=dict[str, UUID])
    templates: dict[str, UUID] = field(default_factory=dict[str, UUID])
    sessions: dict[str, UUID] = field(default_factory=dict[str, UUID])

    async def as_user(self, account: Account, query: str, **params: object) -> Any:
        """The first value of a query that the person runs."""
        return await self._value(Actor.user(self.users[account.email]), query, params)

    async def as_service(self, query: str, **params: object) -> Any:
        """The first value of a query about the past."""
        return await self._value(_PAST, query, params)

    async def _value(self, actor: Actor, query: str, params: dict[str, object]) -> Any:
        async with self.database.transaction(actor) as tx:
            return await tx.fetch_value(SQL[query], params)


async def seed(database: Database, settings: Settings) -> bool:
    """Fills the database unless somebody is there already; says whether it did.

    OperatorError when an earlier start was stopped in the middle of it: half a practice would look like a whole one.
    """
    note = settings.data_dir / _UNFINISHED
    if note.exists():
        raise OperatorError(f"The sample practice in {settings.data_dir} was left half made. Start with --reset.")
    if await database.reader(_PAST).fetch_value(SQL["anybody_here"], {}):
        return False
    note.touch()
    sample = Sample(database)
    await _accounts(sample)
    await _offers(sample)
    await _past(sample)
    await _notes(sample)
    await _future(sample)
    await seed_papers.letterheads(sample)
    await _invoices(sample)
    await seed_papers.packages(sample)
    await _conversations(sample)
    await seed_cards.cards(database, settings)
    note.unlink()
    return True


async def _accounts(sample: Sample) -> None:
    made = await asyncio.gather(
        *(
            create_user(
                sample.database,
                email=who.email,
                role=who.role,
                password=PASSWORD,
                first_name=who.first_name,
                last_name=who.last_name,
                timezone=who.timezone,
                language=who.language,
            )
            for who in people.EVERYBODY
        )
    )
    sample.users = {user.email: user.user_id for user in made}
    for client in people.CLIENTS:
        for coach in client.coaches:
            await sample.as_service("relate", coach_id=sample.users[coach], client_id=sample.users[client.email])


async def _offers(sample: Sample) -> None:
    week = [{"day_of_week": day, "start_time": "09:00", "end_time": "13:00"} for day in range(5)]
    afternoons = [{"day_of_week": day, "start_time": "16:00", "end_time": "20:00"} for day in (0, 2, 3)]
    monday_to_friday = [{"day_of_week": day, "start_time": "08:30", "end_time": "16:30"} for day in range(1, 6)]
    for coach, name, country, currency, tax_rate_bp, tax_scheme, hours in (
        (people.MAYA, "מאיה כהן, אימון אישי", "IL", "ILS", 1800, "registered", week + afternoons),
        (people.DANIEL, "Reed Coaching", "GB", "GBP", 2000, "own_rate", monday_to_friday),
    ):
        await sample.as_user(
            coach,
            "set_practice",
            name=name,
            country=country,
            currency=currency,
            timezone=coach.timezone,
            tax_rate_bp=tax_rate_bp,
            tax_scheme=tax_scheme,
        )
        await sample.as_user(coach, "set_hours", timezone=coach.timezone, ranges=json.dumps(hours))
        await _rules(sample, coach)
    await _template(sample, people.MAYA, "פגישת אימון אישית", 60, price_cents=38000, currency="ILS", buffer=15)
    await _template(
        sample,
        people.MAYA,
        "קבוצת מנהלות חדשות",
        90,
        price_cents=25000,
        currency="ILS",
        capacity=6,
        roster_visible=True,
    )
    await _template(sample, people.DANIEL, "Coaching session", 50, price_cents=9500, currency="GBP", buffer=10)
    await _template(sample, people.DANIEL, "Career group", 90, price_cents=4500, currency="GBP", capacity=8)


async def _rules(sample: Sample, coach: Account) -> None:
    """What clients agree to when they book, and the days on which nobody works."""
    tiers = [{"hours": 24, "percent": 50}, {"hours": 0, "forfeit": True}]
    await sample.as_user(coach, "set_terms", tiers=json.dumps(tiers), free_moves=2)
    await sample.as_user(coach, "set_rules", min_notice_minutes=120, max_per_day=6)
    today = clock.now().date()
    country = "IL" if coach is people.MAYA else "GB"
    days = holidays.days_of(country, None, coach.language, today)
    await sample.as_user(coach, "keep_holidays", country=country, covers_until=holidays.until(today), days=days)


async def _template(
    sample: Sample,
    coach: Account,
    title: str,
    minutes: int,
    *,
    price_cents: int,
    currency: str,
    buffer: int = 0,
    capacity: int | None = None,
    roster_visible: bool = False,
) -> None:
    sample.templates[title] = await sample.as_user(
        coach,
        "add_template",
        coach_id=sample.users[coach.email],
        title=title,
        description=None,
        minutes=minutes,
        price_cents=price_cents,
        currency=currency,
        session_type="group" if capacity else "individual",
        capacity=capacity,
        buffer_after_minutes=buffer,
        roster_visible=roster_visible,
        location="Zoom" if coach is people.DANIEL else "רחוב הנביאים 12, ירושלים",
    )


# Days ago, and the hour on the coach's clock.
_PAST_SESSIONS = (
    (people.MAYA, people.NOA, 42, 10, "completed"),
    (people.MAYA, people.NOA, 28, 10, "completed"),
    (people.MAYA, people.NOA, 14, 10, "completed"),
    (people.MAYA, people.OMER, 21, 12, "completed"),
    (people.MAYA, people.OMER, 7, 12, "no_show"),
    (people.MAYA, people.SARAH, 9, 17, "completed"),
    (people.DANIEL, people.JAMES, 30, 9, "completed"),
    (people.DANIEL, people.JAMES, 16, 9, "completed"),
    (people.DANIEL, people.PRIYA, 12, 11, "cancelled"),
    (people.DANIEL, people.PRIYA, 5, 11, "completed"),
)


async def _past(sample: Sample) -> None:
    """Six weeks back: most sessions took place, one was cancelled, one client did not come."""
    for coach, client, days_ago, hour, status in _PAST_SESSIONS:
        hebrew = coach is people.MAYA
        title = "פגישת אימון אישית" if hebrew else "Coaching session"
        sample.sessions[f"{client.first_name} {days_ago}"] = await sample.as_service(
            "add_past_session",
            coach_id=sample.users[coach.email],
            client_id=sample.users[client.email],
            template_id=sample.templates[title],
            title=title,
            scheduled_at=_at(coach, -days_ago, hour),
            minutes=60 if hebrew else 50,
            status=status,
            price_cents=38000 if hebrew else 9500,
            currency="ILS" if hebrew else "GBP",
            timezone=coach.timezone,
            location=None,
        )


async def _notes(sample: Sample) -> None:
    """What a coach keeps, what she shares, and what a client thinks of it."""
    noa = sample.sessions["נועה 14"]
    await sample.as_user(
        people.MAYA,
        "add_note",
        coach_id=sample.users[people.MAYA.email],
        client_id=sample.users[people.NOA.email],
        session_id=noa,
        title="גבולות בעבודה",
        content="דיברנו על שיחה פתוחה עם המנהלת. לחזור לזה בפגישה הבאה.",
        privacy_level="private",
        tags=["עבודה"],
    )
    await sample.as_user(
        people.NOA,
        "add_reflection",
        client_id=sample.users[people.NOA.email],
        session_id=noa,
        content="יצאתי עם צעד אחד ברור, וזה הרבה.",
        mood=8,
        goals="לקבוע את השיחה עם המנהלת",
    )
    await sample.as_user(
        people.DANIEL,
        "add_note",
        coach_id=sample.users[people.DANIEL.email],
        client_id=sample.users[people.JAMES.email],
        session_id=sample.sessions["James 16"],
        title="Three questions for the week",
        content="What gives energy? What takes it? What would you ask for if you were not afraid of the answer?",
        privacy_level="shared_with_client",
        tags=["homework"],
    )


def _at(coach: Account, days: int, hour: int) -> datetime:
    """That hour on the coach's clock, so many days from today."""
    zone = ZoneInfo(coach.timezone)
    return datetime.combine(clock.now().astimezone(zone).date() + timedelta(days=days), time(hour), zone)


async def _future(sample: Sample) -> None:
    for client, coach, title, days in (
        (people.NOA, people.MAYA, "פגישת אימון אישית", 2),
        (people.OMER, people.MAYA, "פגישת אימון אישית", 3),
        (people.SARAH, people.MAYA, "פגישת אימון אישית", 4),
        (people.JAMES, people.DANIEL, "Coaching session", 2),
        (people.PRIYA, people.DANIEL, "Coaching session", 5),
    ):
        template = sample.templates[title]
        slot = await sample.as_user(
            client,
            "free_slot",
            coach_id=sample.users[coach.email],
            template_id=template,
            earliest=clock.now() + timedelta(days=days),
        )
        await sample.as_user(client, "book", template_id=template, starts_at=slot, timezone=client.timezone)
    await _group(sample)
    await _series(sample)
    await _tomorrow(sample)


async def _tomorrow(sample: Sample) -> None:
    """Booked days ago and less than a day away, so that both are reminded of it in the first minute."""
    session = await sample.as_service(
        "add_past_session",
        coach_id=sample.users[people.DANIEL.email],
        client_id=sample.users[people.JAMES.email],
        template_id=sample.templates["Coaching session"],
        title="Coaching session",
        scheduled_at=clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=20),
        minutes=50,
        status="scheduled",
        price_cents=9500,
        currency="GBP",
        timezone=people.DANIEL.timezone,
        location=None,
    )
    await sample.as_service("booked_earlier", session_id=session, booked_at=clock.now() - timedelta(days=3))


async def _series(sample: Sample) -> None:
    """Yael comes every week at the same time of Maya's clock, for four weeks."""
    first = _at(people.MAYA, 12, 19).replace(tzinfo=None)
    await sample.as_user(
        people.MAYA,
        "add_series",
        template_id=sample.templates["פגישת אימון אישית"],
        local_starts=[first + timedelta(weeks=week) for week in range(4)],
        timezone=people.MAYA.timezone,
        client_id=sample.users[people.YAEL.email],
    )


async def _group(sample: Sample) -> None:
    template = sample.templates["קבוצת מנהלות חדשות"]
    starts_at = _at(people.MAYA, 10, 17)
    group = await sample.as_user(people.MAYA, "create_group", template_id=template, starts_at=starts_at, capacity=6)
    sample.sessions["group"] = group
    for client, answer in ((people.NOA, "confirmed"), (people.YAEL, "confirmed"), (people.PRIYA, "declined")):
        await sample.as_user(
            people.MAYA, "invite", session_id=group, user_id=sample.users[client.email], email=None, name=None
        )
        await sample.as_user(client, "answer", session_id=group, answer=answer)
    await sample.as_user(
        people.MAYA, "invite", session_id=group, user_id=None, email="tamar@example.org", name="תמר רוזן"
    )


async def _invoices(sample: Sample) -> None:
    """One paid by transfer, one open, one draft, and one of the other coach in another currency."""
    paid = await _invoice(
        sample,
        people.MAYA,
        people.NOA,
        [{"session_id": str(sample.sessions["נועה 42"])}, {"session_id": str(sample.sessions["נועה 28"])}],
    )
    await sample.as_user(people.MAYA, "finalize_invoice", invoice_id=paid)
    await sample.as_user(
        people.MAYA,
        "record_payment",
        invoice_id=paid,
        amount_cents=89680,
        method="bank_transfer",
        reference="העברה 4471",
    )
    opened = await _invoice(
        sample,
        people.MAYA,
        people.OMER,
        [
            {"session_id": str(sample.sessions["עומר 21"])},
            {"description": "חוברת עבודה", "quantity": 1, "amount_cents": 6000},
        ],
    )
    await sample.as_user(people.MAYA, "finalize_invoice", invoice_id=opened)
    await _invoice(sample, people.MAYA, people.SARAH, [{"session_id": str(sample.sessions["Sarah 9"])}])
    london = await _invoice(
        sample,
        people.DANIEL,
        people.JAMES,
        [{"session_id": str(sample.sessions["James 30"])}, {"session_id": str(sample.sessions["James 16"])}],
    )
    await sample.as_user(people.DANIEL, "finalize_invoice", invoice_id=london)


async def _invoice(sample: Sample, coach: Account, client: Account, lines: list[dict[str, object]]) -> UUID:
    return await sample.as_user(coach, "draft_invoice", client_id=sample.users[client.email], lines=json.dumps(lines))


async def _conversations(sample: Sample) -> None:
    hebrew = await sample.as_user(people.MAYA, "start_direct", user_id=sample.users[people.NOA.email])
    await _say(sample, people.MAYA, hebrew, "היי נועה, איך עברה השיחה עם המנהלת?")
    seq = await _say(sample, people.NOA, hebrew, "הרבה יותר טוב ממה שחששתי. אספר בפגישה 🙂")
    await sample.as_user(people.MAYA, "mark_read", conversation_id=hebrew, seq=seq)

    english = await sample.as_user(people.JAMES, "start_direct", user_id=sample.users[people.DANIEL.email])
    await _say(sample, people.JAMES, english, "Could we start ten minutes later on our next date?")
    await _say(sample, people.DANIEL, english, "Of course. I have moved nothing else, so take the time you need.")

    group = await sample.as_user(people.MAYA, "open_session_conversation", session_id=sample.sessions["group"])
    await _say(sample, people.MAYA, group, "ברוכות הבאות לקבוצה! @יעל, תביאי דוגמה אחת מהשבוע?", [people.YAEL])
    await _say(sample, people.YAEL, group, "בשמחה. see you all there")


async def _say(
    sample: Sample, who: Account, conversation_id: UUID, content: str, mentions: list[Account] | None = None
) -> int:
    mentioned = [sample.users[person.email] for person in mentions or []]
    return await sample.as_user(
        who, "post_message", conversation_id=conversation_id, content=content, mentions=mentioned
    )
