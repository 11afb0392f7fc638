"""Steps 1 to 3: what a coach offers, one booking that twenty want, and a group that comes together."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from datetime import datetime, time, timedelta
from email.message import EmailMessage
from zoneinfo import ZoneInfo

from loom.cli.demo import people
from loom.cli.demo.actors import Person, StepFailed
from loom.cli.demo.stage import Stage
from loom.core import clock

MAYAS_ZONE = ZoneInfo(people.MAYA.timezone)
OPENS = time(8)
GROUP_LASTS = timedelta(minutes=90)
_LINK = r"{}: \S*/v1/links/([A-Za-z0-9_-]+)"


async def offers(stage: Stage) -> None:
    """A coach signs in, sets weekly hours and makes two templates."""
    maya = stage.people[people.MAYA.email]
    await maya.sign_in()
    # Every day, so that the story can be told on any day of the week.
    week = [{"day_of_week": day, "start_time": f"{OPENS:%H:%M}", "end_time": "20:00"} for day in range(7)]
    hours = await maya.put("/v1/availability", {"timezone": "Asia/Jerusalem", "ranges": week})
    stage.check("weekly hours stand in Asia/Jerusalem", len(hours["ranges"]) == 7)
    group = await maya.post(
        "/v1/session-templates",
        {
            "title": "Group coaching",
            "session_type": "group",
            "default_duration_minutes": GROUP_LASTS // timedelta(minutes=1),
            "default_price_cents": 25000,
            "currency": "ILS",
            "default_capacity": 4,
        },
    )
    single = await maya.post(
        "/v1/session-templates",
        {"title": "Single session", "default_duration_minutes": 60, "default_price_cents": 38000, "currency": "ILS"},
    )
    terms = {"tiers": [{"hours": 24, "percent": 50}, {"hours": 0, "forfeit": True}], "free_moves": 2}
    await maya.put(f"/v1/session-templates/{single['id']}/cancellation-policy", terms)
    stage.facts |= {"group_template": group["id"], "single_template": single["id"]}
    await stage.show(
        "session_templates",
        """
        select t.title, t.session_type, t.default_duration_minutes as minutes, t.default_price_cents as price_cents,
          t.currency, t.default_capacity as capacity
        from public.session_templates as t where t.id = any (%(ids)s) order by t.title
        """,
        ids=[group["id"], single["id"]],
    )
    stage.check("Group coaching lasts 90 minutes and costs ₪250", group["default_price_cents"] == 25000)


async def booking(stage: Stage) -> None:
    """A client looks for slots in her own zone and books one; twenty callers want the next, one gets it."""
    maya, sarah = stage.people[people.MAYA.email], stage.people[people.SARAH.email]
    await sarah.sign_in()
    zone = ZoneInfo(people.SARAH.timezone)
    start = clock.now() + timedelta(days=3)
    slots = (
        await sarah.get(
            f"/v1/coaches/{maya.user_id}/slots",
            template_id=stage.facts["single_template"],
            **{"from": start.isoformat(), "to": (start + timedelta(days=4)).isoformat()},
            time_zone=people.SARAH.timezone,
        )
    )["items"]
    stage.table("free slots, the first three", slots[:3])
    shown, meant = slots[0]["local_start"], datetime.fromisoformat(slots[0]["starts_at"])
    stage.check(f"slots are told in {people.SARAH.timezone}", datetime.fromisoformat(shown) == meant.astimezone(zone))

    body = {"template_id": stage.facts["single_template"], "starts_at": slots[0]["starts_at"], "timezone": str(zone)}
    single = await sarah.post("/v1/sessions", body)
    stage.check("the price comes from the template, not from the caller", single["price_cents"] == 38000)

    quote = await sarah.get(f"/v1/sessions/{single['id']}/cancellation")
    stage.check(
        "cancelling is free until a day before, then half of it, and not coming is all of it",
        (quote["amount_cents"], [step["amount_cents"] for step in quote["steps"]]) == (0, [19000, 38000]),
    )

    wanted = {"template_id": stage.facts["single_template"], "starts_at": slots[4]["starts_at"]}
    answers = await asyncio.gather(*(sarah.call("POST", "/v1/sessions", wanted) for _ in range(20)))
    counts = Counter(answer.status_code for answer in answers)
    stage.table("twenty callers, one slot", [{"status": status, "answers": n} for status, n in sorted(counts.items())])
    stage.check("one of twenty got the slot, the others 409", counts == {201: 1, 409: 19})
    losers = [answer.json() for answer in answers if answer.status_code == 409]
    stage.check("a loser is told why, with a stable code", all(loser["code"] == "slot_taken" for loser in losers))
    await _why_and_every_week(stage, slots[4]["starts_at"])
    await _calendar(stage, sarah, single["id"])
    await stage.show(
        "coach_blocks of those two",
        """
        select s.title, b.kind, lower(b.during) as busy_from, upper(b.during) as busy_to
        from public.coach_blocks as b join public.sessions as s on s.id = b.session_id
        where s.template_id = %(template_id)s order by b.during
        """,
        template_id=stage.facts["single_template"],
    )


async def _why_and_every_week(stage: Stage, taken: str) -> None:
    """A client asks why a time is gone, and what would become of it every week."""
    maya, sarah = stage.people[people.MAYA.email], stage.people[people.SARAH.email]
    reason = await sarah.get(
        f"/v1/coaches/{maya.user_id}/slots/reason",
        template_id=stage.facts["single_template"],
        at=taken,
    )
    stage.check(
        "and asked why, the time is taken; by whom is not said",
        (reason["reason"], reason["taken_by"]) == ("taken", None),
    )
    plan = await sarah.post(
        "/v1/series/plan",
        {
            "template_id": stage.facts["single_template"],
            "local_start": datetime.fromisoformat(taken).astimezone(MAYAS_ZONE).strftime("%Y-%m-%dT%H:%M"),
            "timezone": people.MAYA.timezone,
            "rule": "FREQ=WEEKLY;COUNT=4",
        },
    )
    stage.table("the same time every week", plan["items"])
    stage.check(
        "of four weeks the first is in the way, and that is said before anything is written",
        [time["ordinal"] for time in plan["items"] if time["problem"] == "taken"][:1] == [1],
    )


async def _calendar(stage: Stage, sarah: Person, session_id: str) -> None:
    """The client's own calendar: an address to subscribe to, that says at once when nothing has changed."""
    feed = await sarah.post("/v1/calendar-feeds", {"name": "Phone"})
    stage.console.print(f"  [dim]{feed['url']}[/]")
    path = feed["url"][feed["url"].index("/v1/") :]
    read = await sarah.http.get(path)
    stage.check("her feed has the session", read.text.count("BEGIN:VEVENT") >= 1 and "METHOD:PUBLISH" in read.text)
    again = await sarah.http.get(path, headers={"If-None-Match": read.headers["ETag"]})
    stage.check("and answers 304 while nothing changes", again.status_code == 304)

    def invited() -> bool:
        mails = (stage.outbox.read(e.name) for e in stage.outbox.entries() if people.SARAH.email in e.recipient)
        return any(part.get_content_type() == "text/calendar" for mail in mails for part in mail.walk())

    stage.check("an invitation for her calendar came by mail", await stage.until("an invitation by mail", invited))
    stage.facts["single_session"] = session_id


