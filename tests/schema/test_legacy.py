"""The extension on a database that an older application has used: dirty, recursive, and full of what people need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from tests.adoption.old_database import BASE, drop_extras, extend, legacy_database, read
from tests.schema.test_equality import difference, dump
from tests.support.cluster import Cluster

Conn = psycopg.Connection[DictRow]

NOA = "c0000000-0000-4000-8000-000000000001"
OMER = "c0000000-0000-4000-8000-000000000002"
DANA = "d0000000-0000-4000-8000-000000000001"
ELI = "d0000000-0000-4000-8000-000000000002"
GAL = "d0000000-0000-4000-8000-000000000003"


ROWS = Path(__file__).with_name("legacy_rows.sql")


@pytest.fixture(scope="module")
def old_template(cluster: Cluster) -> Iterator[str]:
    """The old database, made once."""
    name = cluster.create()
    cluster.platform(name)
    with psycopg.connect(cluster.url(name)) as conn:
        legacy_database(conn)
        conn.execute(read(ROWS))
    yield name
    cluster.drop(name)


@pytest.fixture
def old_name(cluster: Cluster, old_template: str) -> Iterator[str]:
    name = cluster.create(old_template)
    yield name
    cluster.drop(name)


@pytest.fixture
def old(cluster: Cluster, old_name: str) -> Iterator[Conn]:
    """The owner's connection to an old database, not migrated yet."""
    with psycopg.connect(cluster.url(old_name), autocommit=True, row_factory=dict_row) as conn:
        yield conn


@pytest.fixture(scope="module")
def adopted(cluster: Cluster, old_template: str) -> Iterator[Conn]:
    """The old database after both migrations, for tests that only look, or undo what they do."""
    name = cluster.create(old_template)
    with psycopg.connect(cluster.url(name), autocommit=True, row_factory=dict_row) as conn:
        extend(conn)
        yield conn
    cluster.drop(name)


def one(conn: Conn, query: LiteralString, *params: object) -> Any:
    row = conn.execute(query, params).fetchone()
    return None if row is None else next(iter(row.values()))


def contents(conn: Conn) -> dict[str, list[Any]]:
    """Every row of every table, as text in order."""
    tables = conn.execute(
        "select c.oid::regclass::text as name from pg_class as c "
        "join pg_namespace as n on n.oid = c.relnamespace where c.relkind = 'r' and n.nspname in ('public', 'private')"
    ).fetchall()
    return {
        t["name"]: conn.execute(
            cast("LiteralString", f"select t::text as row from {t['name']} as t order by 1")
        ).fetchall()
        for t in tables
    }


def test_the_baseline_changes_nothing_where_the_tables_are(cluster: Cluster, old: Conn, old_name: str) -> None:
    before = dump(cluster.url(old_name))
    with old.transaction():
        old.execute(read(BASE))
        old.execute("drop table private.adoption_decisions; drop schema private")
    assert dump(cluster.url(old_name)) == before


def test_the_baseline_stops_on_another_shape_and_names_every_difference(old: Conn) -> None:
    old.execute("alter table public.reflections drop column insights")
    old.execute("alter table public.message_attachments alter column file_size type bigint")
    old.execute("alter type public.message_type rename value 'system' to 'notice'")
    with pytest.raises(psycopg.errors.RaiseException) as stopped:
        old.execute(read(BASE))
    assert stopped.value.diag.message_primary == (
        "These tables are not the ones Loom extends: enum message_type lacks system; "
        "message_attachments.file_size is bigint, not integer; reflections.insights is missing."
    )


def test_the_extension_applies_to_an_old_database_and_then_again_without_a_change(old: Conn) -> None:
    extend(old)
    after_once = contents(old)
    extend(old)
    assert contents(old) == after_once


def test_an_old_database_ends_with_the_schema_of_a_new_one(
    cluster: Cluster, old: Conn, old_name: str, database_url: str
) -> None:
    extend(old)
    drop_extras(old)
    unlike = difference(dump(database_url), dump(cluster.url(old_name)))
    assert not unlike, "\n".join(unlike)


