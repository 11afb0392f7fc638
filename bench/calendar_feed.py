"""Budgets: a calendar feed of 2,000 sessions in under 200 ms, and 304 in under 10 ms when nothing has changed.

    .venv/bin/python -m bench.calendar_feed [--sessions N] [--rounds N]

One caller over one kept connection, as a calendar application asks; medians and 95th percentiles of whole answers. The
baseline of the same minute is /health, which asks the database one question and says ok.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg

from bench.data import server, uid
from bench.http_read import loom
from bench.verdict import machine, say
from loom.db.embedded import EmbeddedServer

COACH, CLIENT = uid("user", 1), uid("user", 2)
TOKEN = "0" * 64
FILL = """
insert into auth.users (id, email, raw_user_meta_data) values
  (%(coach)s, 'coach@example.com', '{"first_name": "Maya"}'),
  (%(client)s, 'client@example.com', '{"first_name": "Noa"}');
update public.users set role = 'coach' where id = %(coach)s;
insert into public.sessions (coach_id, client_id, title, description, location, meeting_url, scheduled_at, status)
select %(coach)s, %(client)s, 'פגישת אימון אישית',
  'What we talk about, and what not; a few lines of it.' || E'\\n' || n,
  'רחוב הרצל 5, תל אביב', 'https://meet.example.com/' || n, now() - interval '200 days' + interval '4 hours' * n,
  'completed'
from generate_series(1, %(sessions)s) as n;
insert into public.calendar_feeds (user_id, token_hash) values (%(coach)s, private.token_hash(%(token)s));
"""


def fill(database: EmbeddedServer, sessions: int) -> None:
    """A coach with that many sessions in the last year and the next, and a feed of them."""
    params = {"coach": COACH, "client": CLIENT, "sessions": sessions, "token": TOKEN}
    with psycopg.connect(database.url("postgres"), autocommit=True) as conn, psycopg.ClientCursor(conn) as cursor:
        cursor.execute(FILL, params)
        cursor.execute("vacuum analyze")


def timed(ask: Callable[[], httpx.Response], status: int) -> float:
    """Milliseconds of one answer."""
    started = time.perf_counter()
    answer = ask()
    spent = (time.perf_counter() - started) * 1000
    assert answer.status_code == status, answer.status_code
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=40)
    asked = parser.parse_args()
    with server() as database, tempfile.TemporaryDirectory() as folder:
        fill(database, asked.sessions)
        with loom(database, Path(folder)) as (address, _, _), httpx.Client(base_url=address, timeout=60) as http:
            path = f"/v1/feeds/{TOKEN}/calendar.ics"
            first = http.get(path)
            assert first.content.count(b"BEGIN:VEVENT") == asked.sessions
            known = {"If-None-Match": first.headers["etag"]}
            measures: dict[str, tuple[Callable[[], httpx.Response], int, float | None]] = {
                "/health": (lambda: http.get("/health"), 200, None),
                "304": (lambda: http.get(path, headers=known), 304, 10.0),
                "the feed": (lambda: http.get(path), 200, 200.0),
            }
            spent: dict[str, list[float]] = {name: [] for name in measures}
            for _ in range(asked.rounds):
                for name, (ask, status, _) in measures.items():
                    spent[name].append(timed(ask, status))
    say(f"{machine()}, {asked.sessions} sessions, {len(first.content):,} bytes, {asked.rounds} rounds")
    held = True
    for name, (_, _, budget) in measures.items():
        median, worst = statistics.median(spent[name]), statistics.quantiles(spent[name], n=20)[-1]
        ratio = median / statistics.median(spent["/health"])
        verdict = "" if budget is None else f", budget {budget:.0f} ms: {'holds' if worst < budget else 'MISSED'}"
        held = held and (budget is None or worst < budget)
        say(f"{name:<10} median {median:7.1f} ms, p95 {worst:7.1f} ms, {ratio:6.1f} times /health{verdict}")
    sys.exit(not held)


if __name__ == "__main__":
    main()
