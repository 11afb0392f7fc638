"""A small practice to bill for: people, sessions with seats, invoices and payments, made the way users make them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import DictRow

from tests.support.acting import AsRole, AsUser

Owner = psycopg.Connection[DictRow]


@dataclass
class World:
    """`owner` makes what is there before the story; everything else is done as the person who does it."""

    owner: Owner
    as_user: AsUser
    as_role: AsRole
    coach: UUID
    client: UUID
    practice: UUID
    relation: UUID
    account: UUID

    @classmethod
    def make(cls, owner: Owner, as_user: AsUser, as_role: AsRole) -> World:
        coach, client = person(owner, "coach"), person(owner, "client")
        practice = one(owner, "select practice_id as v from public.practice_members where user_id = %s", coach)
        relation = relate(owner, coach, client)
        account = gateway(owner, practice)
        return cls(owner, as_user, as_role, coach, client, practice, relation, account)

    def seat(self, price: int | None = 35000, currency: str = "ILS", client: UUID | None = None) -> UUID:
        """The client's seat at an individual session that is over."""
        session = one(
            self.owner,
            "insert into public.sessions (coach_id, client_id, title, scheduled_at,"
            " duration_minutes, status, price_cents,"
            " currency) values (%s, %s, 'Coaching', now() - interval '3 days', 60, 'completed', %s,"
            " %s) returning id as v",
            self.coach,
            client or self.client,
            price,
            currency,
        )
        return one(
            self.owner,
            "select id as v from public.session_attendees where session_id = %s and role = 'client'",
            session,
        )

    def group(self, *clients: UUID, price: int = 25000) -> list[UUID]:
        """The seats of clients at a group session that is over: of the same day as `seat`, so of the same month."""
        session = one(
            self.owner,
            "insert into public.sessions (coach_id, title, scheduled_at, duration_minutes, status,"
            " price_cents, type, capacity)"
            " values (%s, 'Group', now() - interval '3 days', 90, 'completed', %s, 'group', 20) returning id as v",
            self.coach,
            price,
        )
        return [
            one(
                self.owner,
                "insert into public.session_attendees (session_id, user_id, role, status) values"
                " (%s, %s, 'client', 'confirmed')"
                " returning id as v",
                session,
                client,
            )
            for client in clients
        ]

    def coaching(self) -> AbstractContextManager[Owner]:
        return self.as_user(self.coach)

    def paying(self) -> AbstractContextManager[Owner]:
        return self.as_user(self.client)

    def serving(self) -> AbstractContextManager[Owner]:
        return self.as_role("service_role", reason="test")

    def draft(self, *lines: dict[str, Any], client: UUID | None = None, **more: Any) -> UUID:
        """A draft for the client, made by the coach."""
        named = "".join(f", p_{name} => %({name})s" for name in more)
        with self.coaching() as conn:
            row = conn.execute(
                f"select public.draft_invoice(p_client_id => %(client)s, p_lines => %(lines)s{named}) as v",
                {"client": client or self.client, "lines": json.dumps(list(lines), default=str), **more},
            ).fetchone()
        assert row is not None
        return row["v"]

    def finalize(self, invoice: UUID) -> str:
        with self.coaching() as conn:
            return one(conn, "select public.finalize_invoice(%s) as v", invoice)

    def issued(self, *amounts: int) -> UUID:
        """An issued invoice of add-ons of these amounts."""
        invoice = self.draft(*(addon(amount) for amount in amounts))
        self.finalize(invoice)
        return invoice

    def paid(self, amount: int = 10000) -> tuple[UUID, UUID]:
        """An issued invoice and the card payment that paid it."""
        invoice = self.issued(amount)
        intent = self.intent(invoice)
        with self.paying() as conn:
            payment = one(conn, "select public.begin_payment_attempt(%s) as v", intent)
        assert self.outcome(intent, succeeded(amount)) == "applied"
        return invoice, payment

    def intent(self, invoice: UUID) -> UUID:
        """An intent of the payer that the gateway knows."""
        with self.paying() as conn:
            intent = one(conn, "select public.begin_payment_intent(%s) as v", invoice)
        with self.serving() as conn:
            conn.execute(
                "select public.record_intent_sent(%s, %s, 'secret', 'requires_payment_method')",
                [intent, f"pi_{intent}"],
            )
        return intent

    def outcome(self, intent: UUID, snapshot: dict[str, Any], looked_up: bool = False) -> str:
        with self.serving() as conn:
            return one(
                conn, "select public.record_intent_outcome(%s, %s, %s) as v", intent, json.dumps(snapshot), looked_up
            )

    def invoice(self, invoice: UUID) -> DictRow:
        return self.row("select * from public.invoices where id = %s", invoice)

    def payment(self, payment: UUID) -> DictRow:
        return self.row("select * from public.payments where id = %s", payment)

    def row(self, query: LiteralString, *params: object) -> DictRow:
        found = self.owner.execute(query, list(params)).fetchone()
        assert found is not None
        return found

    def seat_status(self, seat: UUID) -> str:
        return one(self.owner, "select billing_status as v from public.session_attendees where id = %s", seat)


def addon(amount: int, **more: Any) -> dict[str, Any]:
    return {"description": "Workbook", "amount_cents": amount, **more}


def succeeded(amount: int, **more: Any) -> dict[str, Any]:
    """What a gateway says of an intent that was paid."""
    return {
        "status": "succeeded",
        "provider_status": "succeeded",
        "currency": "ILS",
        "amount_received_cents": amount,
        "charge_id": f"ch_{uuid4()}",
        **more,
    }


def one(conn: psycopg.Connection[DictRow], query: Any, *params: object) -> Any:
    """The column v of the one row."""
    row = conn.execute(query, list(params)).fetchone()
    assert row is not None
    return row["v"]


def person(owner: Owner, role: str) -> UUID:
    """An active account."""
    user = uuid4()
    owner.execute("insert into auth.users (id, email) values (%s, %s)", [user, f"{user}@example.test"])
    owner.execute("update public.users set first_name = 'Dana', role = %s where id = %s", [role, user])
    return user


def relate(owner: Owner, coach: UUID, client: UUID) -> UUID:
    """Makes the client one of the coach's."""
    return one(
        owner, "insert into public.coach_clients (coach_id, client_id) values (%s, %s) returning id as v", coach, client
    )


def gateway(owner: Owner, practice: UUID) -> UUID:
    """A gateway account of a practice."""
    return one(
        owner,
        "insert into public.gateway_accounts (practice_id, provider, display_name, webhook_token_hash, is_default)"
        " values (%s, 'sandbox', 'Cards', %s, true) returning id as v",
        practice,
        str(uuid4()),
    )


def code_of(refused: pytest.ExceptionInfo[psycopg.Error]) -> str | None:
    """The code that the database refused with."""
    return refused.value.diag.constraint_name


def at_once(count: int, work: Any) -> list[Any]:
    """Runs work(0), work(1) … in as many threads, started together; exceptions are results."""

    def run(index: int) -> Any:
        try:
            return work(index)
        except psycopg.Error as refused:
            return refused

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