async def group(stage: Stage) -> None:
    """A group of four seats: three clients and a guest are asked, answer, and come."""
    maya = stage.people[people.MAYA.email]
    session = await maya.post(
        "/v1/sessions",
        {
            "type": "group",
            "template_id": stage.facts["group_template"],
            "starts_at": (clock.now() + timedelta(days=1, hours=1)).replace(microsecond=0).isoformat(),
            "capacity": 4,
        },
    )
    stage.facts["group_session"] = session["id"]
    seats = f"/v1/sessions/{session['id']}/attendees"
    for account in (people.NOA, people.SARAH, people.PRIYA):
        person = stage.people[account.email]
        await person.sign_in()
        await maya.post(seats, {"user_id": person.user_id})
    await maya.post(seats, {"email": "dana@example.org", "name": "Dana Peretz"})
    full = await maya.call("POST", seats, {"email": "late@example.org", "name": "Too Late"})
    stage.check("a fifth person does not fit: 409", (full.status_code, full.json()["code"]) == (409, "session_full"))

    for account in (people.NOA, people.SARAH, people.PRIYA):
        await stage.people[account.email].post(f"/v1/sessions/{session['id']}/respond", {"answer": "confirmed"})
    letter = await stage.mail_to("dana@example.org")
    dana = Person("Dana", "dana@example.org", maya.http)
    link = f"/v1/links/{_token(letter, 'לא אוכל להגיע')}"
    guest = await dana.post(link, {})
    stage.check("the guest declined by the link in her mail, without an account", guest["status"] == "declined")
    again = await dana.call("POST", link, {})
    stage.check("a link acts once", (again.status_code, again.json()["code"]) == (410, "link_used"))

    noa = stage.people[people.NOA.email]
    seen = await noa.get(f"/v1/sessions/{session['id']}")
    own = (await noa.get(seats))["items"]
    stage.check("an attendee sees her session", seen["id"] == session["id"])
    stage.check("an attendee sees her own seat only", [seat["user_id"] for seat in own] == [noa.user_id])
    hidden = (await noa.get(f"/v1/sessions/{session['id']}/roster"))["items"]
    stage.check("attendees do not see one another", all(entry["is_me"] or entry["role"] == "coach" for entry in hidden))
    await maya.patch(f"/v1/sessions/{session['id']}", {"roster_visible": True})
    roster = (await noa.get(f"/v1/sessions/{session['id']}/roster"))["items"]
    stage.check("unless the coach allows it, and then by name alone", len(roster) > len(hidden))

    await _door(stage, session["id"])
    await _every_week(stage)


