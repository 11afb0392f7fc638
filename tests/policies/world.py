"""One small world for the matrix: people, and something in every table, each row with a name of its own."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from tests.policies.attempts import Identity

HERE = Path(__file__).parent
LABEL = re.compile(r"(?<![\w'])@([a-z][a-z0-9_-]*)\b")

SIGNED_IN = (
    "stranger", "client", "other_client", "foreign_client", "coach", "other_coach", "group_member", "former_member",
    "suspended", "admin",
)  # fmt: skip

OWNER = Identity("owner", "none")
"""The positive control: what the owner of everything can do, and where a guard stops even the owner."""

# Rows that triggers make have no id chosen here: these say what each is called.
MADE = {
    "public.users": "matrix.label(t.id)",
    "public.practices": "'practice-' || (select matrix.label(m.user_id) from public.practice_members m"
    " where m.practice_id = t.id)",
    "public.practice_members": "'member-' || matrix.label(t.user_id)",
    "public.notification_preferences": "'preferences-' || matrix.label(t.user_id)",
    "public.series_sessions": "'place-of-' || matrix.label(t.session_id)",
    "public.booking_rules": "'rules-of-' || matrix.label(t.coach_id)",
    "private.idempotency_keys": "'key-of-' || matrix.label(t.scope::uuid)",
    "public.session_attendees": "matrix.label(t.session_id) || '--' ||"
    " coalesce(matrix.label(t.user_id), split_part(t.email, '@', 1))",
    "public.coach_blocks": "coalesce('block-' || matrix.label(t.session_id), matrix.label(t.id))",
    "public.session_events": "'event-' || matrix.label(t.session_id) || '-' || t.kind",
    "public.attendance_events": "'attendance-' || (select matrix.label(a.session_id) || '--' || matrix.label(a.user_id)"
    " from public.session_attendees a where a.id = t.attendee_id)",
    "private.access_links": "'link-' || split_part(t.email, '@', 1)",
    "private.seat_charges": "'charge-' || (select matrix.label(a.session_id) from public.session_attendees a"
    " where a.id = t.attendee_id)",
    "private.calendar_invitations": "'invitation-' || split_part(t.email, '@', 1)",
    "public.invoice_series": "'series-' || (select matrix.label(m.user_id) from public.practice_members m"
    " where m.practice_id = t.practice_id)",
    "public.client_balances": "concat_ws('-', 'balance', matrix.label(t.coach_client_id), t.currency)",
    "public.journal_transactions": "'book-' || matrix.label(t.subject_id)",
    "public.journal_entries": "(select 'book-' || matrix.label(j.subject_id) || '-' || t.account"
    " from public.journal_transactions j where j.id = t.transaction_id)",
    "private.logos": "'logo-of-' || (select matrix.label(m.user_id) from public.practice_members m"
    " where m.practice_id = t.practice_id)",
    "public.practice_letterheads": "'letterhead-' || (select matrix.label(m.user_id) from public.practice_members m"
    " where m.practice_id = t.practice_id)",
    "private.document_faces": "'face-' || matrix.label(t.invoice_id)",
    "private.document_links": "'document-link-' || matrix.label(t.invoice_id)",
    "private.gateway_secrets": "'secrets-of-' || matrix.label(t.account_id)",
    "public.conversation_participants": "matrix.label(t.conversation_id) || '--' || matrix.label(t.user_id)",
    "public.conversation_membership_changes": "concat_ws('-', matrix.label(t.conversation_id), t.change,"
    " matrix.label(t.user_id))",
    "public.message_revisions": "'revision-' || matrix.label(t.message_id)",
    "public.messaging_preferences": "'choices-' || matrix.label(t.user_id)",
    "public.message_delivery_states": "matrix.label(t.message_id) || '-' || t.channel",
    "public.message_deliveries": "concat_ws('-', matrix.label(t.message_id), t.channel, matrix.label(t.recipient_id))",
    "public.message_deletions": "'deletion-' || matrix.label(t.message_id)",
    "public.session_reminders": "'reminder-' || matrix.label(t.user_id)",
    "public.live_events": "t.detail ->> 'label'",
    "public.live_feed": "(select e.detail ->> 'label' from public.live_events e where e.id = t.id)",
    "private.credentials": "'credentials-' || matrix.label(t.user_id)",
}


def uid(label: str) -> UUID:
    """The id of a label, the same in every run and of no order."""
    return UUID(hashlib.md5(f"loom matrix {label}".encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class World:
    """`labels` gives the name of every row by table and primary key as text; `ids` the id of every name."""

    identities: Mapping[str, Identity]
    ids: Mapping[str, UUID]
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def id(self, label: str) -> UUID:
        """The id of a row by its name; KeyError for one that is not there."""
        return self.ids[label]


def build(conn: psycopg.Connection[Any], relations: list[Any]) -> World:
    """Fills an empty Loom database as its owner and names every row. `relations` are the tables to name rows of."""
    conn.execute((HERE / "probe.sql").read_text(encoding="utf-8"))
    text = "\n".join((HERE / name).read_text(encoding="utf-8") for name in ("world.sql", "live.sql"))
    statements = re.sub(r"^\s*--.*$", "", text, flags=re.MULTILINE)
    ids = {label: uid(label) for label in {*SIGNED_IN, *LABEL.findall(statements)}}
    for label, value in ids.items():
        conn.execute("insert into matrix.labels (id, label) values (%s, %s)", (value, label))
    with conn.transaction():
        conn.execute(LABEL.sub(lambda match: f"'{uid(match[1])}'", statements))
    labels = {relation.full: row_labels(conn, relation) for relation in relations}
    for by_key in labels.values():
        ids |= {label: UUID(key) for key, label in by_key.items() if re.fullmatch(r"[0-9a-f-]{36}", key)} | ids
    return World(identities(), ids, labels)


def row_labels(conn: psycopg.Connection[Any], relation: Any) -> dict[str, str]:
    """Primary key as text → name, for every row of a table; numbers what shares a name, says what has none."""
    expression = MADE.get(
        relation.full,
        f"coalesce(matrix.label(case when {relation.key_text} ~ '^[0-9a-f-]{{36}}$'"
        f" then ({relation.key_text})::uuid end), {relation.key_text})",
    )
    query = f"select {relation.key_text}, {expression} from {relation.full} t order by 2, 1"
    names: dict[str, str] = {}
    for key, name in conn.execute(query).fetchall():
        assert name is not None, f"{relation.full}: the row {key} has no name; add it to MADE"
        taken = sum(1 for other in names.values() if other == name or other.startswith(f"{name}/"))
        names[key] = f"{name}/{taken + 1}" if taken else name
    return names


def identities() -> dict[str, Identity]:
    """Everybody whom the matrix has a line for, in the order of its lines."""
    people = {name: Identity(name, "authenticated", uid(name)) for name in SIGNED_IN}
    return {
        "anon": Identity("anon", "anon"),
        **people,
        "service": Identity("service", "service_role"),
        OWNER.name: OWNER,
    }
