"""Step 8: a stranger, another coach and another client try to get at everything, over HTTP and in SQL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import LiteralString
from uuid import UUID, uuid4

import httpx

from loom.cli.demo import people
from loom.cli.demo.actors import PASSWORD, Person, StepFailed
from loom.cli.demo.stage import Stage
from loom.core.errors import AppError
from loom.db.actor import Actor

_TOKEN = re.compile(r"[?&#/]token=([A-Za-z0-9._~-]+)|\b([A-Za-z0-9_-]{40,})\b")

# What a path is about, by the name of the fact that holds its id.
_READS = (
    ("/v1/sessions/{}", "group_session"),
    ("/v1/sessions/{}/attendees", "group_session"),
    ("/v1/sessions/{}/roster", "group_session"),
    ("/v1/sessions/{}", "single_session"),
    ("/v1/attendees/{}", "sarah_seat"),
    ("/v1/invoices/{}", "invoice"),
    ("/v1/payments/{}", "payment"),
    ("/v1/payment-intents/{}", "intent"),
    ("/v1/conversations/{}", "conversation"),
    ("/v1/conversations/{}/messages", "conversation"),
    ("/v1/conversations/{}/people", "conversation"),
    ("/v1/messages/{}/deliveries", "message"),
)
_WRITES: tuple[tuple[str, str, Mapping[str, object]], ...] = (
    ("/v1/sessions/{}/cancel", "group_session", {"reason": "not mine to cancel"}),
    ("/v1/sessions/{}/respond", "group_session", {"answer": "confirmed"}),
    ("/v1/attendees/{}/attendance", "sarah_seat", {"kind": "in"}),
    ("/v1/invoices/{}/void", "invoice", {"reason": "not mine to void"}),
    ("/v1/invoices/{}/payment-intents", "invoice", {}),
    ("/v1/payments/{}/refunds", "payment", {"amount_cents": 100}),
    ("/v1/conversations/{}/messages", "conversation", {"content": "hello from outside"}),
    ("/v1/conversations/{}/read", "conversation", {"seq": 1}),
)
_SQL_READS: tuple[tuple[str, LiteralString, str], ...] = (
    ("sessions", "select count(*) from public.sessions where id = %(id)s", "group_session"),
    ("session_attendees", "select count(*) from public.session_attendees where session_id = %(id)s", "group_session"),
    ("coach_blocks", "select count(*) from public.coach_blocks where session_id = %(id)s", "group_session"),
    ("invoices", "select count(*) from public.invoices where id = %(id)s", "invoice"),
    ("invoice_line_items", "select count(*) from public.invoice_line_items where invoice_id = %(id)s", "invoice"),
    ("payments", "select count(*) from public.payments where id = %(id)s", "payment"),
    ("payment_refunds", "select count(*) from public.payment_refunds where payment_id = %(id)s", "payment"),
    ("payment_intents", "select count(*) from public.payment_intents where id = %(id)s", "intent"),
    ("conversations", "select count(*) from public.conversations where id = %(id)s", "conversation"),
    ("messages", "select count(*) from public.messages where conversation_id = %(id)s", "conversation"),
    ("message_deliveries", "select count(*) from public.message_deliveries where message_id = %(id)s", "message"),
    ("message_mentions", "select count(*) from public.message_mentions where message_id = %(id)s", "message"),
)
_SQL_WRITES: tuple[tuple[str, LiteralString, str], ...] = (
    ("rename the session", "update public.sessions set title = 'mine' where id = %(id)s", "group_session"),
    ("delete the session", "delete from public.sessions where id = %(id)s", "group_session"),
    (
        "take a seat",
        "insert into public.session_attendees (session_id, user_id) values (%(id)s, %(me)s)",
        "group_session",
    ),
    ("pay with nothing", "update public.invoices set status = 'paid' where id = %(id)s", "invoice"),
    ("lower a price", "update public.invoice_line_items set amount_cents = 0 where invoice_id = %(id)s", "invoice"),
    ("delete the payment", "delete from public.payments where id = %(id)s", "payment"),
    (
        "join the conversation",
        "insert into public.conversation_participants (conversation_id, user_id) values (%(id)s, %(me)s)",
        "conversation",
    ),
    (
        "write into it",
        "insert into public.messages (conversation_id, sender_id, content) values (%(id)s, %(me)s, 'hello')",
        "conversation",
    ),
)


async def intruders(stage: Stage) -> None:
    """A stranger signs up first; then all three try every door."""
    daniel, omer = stage.people[people.DANIEL.email], stage.people[people.OMER.email]
    await daniel.sign_in()
    stranger = await _sign_up(stage, daniel.http)
    maya = Actor.user(UUID(stage.people[people.MAYA.email].user_id))
    shown = [name for name, query, fact in _SQL_READS if await _seen(stage, maya, query, fact)]
    stage.check(f"asked by the coach, the same questions find {', '.join(shown)}", len(shown) > len(_SQL_READS) - 2)
    before = await _state(stage)
    for who, person in (("a stranger", stranger), ("another coach", daniel), ("another client", omer)):
        over_http = await _over_http(stage, person)
        in_sql = await _in_sql(stage, person)
        stage.table(
            f"{who} ({person.email})",
            [
                {"door": "HTTP", "attempts": len(_READS) + len(_WRITES), "got in": ", ".join(over_http) or "nowhere"},
                {
                    "door": "SQL",
                    "attempts": len(_SQL_READS) + len(_SQL_WRITES),
                    "got in": ", ".join(in_sql) or "nowhere",
                },
            ],
        )
        stage.check(f"{who} sees and changes nothing over HTTP; unknown and foreign answer alike", not over_http)
        stage.check(f"{who} sees and changes nothing in SQL", not in_sql)
    stage.check("everything is as it was", await _state(stage) == before)


async def _sign_up(stage: Stage, http: httpx.AsyncClient) -> Person:
    person = Person("Somebody Else", "stranger@example.org", http)
    await person.post("/v1/auth/sign-up", {"email": person.email, "password": PASSWORD})
    letter = await stage.mail_to(person.email)
    body = letter.get_body(("plain",))
    found = _TOKEN.search(body.get_content()) if body else None
    if found is None:
        raise StepFailed("the verification mail holds no token")
    await person.post("/v1/auth/verify-email", {"token": found.group(1) or found.group(2)})
    await person.sign_in()
    return person


async def _over_http(stage: Stage, person: Person) -> list[str]:
    inside: list[str] = []
    attempts = [("GET", path, fact, None) for path, fact in _READS]
    attempts += [("POST", path, fact, body) for path, fact, body in _WRITES]
    for method, path, fact, body in attempts:
        foreign = await person.call(method, path.format(stage.facts[fact]), body)
        unknown = await person.call(method, path.format(uuid4()), body)
        if foreign.status_code != 404 or _said(foreign) != _said(unknown):
            inside.append(f"{method} {path} ({foreign.status_code})")
    return inside


def _said(response: httpx.Response) -> dict[str, object]:
    """An answer without what has to differ: the request's id and the path that was asked for."""
    told: dict[str, object] = response.json()
    return {name: value for name, value in told.items() if name not in {"request_id", "instance"}}


