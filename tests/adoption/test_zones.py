"""Time zones of old rows: one that exists by another spelling or an old short name is found; all are remembered."""

from __future__ import annotations

from typing import LiteralString, cast

import pytest
from psycopg import Connection

from loom.db.adoption.apply import apply_plan
from loom.db.adoption.decisions import Decisions
from loom.db.check import check
from loom.db.migrate import connect
from tests.adoption.cases import Cases
from tests.adoption.test_adopt import plan_of
from tests.support.cluster import Cluster

TABLES = ("users", "notification_preferences", "coach_availability")
BECOMES = {
    "Israel": "Asia/Jerusalem",
    "israel ": "Asia/Jerusalem",
    "asia/jerusalem": "Asia/Jerusalem",
    "EST": "America/Panama",
    "EST5EDT": "America/New_York",
    "GB-Eire": "Europe/London",
    "etc/gmt-3": "Etc/GMT-3",
    "Nowhere": "UTC",
    "Nowhere/At_All": "UTC",
}
STAYS = ("Asia/Jerusalem", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "UTC")


def zones_of(conn: Connection[tuple[object, ...]], table: str) -> dict[str, str | None]:
    query = f"select id::text, timezone from public.{table} order by id"
    return dict(conn.execute(cast("LiteralString", query)).fetchall())  # type: ignore[arg-type]


@pytest.mark.parametrize("online", [False, True])
def test_a_zone_that_exists_keeps_its_hours(cluster: Cluster, cases: Cases, online: bool) -> None:
    wanted = [*BECOMES, *STAYS]
    with cases.copy("small") as name, connect(cluster.url(name)) as conn:
        for table in TABLES:
            assert len(zones_of(conn, table)) > len(BECOMES)
            query = (
                f"update public.{table} as t set timezone = (%s::text[])[1 + n.place %% %s]"
                f" from (select id, row_number() over (order by id) as place from public.{table}) as n"
                " where n.id = t.id"
            )
            conn.execute(cast("LiteralString", query), [wanted, len(wanted)])
        before = {table: zones_of(conn, table) for table in TABLES}
        plan = plan_of(cluster.url(name))
        said = {(item.what, item.before): item.after for item in plan.changes if item.what.endswith(".timezone")}
        assert said == {(f"{table}.timezone", f"'{old}'"): new for table in TABLES for old, new in BECOMES.items()}
        apply_plan(cluster.url(name), Decisions(), online=online)
        for table in TABLES:
            after = zones_of(conn, table)
            assert {at: after[at] for at in before[table]} == {
                at: BECOMES.get(str(old), old) for at, old in before[table].items()
            }
            kept = conn.execute(
                "select key, value from private.adoption_decisions where kind = %s", [f"{table}.timezone"]
            ).fetchall()
            assert dict(kept) == {at: old for at, old in before[table].items() if old in BECOMES}
        assert check(conn) == []
