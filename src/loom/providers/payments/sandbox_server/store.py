"""What the sandbox remembers: objects, answers to idempotency keys, and events that wait to be delivered."""

from __future__ import annotations

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
create table if not exists accounts (id text primary key, api_key text unique, webhook_secret text, public_key text,
  name text, webhook_url text, knobs text not null default '{}');
create table if not exists objects (id text primary key, account text not null, kind text not null, reference text,
  body text not null);
create index if not exists objects_reference on objects (account, kind, reference);
create table if not exists answers (account text, key text, fingerprint text, status integer, body text, at real,
  primary key (account, key));
create table if not exists events (seq integer primary key, id text unique, account text, type text, body text,
  at real);
create table if not exists deliveries (seq integer primary key, event text, due real, tries integer not null default 0,
  state text not null default 'waiting', last_status integer);
create index if not exists deliveries_due on deliveries (state, due);
"""
_KEY_LIFE_SECONDS = 86_400


class Store:
    """One SQLite file, used by one event loop. Changes of one request are one transaction."""

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript("pragma journal_mode = wal; pragma synchronous = normal;" + _SCHEMA)

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

    # accounts

    def add_account(self, name: str) -> Object:
        """A new account with its keys."""
        made = {
            "id": _name("acct"),
            "api_key": _name("sk_sandbox"),
            "webhook_secret": _name("whsec"),
            "public_key": _name("pk_sandbox"),
            "name": name,
        }
        self._db.execute(
            "insert into accounts (id, api_key, webhook_secret, public_key, name)"
            " values (:id, :api_key, :webhook_secret, :public_key, :name)",
            made,
        )
        return made

    def account_of(self, api_key: str) -> Object | None:
        """Whose key it is."""
        return _row(self._db.execute("select * from accounts where api_key = ?", [api_key]).fetchone())

    def account(self, account_id: str) -> Object | None:
        """An account by its id."""
        return _row(self._db.execute("select * from accounts where id = ?", [account_id]).fetchone())

    def set_webhook(self, account: str, url: str) -> None:
        """Where an account's events go."""
        self._db.execute("update accounts set webhook_url = ? where id = ?", [url, account])

    def knobs(self, account: str) -> Object:
        """How the account was told to behave."""
        found = self.account(account)
        return json.loads(found["knobs"]) if found else {}

    def set_knobs(self, account: str, knobs: Object) -> None:
        """Tells the account how to behave."""
        self._db.execute("update accounts set knobs = ? where id = ?", [json.dumps(knobs), account])

    # objects

    def put(self, account: str, body: Object) -> Object:
        """Writes an object; its version grows with each write."""
        body["version"] = int(body.get("version", 0)) + 1
        self._db.execute(
            "insert into objects (id, account, kind, reference, body) values (?, ?, ?, ?, ?)"
            " on conflict (id) do update set body = excluded.body",
            [body["id"], account, body["object"], body.get("reference"), json.dumps(body)],
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

    def find(self, account: str, kind: str, reference: str | None) -> list[Object]:
        """Objects of a kind, the oldest first, perhaps only those with a reference."""
        rows = self._db.execute(
            "select body from objects where account = ? and kind = ? and (? is null or reference = ?) order by rowid",
            [account, kind, reference, reference],
        )
        return [json.loads(row["body"]) for row in rows]

    # idempotency

    def answer_to(self, account: str, key: str) -> Object | None:
        """The first answer to a key, for a day."""
        self._db.execute("delete from answers where at < ?", [time.time() - _KEY_LIFE_SECONDS])
        return _row(self._db.execute("select * from answers where account = ? and key = ?", [account, key]).fetchone())

    def keep_answer(self, account: str, key: str, fingerprint: str, status: int, body: Object) -> None:
        """Remembers the first answer to a key, refusals and failures too."""
        self._db.execute(
            "insert into answers values (?, ?, ?, ?, ?, ?)",
            [account, key, fingerprint, status, json.dumps(body), time.time()],
        )

    # events

    def add_event(self, account: str, kind: str, subject: Object, *, delay: float, copies: int, withheld: bool) -> None:
        """An event with a picture of its object, and the deliveries that are due for it."""
        event = {"id": _name("evt"), "type": kind, "created": time.time(), "account": account, "data": subject}
        self._db.execute(
            "insert into events (id, account, type, body, at) values (?, ?, ?, ?, ?)",
            [event["id"], account, kind, json.dumps(event), event["created"]],
        )
        for copy in range(copies):
            self._db.execute(
                "insert into deliveries (event, due, state) values (?, ?, ?)",
                [event["id"], time.time() + delay + copy * 0.05, "withheld" if withheld else "waiting"],
            )

    def events(self, account: str) -> list[Object]:
        """Every event of an account, the oldest first."""
        rows = self._db.execute("select body from events where account = ? order by seq", [account])
        return [json.loads(row["body"]) for row in rows]

    def release(self, account: str, *, backwards: bool) -> int:
        """Makes withheld deliveries due, in their order or backwards; how many there were."""
        rows = self._db.execute(
            "select d.seq from deliveries d join events e on e.id = d.event"
            " where d.state = 'withheld' and e.account = ? order by d.seq",
            [account],
        ).fetchall()
        order = list(reversed(rows)) if backwards else rows
        for place, row in enumerate(order):
            self._db.execute(
                "update deliveries set state = 'waiting', due = ? where seq = ?",
                [time.time() - 1 + place * 0.001, row["seq"]],
            )
        return len(rows)

    def send_again(self, account: str, event_id: str, copies: int) -> None:
        """More deliveries of an event that happened."""
        if any(event["id"] == event_id for event in self.events(account)):
            for _ in range(copies):
                self._db.execute("insert into deliveries (event, due) values (?, ?)", [event_id, time.time()])

    def due(self, limit: int) -> list[Object]:
        """Deliveries to make now."""
        rows = self._db.execute(
            "select d.seq, d.tries, e.body, a.webhook_url, a.webhook_secret from deliveries d"
            " join events e on e.id = d.event join accounts a on a.id = e.account"
            " where d.state = 'waiting' and d.due <= ? and a.webhook_url is not null order by d.due limit ?",
            [time.time(), limit],
        )
        return [dict(row) for row in rows]

    def next_due(self) -> float | None:
        """Seconds until something is due."""
        row = self._db.execute(
            "select min(d.due) as due from deliveries d join events e on e.id = d.event"
            " join accounts a on a.id = e.account where d.state = 'waiting' and a.webhook_url is not null"
        ).fetchone()
        return None if row["due"] is None else max(0.0, row["due"] - time.time())

    def delivered(self, seq: int, status: int | None, retry_in: float | None) -> None:
        """How a delivery went; without retry_in it is over."""
        done = status is not None and 200 <= status < 300
        state = "done" if done else "waiting" if retry_in is not None else "given_up"
        self._db.execute(
            "update deliveries set tries = tries + 1, last_status = ?, state = ?, due = ? where seq = ?",
            [status, state, time.time() + (retry_in or 0), seq],
        )


def new_id(prefix: str) -> str:
    """A name that nobody guesses."""
    return _name(prefix)


def _name(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def _row(row: sqlite3.Row | None) -> Object | None:
    return dict(row) if row else None