def test_statuses_are_trimmed_lowered_and_mapped_and_the_original_text_is_kept(adopted: Conn) -> None:
    rows = adopted.execute(
        "select status::text, metadata ->> 'status_before_loom' as before, count(*) as times "
        "from public.payments group by 1, 2 order by 1, 2 nulls first"
    ).fetchall()
    assert [(r["status"], r["before"], r["times"]) for r in rows] == [
        ("canceled", "cancelled", 1),
        ("failed", "declined", 1),
        ("paid", None, 1),
        ("paid", "Paid", 1),
        ("paid", "completed", 1),
        ("paid", "paid ", 1),
        ("paid", "success", 1),
        ("pending", None, 1),
        ("refunded", None, 1),
    ]
    assert (
        one(adopted, "select metadata ->> 'note' from public.payments where provider_transaction_id = 't2'") == "kept"
    )


@pytest.mark.parametrize("unknown", ["chargeback", "", "   ", "paid?"])
def test_an_unknown_status_stops_everything_and_is_named_with_its_count(old: Conn, unknown: str) -> None:
    for _ in range(2):
        old.execute("insert into public.payments (amount_cents, status) values (100, %s)", [unknown])
    old.execute("insert into public.payments (amount_cents, status) values (100, 'disputed')")
    before = contents(old)
    with pytest.raises(psycopg.errors.RaiseException) as stopped:
        extend(old)
    message = stopped.value.diag.message_primary or ""
    assert f"'{unknown}' (2)" in message
    assert "'disputed' (1)" in message
    assert "paid'" not in message.replace(f"'{unknown}'", "")
    after = contents(old)
    assert after.pop("private.adoption_decisions") == []
    assert after == before
    assert one(old, "select to_regclass('public.invoices')") is None


def test_a_decision_settles_an_unknown_status(old: Conn) -> None:
    old.execute("insert into public.payments (amount_cents, status) values (100, 'chargeback')")
    with pytest.raises(psycopg.errors.RaiseException):
        extend(old)
    old.execute("insert into private.adoption_decisions values ('payments.status', 'chargeback', 'failed')")
    extend(old)
    assert (
        one(old, "select status::text from public.payments where metadata ->> 'status_before_loom' = 'chargeback'")
        == "failed"
    )


def test_invoices_of_another_shape_stop_the_extension_with_advice(old: Conn) -> None:
    old.execute("create table public.invoices (id uuid primary key, payment_id uuid, total numeric)")
    with pytest.raises(psycopg.errors.RaiseException, match=r"table invoices of another shape.*rename it"):
        extend(old)


def test_a_currency_that_does_not_exist_stops_the_extension(old: Conn) -> None:
    old.execute("insert into public.payments (amount_cents, currency, status) values (100, 'XXX', 'paid')")
    with pytest.raises(psycopg.errors.RaiseException, match=r"currencies that do not exist.*'XXX' \(1\)"):
        extend(old)


def test_sessions_ahead_that_overlap_stop_the_extension_and_are_named(old: Conn) -> None:
    old.execute(
        "insert into public.sessions (coach_id, client_id, title, scheduled_at) "
        "select coach_id, client_id, 'Double', scheduled_at + interval '10 minutes' "
        "from public.sessions where title = 'To come'"
    )
    with pytest.raises(psycopg.errors.RaiseException, match=r'overlap: .*"(To come|Double)".*"(To come|Double)"'):
        extend(old)


def test_old_sessions_are_billed_only_by_an_explicit_link(adopted: Conn) -> None:
    rows = adopted.execute(
        "select title, billing_status::text as billing, currency, price_cents from public.sessions order by title"
    ).fetchall()
    assert [(r["title"], r["billing"], r["currency"], r["price_cents"]) for r in rows] == [
        ("Another coach", "unbilled", "ILS", None),
        ("At the same time", "unbilled", "EUR", None),
        ("Never closed", "unbilled", "EUR", None),
        ("Paid long ago", "paid", "ILS", 25000),
        ("To come", "unbilled", "EUR", None),
    ]


def test_an_old_session_can_be_changed_again(adopted: Conn) -> None:
    with adopted.transaction(force_rollback=True):
        adopted.execute("update public.sessions set status = 'completed' where title = 'Never closed'")
        assert one(adopted, "select status::text from public.sessions where title = 'Never closed'") == "completed"