async def _every_week(stage: Stage) -> None:
    """The group goes on every week, and one of its people is asked to all that is left of it."""
    maya, noa = stage.people[people.MAYA.email], stage.people[people.NOA.email]
    series = await maya.post(
        "/v1/series",
        {
            "template_id": stage.facts["group_template"],
            "local_start": before_hours(clock.now()).strftime("%Y-%m-%dT%H:%M"),
            "timezone": people.MAYA.timezone,
            "rule": "FREQ=WEEKLY;COUNT=3",
            "capacity": 4,
        },
    )
    second = series["sessions"][1]["session_id"]
    await maya.post(f"/v1/sessions/{second}/attendees", {"user_id": noa.user_id, "following": True})
    seats = [(await maya.get(f"/v1/sessions/{each['session_id']}/attendees"))["items"] for each in series["sessions"]]
    stage.check("of three weeks she is asked to the last two", [len(seated) - 1 for seated in seats] == [0, 1, 1])


def before_hours(now: datetime) -> datetime:
    """Three days on, so early that a group is over when hours open: clients book inside of hours on that day too."""
    day = (now + timedelta(days=3)).astimezone(MAYAS_ZONE)
    return datetime.combine(day, OPENS, MAYAS_ZONE) - GROUP_LASTS


async def _door(stage: Stage, session_id: str) -> None:
    """Who confirmed comes; each tap at the door is one record, however often it is sent."""
    maya, sarah = stage.people[people.MAYA.email], stage.people[people.SARAH.email]
    everyone = (await maya.get(f"/v1/sessions/{session_id}/attendees"))["items"]
    for seat in everyone:
        if seat["status"] == "confirmed" and seat["role"] != "coach":
            tap = {"kind": "in", "nonce": f"door-{seat['id']}"}
            records = [await maya.post(f"/v1/attendees/{seat['id']}/attendance", tap) for _ in range(2)]
            stage.check(f"{seat['name']} came, and a second tap is the same record", records[0] == records[1])
    stage.facts["sarah_seat"] = next(seat["id"] for seat in everyone if seat["user_id"] == sarah.user_id)
    rows = await stage.show(
        "session_attendees",
        """
        select a.role, coalesce(a.display_name, u.first_name, a.email) as name, a.status, a.attendance,
          (select count(*) from public.attendance_events as e where e.attendee_id = a.id) as records,
          a.price_cents, a.currency, a.billing_status
        from public.session_attendees as a left join public.users as u on u.id = a.user_id
        where a.session_id = %(id)s order by a.role, name
        """,
        id=session_id,
    )
    came = [row for row in rows if row["attendance"] == "in"]
    stage.check("the three who confirmed came, the guest had declined", [row["records"] for row in came] == [1, 1, 1])


def _token(letter: EmailMessage, label: str) -> str:
    body = letter.get_body(("plain",))
    found = re.search(_LINK.format(re.escape(label)), body.get_content()) if body else None
    if found is None:
        raise StepFailed("the invitation mail holds no link")
    return found.group(1)
