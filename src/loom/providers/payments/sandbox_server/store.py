"""What the sandbox remembers: objects, answers to idempotency keys, and events that wait to be delivered."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Object = dict[str, Any]

_SCHEMA = """
create table if not exists accounts (id text primary key, api_key text unique, knobs text not null default '{}');
create table if not exists objects (seq integer primary key, id text unique, account text not null, kind text not null,
  parent text, created integer not null, body text not null);
create index if not exists objects_of_account on objects (account, kind, seq);
create index if not exists objects_of_parent on objects (account, kind, parent);
create table if not exists answers (account text, key text, fingerprint text, status integer, body text, at real,
  primary key (account, key));
create table if not exists events (seq integer primary key, id text unique, account text, type text, body text,
  at real);
create table if not exists deliveries (seq integer primary key, event text, url text, secret text, due real,
  tries integer not null default 0, state text not null default 'waiting', last_status integer);
create index if not exists deliveries_due on deliveries (state, due);
create table if not exists clock (ahead real not null);
insert into clock select 0 where not exists (select 1 from clock);
"""
KEY_LIFE_SECONDS = 86_400
FARTHEST_SECONDS = 315_360_000
"""Ten years: how far the clock may be from the machine's, either way."""
EVERYBODY = ""
"""Whose knobs hold for every account that has not been told otherwise."""


