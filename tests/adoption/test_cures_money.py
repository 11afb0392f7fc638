"""Faults around money, and what every foreign key needs: broken in the old database, sound in the adopted one."""

from __future__ import annotations

import pytest

from tests.adoption.scene import Scene

CALLBACK = """
    insert into public.payments (provider, provider_transaction_id, amount_cents, currency, status)
    values ('tranzila', 'transaction', 25000, 'ILS', 'paid')
    on conflict (provider, provider_transaction_id) do update set status = excluded.status
"""


def test_a_callback_that_came_twice_could_not_be_written(scene: Scene) -> None:
    assert scene.both("service", CALLBACK) == ("42P10", 1)
    by_key = CALLBACK.replace("(provider, provider_transaction_id) do", "(idempotency_key) do")
    assert scene.before("service", by_key) == "42P10"
    # As many payments without either as ever.
    nothing = "insert into public.payments (amount_cents) values (1), (2), (3)"
    assert scene.both("service", nothing) == (3, 3)


def test_a_client_marks_nothing_as_paid(scene: Scene) -> None:
    for query in (
        "update public.sessions set billing_status = 'paid', price_cents = 0 where id = %(ahead)s",
        "update public.session_attendees set billing_status = 'paid'",
        "update public.payments set status = 'paid'",
        "insert into public.payments (user_id, amount_cents) values (%(client)s, 1)",
    ):
        assert scene.after("client", query) == "42501", query
    assert scene.both("client", "select amount_cents from public.payments") == ([(25000,)], [(25000,)])
    assert scene.both("coach", "select amount_cents from public.payments") == ([], [(25000,)])


def test_deleting_took_money_along(scene: Scene) -> None:
    """The account, the person, the session, the payment: none goes while money hangs on it."""
    for who, query in (
        ("owner", "delete from public.payments where id = %(payment)s"),
        ("owner", "delete from public.users where id = %(client)s"),
        ("owner", "delete from public.users where id = %(coach)s"),
        ("owner", "delete from auth.users where id = %(client)s"),
    ):
        before, after = scene.both(who, query)
        assert before == 1, query
        assert isinstance(after, str), query
        assert after.startswith("PT4"), (query, after)
    assert scene.before(
        "owner", "delete from public.users where id = %(client)s;\nselect user_id from public.payments"
    ) == [(None,)]
    assert scene.after("service", "delete from public.payments where id = %(payment)s") == "42501"
    # Who has nothing that others rely on may still go.
    assert scene.both("owner", "delete from public.users where id = %(stranger)s") == (1, 1)


def test_a_refund_does_not_go_with_its_payment(scene: Scene) -> None:
    made = (
        "insert into public.payment_refunds (payment_id, amount_cents, status) values (%(payment)s, 100, 'succeeded')"
    )
    gone = "delete from public.payments where id = %(payment)s"
    assert scene.after("owner", made) == 1
    assert scene.after("owner", f"{made};\n{gone}").startswith("PT4")
    assert scene.after("owner", made.replace("100", "250000")) in {"23514", "PT409", "PT422"}


UNINDEXED = """
    select k.conrelid::regclass::text || '.' || a.attname
    from pg_constraint as k
    join pg_class as c on c.oid = k.conrelid
    join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
    where k.contype = 'f' and c.relnamespace = 'public'::regnamespace
      and c.relname not in (
        'tasks', 'mfa_audit_log', 'mfa_sessions', 'trusted_devices', 'user_mfa_methods', 'security_audit_log')
      and not exists (
        select from pg_index as i
        where i.indrelid = k.conrelid and i.indkey[0] = k.conkey[1]
          and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = format('(%%I IS NOT NULL)', a.attname)))
    order by 1
"""


def test_foreign_keys_lacked_an_index_that_leads_with_them(scene: Scene) -> None:
    before = [name for (name,) in scene.before("owner", UNINDEXED)]
    assert before == ["message_analytics_daily.conversation_id", "session_requests.session_id"]
    assert scene.after("owner", UNINDEXED) == []


@pytest.mark.parametrize(
    "table", ["tasks", "mfa_sessions", "trusted_devices", "user_mfa_methods", "security_audit_log"]
)
def test_what_lies_outside_the_three_domains_is_left_alone(scene: Scene, table: str) -> None:
    query = """
        select c.relrowsecurity, c.relacl::text,
          (select array_agg(p.polname::text order by 1) from pg_policy as p where p.polrelid = c.oid),
          (select array_agg(i.indexrelid::regclass::text order by 1) from pg_index as i where i.indrelid = c.oid)
        from pg_class as c where c.oid = %(table)s::regclass
    """
    before, after = scene.both("owner", query, table=f"public.{table}")
    assert before == after