async def _in_sql(stage: Stage, person: Person) -> list[str]:
    actor = Actor.user(UUID(person.user_id))
    inside: list[str] = []
    for name, query, fact in _SQL_READS:
        if await _seen(stage, actor, query, fact):
            inside.append(f"read {name}")
    for name, query, fact in _SQL_WRITES:
        try:
            async with stage.database.transaction(actor) as tx:
                changed = await tx.execute(query, {"id": stage.facts[fact], "me": person.user_id})
        except AppError as refusal:
            changed = _refused(refusal)
        if changed:
            inside.append(name)
    return inside


async def _seen(stage: Stage, actor: Actor, query: LiteralString, fact: str) -> int:
    # A table that API roles may not read at all refuses; that is as good as showing nothing.
    try:
        return await stage.database.reader(actor).fetch_value(query, {"id": stage.facts[fact]})
    except AppError as refusal:
        return _refused(refusal)


def _refused(refusal: AppError) -> int:
    """No rows; a mistake in the attempt itself must not pass for a refusal."""
    if refusal.status >= 500:
        raise refusal
    return 0


async def _state(stage: Stage) -> list[dict[str, object]]:
    return await stage.rows(
        """
        select
          (select jsonb_agg(s order by s.id) from public.sessions as s)::text as sessions,
          (select jsonb_agg(a order by a.id) from public.session_attendees as a)::text as seats,
          (select jsonb_agg(i order by i.id) from public.invoices as i)::text as invoices,
          (select jsonb_agg(p order by p.id) from public.payments as p)::text as payments,
          (select count(*) from public.messages) as messages,
          (select count(*) from public.conversation_participants) as participants
        """
    )
