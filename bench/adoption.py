"""Budget: while a large database is adopted online, no writer waits longer than about a second.

    .venv/bin/python -m bench.adoption [--rows N] [--way estimate|plain|online] [--server 15|17|18] [--keep FOLDER]

An older application's database with N sessions, N payments and N messages is adopted twice, plainly (one transaction)
and online, while four writers go on as the older application did: one books and moves sessions, one takes payments, one
takes payments for sessions and gives some back, one starts conversations and writes to them. Prints how long each way
took and the longest time that a writer waited for one statement. Both databases must pass `loom db check`, and what was
paid for sessions must be what was said last. Before that, a third copy is adopted with nobody writing, statement by
statement, to lay what the plan estimates for each table beside what it took.
"""

import argparse
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString, cast
from uuid import uuid4

import psycopg
from psycopg import sql
from tests.adoption.generator import generate
from tests.adoption.old_database import legacy_database
from tests.support.cluster import Cluster, external_cluster
from tests.support.servers import postgres15, postgres17

from bench.verdict import machine, say
from loom.db.adoption.apply import apply_plan
from loom.db.adoption.decisions import Decisions
from loom.db.adoption.plan import read_plan
from loom.db.check import check
from loom.db.embedded import EmbeddedServer
from loom.db.migrate import become_migrator, connect, status
from loom.db.statements import split_statements

STALL = 1.0  # seconds


@dataclass
class Writer:
    """Writes until it is told to stop; `longest` is the longest wait for one statement, in seconds."""

    conninfo: str
    work: Callable[[psycopg.Connection[tuple[object, ...]], int], None]
    stop: threading.Event
    longest: float = 0.0
    written: int = 0
    errors: list[str] = field(default_factory=list[str])

    def run(self) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as conn:
            while not self.stop.wait(0.005):
                began = time.perf_counter()
                try:
                    self.work(conn, self.written)
                except psycopg.Error as exc:
                    self.errors.append(str(exc.diag.message_primary or exc))
                self.longest = max(self.longest, time.perf_counter() - began)
                self.written += 1


def books(conn: psycopg.Connection[tuple[object, ...]], number: int) -> None:
    """A session years ahead, each at its own time, then moved by a quarter of an hour."""
    session = uuid4()
    conn.execute(
        "insert into public.sessions (id, coach_id, client_id, title, scheduled_at) select %s, c.id, k.id, 'Written',"
        " timestamptz '2040-01-01' + make_interval(hours => 3 * %s)"
        " from (select id from public.users where role = 'coach' order by id limit 1) as c,"
        " (select id from public.users where role = 'client' order by id limit 1) as k",
        [session, number],
    )
    conn.execute(
        "update public.sessions set scheduled_at = scheduled_at + interval '15 minutes' where id = %s", [session]
    )


def pays(conn: psycopg.Connection[tuple[object, ...]], number: int) -> None:
    """A payment that is pending and then paid."""
    payment = uuid4()
    conn.execute(
        "insert into public.payments (id, amount_cents, status, provider_transaction_id)"
        " values (%s, 100, 'pending', %s)",
        [payment, f"written {number}"],
    )
    conn.execute("update public.payments set status = 'paid' where id = %s", [payment])


def links(conn: psycopg.Connection[tuple[object, ...]], number: int) -> None:
    """A session and a payment that names it; of three one stays paid, one is refunded, and of one the payment goes."""
    session, payment = uuid4(), uuid4()
    conn.execute(
        "insert into public.sessions (id, coach_id, client_id, title, scheduled_at) select %s, c.id, k.id, %s,"
        " timestamptz '2060-01-01' + make_interval(hours => 3 * %s)"
        " from (select id from public.users where role = 'coach' order by id limit 1) as c,"
        " (select id from public.users where role = 'client' order by id limit 1) as k",
        [session, f"Linked {number}", number],
    )
    conn.execute(
        "insert into public.payments (id, user_id, amount_cents, currency, status, metadata)"
        " select %s, s.client_id, 100, 'USD', 'pending', jsonb_build_object('session_id', s.id)"
        " from public.sessions as s where s.id = %s",
        [payment, session],
    )
    conn.execute("update public.payments set status = 'paid' where id = %s", [payment])
    try:
        if number % 3 == 1:
            conn.execute("update public.payments set status = 'refunded' where id = %s", [payment])
        elif number % 3 == 2:
            conn.execute("delete from public.payments where id = %s", [payment])
    except psycopg.DatabaseError:
        # Loom refuses both on purpose.
        if conn.execute("select to_regprocedure('private.schema_version()')").fetchone() == (None,):
            raise


