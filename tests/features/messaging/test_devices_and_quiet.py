"""Which devices take notices, when they are left in peace, and how long failures wait."""

from __future__ import annotations

import pytest

from loom.jobs.leases import Pace
from loom.providers.push.sink import PushSink
from tests.features.messaging.test_delivery import REGISTER, add_device
from tests.features.messaging.world import Connection, World, one, rows
from tests.support.acting import AsUser


@pytest.fixture
def sink() -> PushSink:
    """Only the addresses of its devices are needed here; nothing is sent."""
    return PushSink("https://push.example.com")


@pytest.mark.parametrize(
    ("zone", "hours", "at", "until_"),
    [
        ("UTC", ("22:00", "08:00"), "2026-11-23 21:59:59+00", None),
        ("UTC", ("22:00", "08:00"), "2026-11-23 22:00+00", "2026-11-24 08:00+00"),
        ("UTC", ("22:00", "08:00"), "2026-11-24 07:59+00", "2026-11-24 08:00+00"),
        ("UTC", ("22:00", "08:00"), "2026-11-24 08:00+00", None),
        ("UTC", ("13:00", "15:00"), "2026-11-24 14:00+00", "2026-11-24 15:00+00"),
        ("UTC", ("13:00", "15:00"), "2026-11-24 12:00+00", None),
        # Clocks go forward in the night of 27 March 2026 in Israel (02:00 becomes 03:00), and back on 25 October.
        ("Asia/Jerusalem", ("22:00", "08:00"), "2026-03-26 21:00+00", "2026-03-27 05:00+00"),
        ("Asia/Jerusalem", ("22:00", "08:00"), "2026-10-24 21:00+00", "2026-10-25 06:00+00"),
        ("Asia/Jerusalem", ("22:00", "02:30"), "2026-03-26 21:00+00", "2026-03-27 00:30+00"),
    ],
)
def test_quiet_hours_are_wall_time(
    owner: Connection, world: World, zone: str, hours: tuple[str, str], at: str, until_: str | None
) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute(
            "update public.notification_preferences set quiet_hours_enabled = true, quiet_hours_start = %s,"
            " quiet_hours_end = %s, timezone = %s where user_id = %s",
            [*hours, zone, world.noa],
        )
        found = one(owner, "select private.quiet_until(%s, %s)", world.noa, at)
        assert found == (None if until_ is None else one(owner, "select %s::timestamptz", until_))


def test_a_device_changes_hands_and_old_ones_make_room(
    owner: Connection, as_user: AsUser, world: World, sink: PushSink
) -> None:
    shared = add_device(as_user, sink, world.noa, "shared")
    target = sink.devices["shared"].target(sink.base_url)
    with as_user(world.stranger) as conn:
        assert one(conn, REGISTER, target.endpoint, target.p256dh, target.auth) == shared
        assert one(conn, "select count(*) from public.push_subscriptions") == 1
    with as_user(world.noa) as conn:
        assert one(conn, "select count(*) from public.push_subscriptions") == 0
    switched = rows(
        owner, "select push_enabled, push_messages from public.notification_preferences where user_id = %s", world.noa
    )
    assert switched == [{"push_enabled": True, "push_messages": True}]
    for number in range(22):
        add_device(as_user, sink, world.noa, f"many-{number}")
    reasons = rows(
        owner,
        "select retired_reason, count(*) as n from public.push_subscriptions where user_id = %s group by 1",
        world.noa,
    )
    assert {row["retired_reason"]: row["n"] for row in reasons} == {None: 20, "replaced": 2}
    with pytest.raises(Exception, match="push_subscriptions_endpoint_check"):
        owner.execute(
            "insert into public.push_subscriptions (user_id, endpoint, p256dh, auth)"
            " values (%s, 'http://10.0.0.1/x', %s, %s)",
            [world.noa, target.p256dh, target.auth],
        )


def test_pauses_double_and_scatter() -> None:
    pace = Pace()
    for attempt, middle in ((1, 5), (2, 10), (5, 80), (30, 1800)):
        pauses = [pace.delay(attempt, None) for _ in range(200)]
        assert middle * 0.8 <= min(pauses) < max(pauses) <= middle * 1.2
        assert len(set(pauses)) > 100
    assert pace.delay(1, 300.0) == 300.0