def test_every_old_session_has_the_seats_of_its_coach_and_its_client(adopted: Conn) -> None:
    assert (
        one(
            adopted,
            "select count(*) from public.sessions as s "
            "where (select count(*) from public.session_attendees as a "
            "where a.session_id = s.id "
            "and (a.user_id, a.role) in ((s.coach_id, 'coach'), (s.client_id, 'client'))) <> 2",
        )
        == 0
    )
    assert (
        one(
            adopted,
            "select a.billing_status::text from public.session_attendees as a "
            "join public.sessions as s on s.id = a.session_id where s.title = 'Paid long ago' and a.role = 'client'",
        )
        == "paid"
    )


def test_coaches_have_practices_and_clients_and_everybody_has_preferences(adopted: Conn) -> None:
    practices = adopted.execute(
        "select p.name, p.currency from public.practices as p "
        "join public.practice_members as m on m.practice_id = p.id order by p.name"
    ).fetchall()
    assert [(p["name"], p["currency"]) for p in practices] == [("Noa", "EUR"), ("Omer", "ILS")]
    pairs = adopted.execute("select coach_id::text, client_id::text from public.coach_clients order by 1").fetchall()
    assert [(p["coach_id"], p["client_id"]) for p in pairs] == [(NOA, DANA), (OMER, ELI)]
    assert one(adopted, "select count(*) from public.notification_preferences") == 6


def test_zones_that_are_no_names_become_what_they_stand_for_and_are_remembered(adopted: Conn) -> None:
    zones = adopted.execute("select id::text, timezone from public.users where id = any (%s)", [[OMER, GAL]]).fetchall()
    assert {z["id"]: z["timezone"] for z in zones} == {OMER: "UTC", GAL: "America/Panama"}
    kept = adopted.execute("select key, value from private.adoption_decisions where kind = 'users.timezone'").fetchall()
    assert {(k["key"], k["value"]) for k in kept} == {(OMER, "Mars/Olympus"), (GAL, "EST")}


def test_old_messages_have_their_order(adopted: Conn) -> None:
    rows = adopted.execute("select content, seq from public.messages order by seq").fetchall()
    assert [r["seq"] for r in rows] == [1, 2, 3]
    assert {r["content"] for r in rows} == {"first", "second", "third"}
    assert one(adopted, "select last_seq from public.conversations") == 3


def test_old_conversations_keep_their_readers_places_and_one_per_pair_gets_the_key(old: Conn) -> None:
    """Receipts of old find their place, times of reading become positions, doubled pairs stay as they are."""
    pairs = "11111111-0000-4000-8000-00000000000"
    for number in (1, 2, 3):
        other = NOA if number < 3 else OMER
        old.execute(
            "insert into public.conversations (id, type, created_by) values (%s, 'direct', %s)",
            [f"{pairs}{number}", DANA],
        )
        old.execute(
            "insert into public.conversation_participants (conversation_id, user_id, last_read_at, role)"
            " values (%(c)s, %(dana)s, '2024-01-02 12:00+00', 'admin'), (%(c)s, %(other)s, '2020-01-01', 'member')",
            {"c": f"{pairs}{number}", "dana": DANA, "other": other},
        )
    old.execute("alter table public.messages disable trigger user")
    for day, sender in ((1, OMER), (2, OMER), (3, OMER), (4, DANA)):
        old.execute(
            "insert into public.messages (conversation_id, sender_id, content, created_at, updated_at)"
            " values (%(c)s, %(who)s, 'x', make_timestamptz(2024, 1, %(day)s, 8, 0, 0, 'UTC'), '2024-02-01')",
            {"c": f"{pairs}3", "who": sender, "day": day},
        )
    old.execute("alter table public.messages enable trigger user")
    old.execute(
        "insert into public.message_read_receipts (message_id, user_id) select id, %s from public.messages"
        " where conversation_id = %s and created_at < '2024-01-02'",
        [DANA, f"{pairs}3"],
    )
    doubled = one(old, "select count(*) from public.messages where conversation_id = %s", f"{pairs}1")
    assert doubled == 0
    extend(old)
    keys = old.execute(
        "select id::text, direct_key from public.conversations where id::text like %s order by id", [f"{pairs}%"]
    )
    assert [row["direct_key"] is not None for row in keys.fetchall()] == [False, False, True]
    found = old.execute(
        "select role, last_read_seq, own_after_read from public.conversation_participants"
        " where conversation_id = %s order by last_read_seq desc",
        [f"{pairs}3"],
    ).fetchall()
    assert [(row["last_read_seq"], row["own_after_read"]) for row in found] == [(2, 1), (0, 3)]
    # Who called themselves an admin is none; the coach leads what they have with a client.
    assert [row["role"] for row in found] == ["member", "coach"]
    receipt = one(old, "select message_seq from public.message_read_receipts where conversation_id = %s", f"{pairs}3")
    assert receipt == 1
    assert one(
        old, "select max(updated_at) = '2024-02-01' from public.messages where conversation_id = %s", f"{pairs}3"
    )
    assert one(old, "select count(*) from public.message_deliveries") == 0


