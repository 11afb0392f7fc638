"""Who sees and writes money, in SQL as API roles."""

from __future__ import annotations

from uuid import UUID, uuid4

import psycopg
import pytest

from tests.features.billing.world import World, addon, code_of, one, person

COLUMNS = {
    "invoices": "*",
    "invoice_line_items": "*",
    "payments": "id, status, amount_cents",
    "payment_line_items": "*",
    "payment_allocations": "*",
    "payment_refunds": "id, status, amount_cents",
    "payment_intents": "id, status, amount_cents",
    "payment_methods": "id, brand, last4",
    "gateway_accounts": "id, display_name",
    "invoice_series": "*",
}
CLOSED = [
    ("payment_intents", "client_secret"),
    ("payment_intents", "metadata"),
    ("payments", "raw_payload"),
    ("payments", "metadata"),
    ("payments", "idempotency_key"),
    ("payment_methods", "provider_method_id"),
    ("payment_refunds", "metadata"),
    ("gateway_accounts", "webhook_token_hash"),
    ("webhook_events", "payload"),
]


@pytest.fixture
def story(world: World) -> World:
    """One of everything, and a draft."""
    _, payment = world.paid(10000)
    with world.serving() as conn:
        conn.execute(
            "insert into public.payment_methods (user_id, type, provider, provider_method_id, gateway_account_id)"
            " values (%s, 'credit_card', 'sandbox', %s, %s)",
            [world.client, str(uuid4()), world.account],
        )
        conn.execute("insert into public.payment_refunds (payment_id, amount_cents) values (%s, 1)", [payment])
    world.draft(addon(5))
    return world


def counts(world: World, user: UUID) -> dict[str, int]:
    seen: dict[str, int] = {}
    with world.as_user(user) as conn:
        for table, columns in COLUMNS.items():
            seen[table] = len(conn.execute(f"select {columns} from public.{table}").fetchall())
    return seen


def test_a_client_sees_what_was_issued_to_and_paid_by_that_client_and_no_draft(story: World) -> None:
    assert counts(story, story.client) == dict.fromkeys(COLUMNS, 1) | {"gateway_accounts": 0, "invoice_series": 0}


def test_the_coach_sees_everything_of_the_practice_drafts_included(story: World) -> None:
    assert counts(story, story.coach) == dict.fromkeys(COLUMNS, 1) | {"invoices": 2, "invoice_line_items": 2}


def test_strangers_other_coaches_and_other_clients_see_nothing(story: World) -> None:
    for role in ("client", "coach"):
        assert counts(story, person(story.owner, role)) == dict.fromkeys(COLUMNS, 0)
    assert counts(story, uuid4()) == dict.fromkeys(COLUMNS, 0)


def test_a_suspended_client_sees_nothing(story: World) -> None:
    story.owner.execute("update public.users set status = 'suspended' where id = %s", [story.client])
    assert counts(story, story.client) == dict.fromkeys(COLUMNS, 0)


def test_anonymous_callers_cannot_even_ask(story: World) -> None:
    for table in [*COLUMNS, "webhook_events"]:
        with story.as_role("anon") as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(f"select count(*) from public.{table}")


@pytest.mark.parametrize(("table", "column"), CLOSED)
def test_no_signed_in_person_can_read_what_is_secret(story: World, table: str, column: str) -> None:
    for user in (story.client, story.coach):
        with story.as_user(user) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(f"select {column} from public.{table}")
    with story.coaching() as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("select * from private.gateway_secrets")


def test_nobody_writes_money_directly(story: World) -> None:
    for table in [*COLUMNS, "webhook_events"]:
        for statement in (
            f"insert into public.{table} default values",
            f"update public.{table} set id = gen_random_uuid()",
            f"delete from public.{table}",
        ):
            for user in (story.client, story.coach):
                if table == "invoice_series" and " id " in statement:
                    continue
                with story.as_user(user) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
                    conn.execute(statement)


def test_only_the_payer_is_told_the_secret_of_an_intent(world: World) -> None:
    intent = world.intent(world.issued(100))
    ask = "select public.payment_intent_secret(%s) as v"
    with world.paying() as conn:
        assert one(conn, ask, intent) == "secret"
    for user in (world.coach, person(world.owner, "client")):
        with world.as_user(user) as conn:
            assert one(conn, ask, intent) is None


def test_what_is_not_theirs_does_not_exist_for_other_coaches_and_clients(world: World) -> None:
    draft, (invoice, payment) = world.draft(addon(5)), world.paid(100)
    intent = world.intent(world.issued(100))
    line = one(world.owner, "select id as v from public.invoice_line_items where invoice_id = %s", draft)
    calls: list[tuple[str, list[object]]] = [
        ("finalize_invoice(%s)", [draft]),
        ("add_invoice_line(%s, '{}')", [draft]),
        ("remove_invoice_line(%s)", [line]),
        ("edit_draft_invoice(%s, '{}')", [draft]),
        ("delete_draft_invoice(%s)", [draft]),
        ("void_invoice(%s)", [invoice]),
        ("write_off_invoice(%s, 'x')", [invoice]),
        ("record_manual_payment(%s, 1, 'cash')", [invoice]),
        ("begin_payment_intent(%s)", [invoice]),
        ("begin_payment_attempt(%s)", [intent]),
        ("cancel_payment_intent(%s)", [intent]),
        ("request_refund(%s, 1, 'x')", [payment]),
        ("disable_gateway_account(%s)", [world.account]),
        ("settle_gateway_differences(%s)", [world.account]),
        ("draft_invoice(p_client_id => %s)", [world.client]),
        ("draft_invoice(p_coach_client_id => %s)", [world.relation]),
    ]
    others = [person(world.owner, "coach"), person(world.owner, "client")]
    for call, arguments in calls:
        messages = set[str]()
        for wanted in (arguments, [uuid4()]):
            for user in others:
                with world.as_user(user) as conn, pytest.raises(psycopg.Error) as refused:
                    conn.execute(f"select public.{call}", wanted)
                assert code_of(refused) == "not_found", call
                messages.add(str(refused.value.diag.message_primary))
        assert len(messages) == 1, call


def test_a_client_cannot_do_the_coachs_part(world: World) -> None:
    invoice, payment = world.paid(100)
    for call, argument in (
        ("void_invoice(%s)", invoice),
        ("request_refund(%s, 1, 'x')", payment),
        ("record_manual_payment(%s, 1, 'cash')", invoice),
    ):
        with world.paying() as conn, pytest.raises(psycopg.Error) as refused:
            conn.execute(f"select public.{call}", [argument])
        assert code_of(refused) == "not_found"


def test_transitions_are_the_services_alone(world: World) -> None:
    intent = world.intent(world.issued(100))
    for call in (
        "record_intent_outcome(%s, '{}')",
        "record_intent_unknown(%s, 'x')",
        "record_intent_sent(%s, 'x', 'x', 'x')",
        "begin_refund_call(%s)",
        "record_refund_outcome(%s, '{}')",
        "record_refund_news(%s, '{}')",
        "finish_webhook(%s, 'handled')",
        "receive_webhook(%s, 'e', 't', null, '{}')",
    ):
        for user in (world.client, world.coach):
            with world.as_user(user) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(f"select public.{call}", [intent])


def test_a_removed_policy_would_be_seen(story: World) -> None:
    """The negative control of this file: without the payer's condition the stranger's count is no longer zero."""
    stranger = person(story.owner, "client")
    story.owner.execute("create policy open_door on public.invoices for select to authenticated using (true)")
    try:
        assert counts(story, stranger)["invoices"] > 0
    finally:
        story.owner.execute("drop policy open_door on public.invoices")
