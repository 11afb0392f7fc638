"""Random starts are posted: those on offer are accepted, and no others."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow

from tests.support.scheduling import JERUSALEM, Scene, add_session, add_template, at, make_scene, one

Owner = psycopg.Connection[DictRow]
Bearer = Callable[[UUID], dict[str, str]]

REFUSALS = {
    "slot_not_offered",
    "slot_taken",
    "too_soon",
    "too_far_ahead",
    "day_full",
    "week_full",
    "session_in_past",
}


def crowded(owner: Owner) -> tuple[Scene, UUID]:
    """A coach with every kind of rule, and a template with buffers."""
    scene = make_scene(owner)
    owner.execute(
        "update public.coach_availability set end_time = '24:00', continues_until = '01:00' where coach_id = %s"
        " and day_of_week = 2",
        [scene.coach],
    )
    template = add_template(
        owner,
        scene.coach,
        slot_step_minutes=15,
        default_duration_minutes=50,
        buffer_before_minutes=5,
        buffer_after_minutes=10,
    )
    owner.execute(
        "insert into public.booking_rules (coach_id, min_notice_minutes, horizon_days, max_per_day, max_per_week)"
        " values (%s, 2000, 24, 3, 9)",
        [scene.coach],
    )
    for day in range(2, 24, 2):
        add_session(owner, scene.coach, scene.second_client, at(day, 9 + day % 7, 20))
    for hour in (9, 11, 13):
        add_session(owner, scene.coach, scene.second_client, at(9, hour))
    owner.execute(
        "insert into public.availability_overrides (coach_id, day, timezone) values (%s, %s, %s)",
        [scene.coach, at(5).date(), JERUSALEM],
    )
    owner.execute(
        "insert into public.coach_blocks (coach_id, kind, during, expires_at) values"
        " (%(c)s, 'time_off', tstzrange(%(a)s, %(b)s), null), (%(c)s, 'hold', tstzrange(%(d)s, %(e)s), now()),"
        " (%(c)s, 'hold', tstzrange(%(f)s, %(g)s), now() + interval '1 hour')",
        {"c": scene.coach, "a": at(7), "b": at(7, 13), "d": at(11), "e": at(11, 12), "f": at(13), "g": at(13, 12)},
    )
    return scene, template


async def test_what_is_offered_is_what_is_accepted(
    client: httpx.AsyncClient, bearer: Bearer, owner: Owner, pytestconfig: pytest.Config
) -> None:
    scene, template = crowded(owner)
    choose = random.Random(4)  # noqa: S311 - the same starts in every run
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    url, query = f"/v1/coaches/{scene.coach}/slots", {"template_id": str(template)}
    span = {"from": first.isoformat(), "to": (first + timedelta(days=28)).isoformat()}
    headers = bearer(scene.client)

    async def on_offer() -> set[datetime]:
        items = (await client.get(url, params=query | span, headers=headers)).json()["items"]
        return {datetime.fromisoformat(item["starts_at"]) for item in items}

    offered = await on_offer()
    assert len(offered) > 100
    accepted = 0
    for _ in range(10_000 if pytestconfig.getoption("--campaign") else 400):
        # Half of them on the grid of the offer, or nearly nothing would be accepted.
        start = first + timedelta(minutes=choose.choice([5, 15]) * choose.randrange(28 * 24 * 4))
        body = {"template_id": str(template), "starts_at": start.isoformat()}
        answer = await client.post("/v1/sessions", json=body, headers=headers)
        assert answer.status_code in {201, 409, 422}, answer.text
        assert (answer.status_code == 201) is (start in offered), (start, answer.text)
        if answer.status_code == 201:
            accepted += 1
            owner.execute("update public.sessions set status = 'cancelled' where id = %s", [answer.json()["id"]])
        else:
            assert answer.json()["code"] in REFUSALS
    assert accepted > 10
    assert await on_offer() <= offered
    assert one(owner, "select count(*) from public.coach_blocks where coach_id = %s and kind = 'hold'", [scene.coach])