def test_no_old_policy_trigger_or_view_is_left_that_lets_people_in(adopted: Conn) -> None:
    # Loom comments on each of its tables, which the older application never did.
    old_policies = adopted.execute(
        "select polrelid::regclass::text || ': ' || polname as policy from pg_policy "
        "where obj_description(polrelid, 'pg_class') is not null "
        "and (strpos(polname, ' ') > 0 or polname = 'payments_no_write')"
    ).fetchall()
    assert old_policies == []
    assert one(
        adopted,
        "select array_agg(tgname::text order by tgname) from pg_trigger "
        "where tgrelid = 'auth.users'::regclass and not tgisinternal",
    ) == ["on_auth_user_changed", "on_auth_user_created"]
    views = adopted.execute(
        "select relname::text as name, coalesce(reloptions @> array['security_invoker=true'], false) as as_reader, "
        "has_table_privilege('anon', oid, 'select') as anon from pg_class "
        "where relkind in ('v', 'm') and relnamespace = 'public'::regnamespace order by 1"
    ).fetchall()
    # What reads no table of the three domains is left alone.
    elsewhere = {"mfa_statistics", "security_dashboard", "database_schema_summary"}
    assert {v["name"] for v in views if v["anon"]} >= elsewhere
    inside = [v for v in views if v["name"] not in elsewhere]
    assert [v for v in inside if v["anon"]] == []
    assert [v["name"] for v in inside if not v["as_reader"]] == ["coach_totals"]
    assert {"session_details", "session_titles", "coach_totals"} < {v["name"] for v in views}
    assert not one(adopted, "select has_table_privilege('authenticated', 'public.coach_totals', 'select')")
    for function in (
        "public.send_notification(uuid, public.notification_type, text, text, jsonb, timestamptz)",
        "public.update_user_auth_metadata(uuid, text)",
    ):
        for role in ("anon", "authenticated"):
            assert not one(adopted, "select has_function_privilege(%s, %s, 'execute')", role, function), (
                role,
                function,
            )


def test_signing_up_on_an_old_database_no_longer_chooses_a_role(adopted: Conn) -> None:
    with adopted.transaction(force_rollback=True):
        for number, role in enumerate(("admin", "coach", "emperor")):
            adopted.execute(
                "insert into auth.users (id, email, raw_user_meta_data) values (gen_random_uuid(), %s, %s)",
                [f"new{number}@example.test", f'{{"role": "{role}"}}'],
            )
        assert one(
            adopted, "select array_agg(distinct role::text) from public.users where starts_with(email, 'new')"
        ) == ["client"]


def test_a_role_can_be_changed_again(adopted: Conn) -> None:
    with adopted.transaction(force_rollback=True):
        adopted.execute("select public.set_user_role(%s, 'coach', 'works here now')", [GAL])
        assert one(adopted, "select role::text from public.users where id = %s", GAL) == "coach"


def test_a_sign_up_trigger_of_another_name_loses_its_say(old: Conn) -> None:
    old.execute(
        "create trigger zz_profile after insert on auth.users for each row execute function public.handle_new_user()"
    )
    extend(old)
    old.execute(
        "insert into auth.users (id, email, raw_user_meta_data) values (gen_random_uuid(), 'x@example.test', %s)",
        ['{"role": "admin"}'],
    )
    assert one(old, "select role::text from public.users where email = 'x@example.test'") == "client"