class Store:
    """One SQLite file, used by one event loop. Changes of one request are one transaction."""

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript("pragma journal_mode = wal; pragma synchronous = normal;" + _SCHEMA)
        self._ahead = float(self._db.execute("select ahead from clock").fetchone()[0])

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All or nothing."""
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    # time

    def now(self) -> float:
        """The sandbox's own time: the machine's, and what it was put forward by."""
        return time.time() + self._ahead

    @property
    def ahead(self) -> float:
        """What the clock was put forward by."""
        return self._ahead

    def advance(self, seconds: float) -> float:
        """Puts the clock forward; what waits for a time comes due. The new time, or ValueError for one too far away."""
        if abs(self._ahead + seconds) > FARTHEST_SECONDS:
            raise ValueError(f"the clock is never more than {FARTHEST_SECONDS} seconds from the machine's")
        self._ahead += seconds
        self._db.execute("update clock set ahead = ?", [self._ahead])
        return self.now()

    # accounts

    def account_of(self, api_key: str) -> str:
        """The account that a key opens, made at its first use."""
        account = "acct_" + hashlib.sha256(api_key.encode()).hexdigest()[:20]
        self._db.execute("insert into accounts (id, api_key) values (?, ?) on conflict do nothing", [account, api_key])
        return account

    def accounts(self) -> list[str]:
        """Every account that was ever used."""
        rows = self._db.execute("select id from accounts where id <> ? order by id", [EVERYBODY])
        return [row["id"] for row in rows]

    def knobs(self, account: str) -> Object:
        """How the account behaves: as it was told, in all else as everybody was."""
        return self.told(EVERYBODY) | self.told(account)

    def told(self, account: str) -> Object:
        """What one account, or everybody, was told."""
        row = self._db.execute("select knobs from accounts where id = ?", [account]).fetchone()
        return json.loads(row["knobs"]) if row else {}

    def set_knobs(self, account: str, knobs: Object) -> None:
        """Tells the account how to behave."""
        self._db.execute(
            "insert into accounts (id, knobs) values (?, ?) on conflict (id) do update set knobs = excluded.knobs",
            [account, json.dumps(knobs)],
        )

    # objects

    def put(self, account: str, body: Object, parent: str | None = None) -> Object:
        """Writes an object. `parent` is what lists may be narrowed to, and stays as first given."""
        self._db.execute(
            "insert into objects (id, account, kind, parent, created, body) values (?, ?, ?, ?, ?, ?)"
            " on conflict (id) do update set body = excluded.body",
            [body["id"], account, body["object"], parent, body["created"], json.dumps(body)],
        )
        return body

    def get(self, account: str, kind: str, object_id: str) -> Object | None:
        """An object of the account."""
        row = self._db.execute(
            "select body from objects where id = ? and account = ? and kind = ?", [object_id, account, kind]
        ).fetchone()
        return json.loads(row["body"]) if row else None

    def owner_of(self, object_id: str) -> str | None:
        """The account of an object."""
        row = self._db.execute("select account from objects where id = ?", [object_id]).fetchone()
        return row["account"] if row else None

    def page(
        self,
        account: str,
        kind: str,
        *,
        parent: str | None = None,
        since: float | None = None,
        until: float | None = None,
        after: str | None = None,
        limit: int = 10,
    ) -> tuple[list[Object], bool]:
        """Objects of a kind, the newest first, and whether there are more. `since` and `until` are within."""
        rows = self._db.execute(
            "select body from objects where account = ? and kind = ? and (? is null or parent = ?)"
            " and (? is null or created >= ?) and (? is null or created <= ?)"
            " and (? is null or seq < (select seq from objects where id = ?)) order by seq desc limit ?",
            [account, kind, parent, parent, since, since, until, until, after, after, limit + 1],
        ).fetchall()
        return [json.loads(row["body"]) for row in rows[:limit]], len(rows) > limit

    def all(self, account: str, kind: str) -> list[Object]:
        """Every object of a kind, the oldest first."""
        rows = self._db.execute("select body from objects where account = ? and kind = ? order by seq", [account, kind])
        return [json.loads(row["body"]) for row in rows]

    def count(self, account: str, kind: str) -> int:
        """How many objects of a kind there are."""
        row = self._db.execute("select count(*) from objects where account = ? and kind = ?", [account, kind])
        return int(row.fetchone()[0])

    # idempotency

    def answer_to(self, account: str, key: str) -> Object | None:
        """The first answer to a key, for a day."""
        self._db.execute("delete from answers where at < ?", [self.now() - KEY_LIFE_SECONDS])
        return _row(self._db.execute("select * from answers where account = ? and key = ?", [account, key]).fetchone())

    def keep_answer(self, account: str, key: str, fingerprint: str, status: int, body: Object) -> None:
        """Remembers the first answer to a key, refusals and failures too."""
        self._db.execute(
            "insert into answers values (?, ?, ?, ?, ?, ?)",
            [account, key, fingerprint, status, json.dumps(body), self.now()],
        )

    # events

    def add_event(self, account: str, event: Object, endpoints: list[Object]) -> None:
        """An event with a picture of its object, and the deliveries that the account's knobs make of it."""
        knobs = self.knobs(account)
        mode = knobs.get("delivery", "normal")
        self._db.execute(
            "insert into events (id, account, type, body, at) values (?, ?, ?, ?, ?)",
            [event["id"], account, event["type"], json.dumps(event), self.now()],
        )
        delay = float(knobs.get("delay_seconds", 0)) if mode == "late" else 0.0
        state = "withheld" if mode == "withhold" else "waiting"
        for endpoint in endpoints:
            for copy in range({"twice": 2, "never": 0}.get(mode, 1)):
                self._add_delivery(event["id"], endpoint, self.now() + delay + copy * 0.05, state)

    def _add_delivery(self, event: str, endpoint: Object, due: float, state: str) -> None:
        self._db.execute(
            "insert into deliveries (event, url, secret, due, state) values (?, ?, ?, ?, ?)",
            [event, endpoint["url"], endpoint["secret"], due, state],
        )

    def add_notice(self, account: str, url: str, form: str, delay: float) -> None:
        """A form that is sent to an address of its own, unsigned, as Tranzila does."""
        name = new_id("notice")
        self._db.execute(
            "insert into events (id, account, type, body, at) values (?, ?, 'notice', ?, ?)",
            [name, account, form, self.now()],
        )
        self._add_delivery(name, {"url": url, "secret": None}, self.now() + delay, "waiting")

    def events(self, account: str) -> list[Object]:
        """Every event of an account, the oldest first."""
        rows = self._db.execute(
            "select body from events where account = ? and type <> 'notice' order by seq", [account]
        )
        return [json.loads(row["body"]) for row in rows]

    def release(self, account: str, *, backwards: bool) -> int:
        """Makes withheld deliveries of an account, or of everybody, due, in their order or backwards; how many."""
        rows = self._db.execute(
            "select d.seq from deliveries d join events e on e.id = d.event"
            " where d.state = 'withheld' and ? in (e.account, ?) order by d.seq",
            [account, EVERYBODY],
        ).fetchall()
        for place, row in enumerate(reversed(rows) if backwards else rows):
            self._db.execute(
                "update deliveries set state = 'waiting', due = ? where seq = ?",
                [self.now() - 1 + place * 0.001, row["seq"]],
            )
        return len(rows)

    def send_again(self, account: str, event_id: str, copies: int, endpoints: list[Object]) -> None:
        """More deliveries of an event that happened."""
        if any(event["id"] == event_id for event in self.events(account)):
            for endpoint in endpoints * copies:
                self._add_delivery(event_id, endpoint, self.now(), "waiting")

    def due(self, limit: int) -> list[Object]:
        """Deliveries to make now."""
        rows = self._db.execute(
            "select d.seq, d.tries, d.url, d.secret, e.body from deliveries d join events e on e.id = d.event"
            " where d.state = 'waiting' and d.due <= ? order by d.due limit ?",
            [self.now(), limit],
        )
        return [dict(row) for row in rows]

    def next_due(self) -> float | None:
        """Seconds until something is due."""
        row = self._db.execute("select min(due) as due from deliveries where state = 'waiting'").fetchone()
        return None if row["due"] is None else max(0.0, row["due"] - self.now())

    def delivered(self, seq: int, status: int | None, retry_in: float | None) -> None:
        """How a delivery went; without retry_in it is over."""
        done = status is not None and 200 <= status < 300
        state = "done" if done else "waiting" if retry_in is not None else "given_up"
        self._db.execute(
            "update deliveries set tries = tries + 1, last_status = ?, state = ?, due = ? where seq = ?",
            [status, state, self.now() + (retry_in or 0), seq],
        )


def new_id(prefix: str) -> str:
    """A name that nobody guesses."""
    return f"{prefix}_{secrets.token_hex(12)}"


def _row(row: sqlite3.Row | None) -> Object | None:
    return dict(row) if row else None
