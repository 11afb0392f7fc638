"""Lists of sessions stay quick however many sessions others have."""

from __future__ import annotations

from uuid import UUID

import psycopg
from psycopg.rows import DictRow

from loom.features.scheduling.queries import SQL
from tests.support.acting import AsUser
from tests.support.scheduling import add_session, at, make_scene, one

Owner = psycopg.Connection[DictRow]


def test_a_list_of_ones_own_sessions_does_not_walk_everybodys(owner: Owner, as_user: AsUser) -> None:
    scene = make_scene(owner)
    owner.execute(
        "insert into public.sessions (coach_id, client_id, title, scheduled_at, status)"
        " select %s, %s, 'x', now() - n * interval '1 hour', 'completed' from generate_series(1, 3000) as n",
        [scene.other_coach, scene.stranger],
    )
    add_session(owner, scene.coach, scene.client, at(2))
    owner.execute("analyze public.sessions; analyze public.session_attendees")
    names = ["starts_from", "starts_before", "status", "type", "after_id", "after_time", "coach_id", "client_id"]
    params: dict[str, object] = dict.fromkeys(names) | {"limit": 51}

    def buffers(who: UUID, query: str) -> int:
        with as_user(who) as conn:
            conn.execute(SQL[query], params)  # the first run also reads the catalogue
            plan = one(conn, f"explain (analyze, buffers, format json) {SQL[query]}", params)[0]["Plan"]
            return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

    for query in ("list_my_sessions", "list_my_sessions_latest_first"):
        assert buffers(scene.client, query) < 40
        assert buffers(scene.coach, query) < 40
    # The negative control: by the policy alone PostgreSQL reads through the other coach's past.
    assert buffers(scene.client, "list_sessions") > 40