# What is wrong of sessions that were linked before the migration began: Loom links by other means.
_LINKED_WRONG: LiteralString = """
    select s.title, s.billing_status::text, s.price_cents, s.currency, a.billing_status::text, a.price_cents, a.currency
    from (
      select *, split_part(title, ' ', 2)::integer as number from public.sessions where title ~ '^Linked [0-9]+$'
    ) as s
    left join public.session_attendees as a on a.session_id = s.id and a.role = 'client'
    where s.number < %s
      and ((s.billing_status = 'paid') <> (s.number %% 3 = 0)
        or (s.number %% 3 = 0 and (s.price_cents, s.currency) is distinct from (100, 'USD'))
        or (a.billing_status, a.price_cents, a.currency) is distinct from (s.billing_status, s.price_cents, s.currency))
"""


def talks(conn: psycopg.Connection[tuple[object, ...]], number: int) -> None:
    """Every tenth time a conversation of two people, who may have one already; then a message to the newest of them."""
    if number % 10 == 0:
        conn.execute(
            "with talk as (insert into public.conversations (type, title, created_by)"
            " select 'direct', 'written', u.id from public.users as u where u.role = 'coach' order by u.id limit 1"
            " returning id, created_by) insert into public.conversation_participants (conversation_id, user_id)"
            " select t.id, t.created_by from talk as t union all select t.id, k.id from talk as t,"
            " (select u.id from public.users as u where u.role = 'client' order by u.id offset %s limit 1) as k",
            [number // 10 % 20],
        )
    conn.execute(
        "insert into public.messages (conversation_id, sender_id, type, content)"
        " select c.id, c.created_by, 'text', 'written' from public.conversations as c where c.title = 'written'"
        " order by c.created_at desc limit 1"
    )


def adopt(cluster: Cluster, template: str, *, online: bool, quiet: bool = False) -> tuple[float, list[Writer]]:
    """Adopts a copy under fire; returns seconds and writers."""
    name = cluster.create(template)
    stop = threading.Event()
    writers = [Writer(cluster.url(name), work, stop) for work in (books, pays, talks, links)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    linked = 0

    def report(text: str) -> None:
        nonlocal linked
        linked = writers[-1].written
        if not quiet:
            say(f"  {time.perf_counter() - began:7.1f} s {text}")

    try:
        apply_plan(cluster.url(name), Decisions(), online=online, lock_timeout="60s", report=report)
    finally:
        took = time.perf_counter() - began
        stop.set()
        for thread in threads:
            thread.join(60)
    with connect(cluster.url(name)) as conn:
        found = check(conn)
        written = conn.execute(
            "select (select count(*) from public.sessions where title = 'Written'),"
            " (select count(*) from public.payments"
            " where provider_transaction_id like 'written %' and status = 'paid'),"
            " (select count(*) from public.messages where content = 'written' and seq is not null),"
            " (select count(*) from public.sessions where title like 'Linked %')"
        ).fetchone()
        wrong = conn.execute(_LINKED_WRONG, [linked]).fetchall()
    cluster.drop(name)
    if wrong:
        raise RuntimeError(f"{len(wrong)} of {linked} sessions that payments name are wrong: {wrong[:5]}")
    if found or written != tuple(writer.written - len(writer.errors) for writer in writers):
        raise RuntimeError(
            f"{written} of {[w.written for w in writers]}, {[w.errors[:2] for w in writers]}, {found[:5]}"
        )
    return took, writers


# A step reads and writes several tables; its time is that of the one it changes, else of the one it reads.
_TABLE = (
    r"update public\.(\w+)",
    r"ensure_constraints\(\s*'public\.(\w+)'",
    r"from public\.(\w+)",
    r"\Won public\.(\w+)",
    r"alter table public\.(\w+)",
)


def estimate(cluster: Cluster, template: str) -> None:
    """Prints what the plan estimates for each table and what its statements took."""
    name = cluster.create(template)
    took: dict[str, float] = {}
    with connect(cluster.url(name)) as conn:
        plan = read_plan(conn, Decisions())
        become_migrator(conn)
        with conn.transaction():
            for migration in status(conn).pending:
                for statement in split_statements(migration.path.read_text("utf-8")):
                    began = time.perf_counter()
                    conn.execute(cast("LiteralString", statement))
                    spent = time.perf_counter() - began
                    found = [match for pattern in _TABLE if (match := re.search(pattern, statement))]
                    table = found[0][1] if found and spent > 0.1 else "everything else"
                    took[table] = took.get(table, 0.0) + spent
                    if spent > 0.5:
                        say(f"  {spent:7.1f} s {table}: {' '.join(statement.split())[:160]}")
    cluster.drop(name)
    say(f"{'table':<28} {'rows':>10} {'estimated':>10} {'measured':>10}")
    for lock in plan.locks:
        say(f"{lock.table:<28} {lock.rows:>10,} {lock.seconds:>8.1f} s {took.pop(lock.table, 0.0):>8.1f} s")
    for table, spent in sorted(took.items()):
        say(f"{table:<28} {'':>10} {'':>10} {spent:>8.1f} s")


@contextmanager
def served(version: str, folder: Path) -> Generator[Cluster]:
    """The embedded server, which commits to disk, or an older one as the tests run it, which does not."""
    if version == "18":
        with EmbeddedServer.start(folder) as server:
            owner = dict(pair.split("=", 1) for pair in server.url("loom_owner").split() if "=" in pair)
            yield Cluster(server.url("postgres", "postgres"), {"loom_owner": owner["password"]})
    else:
        with {"15": postgres15, "17": postgres17}[version](folder) as url, external_cluster(url) as cluster:
            yield cluster


def old_database(cluster: Cluster, rows: int) -> str:
    """The database to copy; one that was kept from an earlier run is taken."""
    kept = f"legacy_{rows}"
    with psycopg.connect(cluster.superuser, autocommit=True) as conn:
        if conn.execute("select from pg_database where datname = %s", [kept]).rowcount:
            return kept
        template = cluster.create()
        cluster.platform(template)
        with psycopg.connect(cluster.url(template), autocommit=True) as owner:
            legacy_database(owner)
            generate(owner, seed=1, sessions=rows, payments=rows, messages=rows)
            owner.execute("vacuum analyze")
        conn.execute(sql.SQL("alter database {} rename to {}").format(sql.Identifier(template), sql.Identifier(kept)))
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--keep", type=Path, help="a folder for the server, so that the next run finds its old database"
    )
    parser.add_argument("--server", choices=("15", "17", "18"), default="18", help="version of PostgreSQL")
    parser.add_argument("--way", choices=("estimate", "plain", "online"), help="only that one")
    asked = parser.parse_args()
    say(machine())
    with tempfile.TemporaryDirectory() as folder, served(asked.server, asked.keep or Path(folder)) as cluster:
        template = old_database(cluster, asked.rows)
        held = True
        took: dict[str, float] = {}
        if asked.way in {None, "estimate"}:
            estimate(cluster, template)
        for way in ("plain", "online"):
            if asked.way not in {None, way}:
                continue
            say(way)
            took[way], writers = adopt(cluster, template, online=way == "online")
            stall = max(writer.longest for writer in writers)
            written = sum(writer.written for writer in writers)
            refused = [error for writer in writers for error in writer.errors]
            say(f"{way}: {took[way]:.1f} s, longest wait of a writer {stall:.2f} s, {written} written")
            say("".join(f"  refused {refused.count(error)} times: {error}\n" for error in sorted(set(refused))))
            if way == "online":
                held = stall <= STALL
        if len(took) == 2:
            say(f"online / plain: {took['online'] / took['plain']:.1f} times as long")
        if "online" in took:
            say(f"budget of {STALL} s: {'holds' if held else 'MISSED'}")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
