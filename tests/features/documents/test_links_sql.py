"""Links to documents, straight in SQL: who makes, uses and takes back one, and what a document keeps saying."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.features.billing.world import World, addon, at_once, code_of, one, person

MAKE = "select public.make_document_link(%s) as v"
BY_LINK = "select content, state from public.document_by_link(%s)"


def make(world: World, invoice: UUID, who: UUID | None = None, days: int | None = 90) -> str:
    with world.as_user(who or world.coach) as conn:
        return one(conn, "select public.make_document_link(%s, %s) as v", invoice, days)


def shown(world: World, token: str) -> Any:
    with world.as_role("anon") as conn:
        return conn.execute(BY_LINK, [token]).fetchone()


def test_a_link_shows_one_document_to_whoever_holds_it(world: World) -> None:
    invoice, other = world.issued(10000), world.issued(700)
    found = shown(world, make(world, invoice))
    assert found["content"]["id"] == str(invoice)
    assert found["content"]["total_cents"] == 10000
    assert found["state"]["balance_cents"] == 10000
    assert shown(world, make(world, other))["content"]["id"] == str(other)


def test_only_the_issuer_makes_links_and_only_to_documents(world: World) -> None:
    invoice, draft = world.issued(100), world.draft(addon(100))
    for who in (world.client, person(world.owner, "coach"), person(world.owner, "client")):
        with pytest.raises(psycopg.Error) as refused:
            make(world, invoice, who)
        assert code_of(refused) == "not_found"
    with pytest.raises(psycopg.Error) as refused:
        make(world, draft)
    assert code_of(refused) == "invoice_draft"
    for days in (0, 366, -1, None):
        with pytest.raises(psycopg.Error) as refused:
            make(world, invoice, days=days)
        assert code_of(refused) == "link_days"


def test_the_token_itself_is_kept_nowhere(world: World) -> None:
    token = make(world, world.issued(100))
    rows = world.owner.execute("select l::text as row from private.document_links l").fetchall()
    assert rows
    assert not [row for row in rows if token in row["row"]]


def test_an_expired_or_revoked_link_shows_nothing(world: World) -> None:
    invoice = world.issued(100)
    expired, revoked = make(world, invoice), make(world, invoice)
    newest = "update private.document_links set expires_at = now() where token_hash = encode(sha256(%s::bytea), 'hex')"
    world.owner.execute(newest, [expired.encode()])
    with pytest.raises(psycopg.Error) as refused:
        shown(world, expired)
    assert code_of(refused) == "link_expired"
    assert shown(world, revoked)
    with world.coaching() as conn:
        assert one(conn, "select public.revoke_document_links(%s) as v", invoice) == 1
    for token in (revoked, "never made", ""):
        with pytest.raises(psycopg.Error) as refused:
            shown(world, token)
        assert code_of(refused) == "not_found"
    assert shown(world, make(world, invoice)), "a new one is good"


def test_a_document_keeps_its_face_whatever_becomes_of_the_practice(world: World) -> None:
    world.owner.execute(
        "update public.practices set legal_name = 'Old name', tax_id = '1', address = 'Old street' where id = %s",
        [world.practice],
    )
    invoice, draft = world.issued(100), world.draft(addon(100))
    world.owner.execute(
        "update public.practices set legal_name = 'New name', tax_id = '2', address = 'New street', language = 'he'"
        " where id = %s",
        [world.practice],
    )
    with world.coaching() as conn:
        old, new = (one(conn, "select content as v from public.document(%s)", each) for each in (invoice, draft))
    keys = ("seller_name", "tax_id", "address", "language")
    assert [old[key] for key in keys] == ["Old name", "1", "Old street", "en"]
    assert [new[key] for key in keys] == ["New name", "2", "New street", "he"]


def test_nobody_changes_what_a_document_shows_not_even_the_owner(world: World) -> None:
    invoice = world.issued(100)
    for statement in (
        "update private.document_faces set face = '{}' where invoice_id = %s",
        "delete from private.document_faces where invoice_id = %s",
    ):
        with pytest.raises(psycopg.Error) as refused:
            world.owner.execute(statement, [invoice])
        assert code_of(refused) == "invoice_final"


def test_what_was_issued_elsewhere_has_nothing_to_print(world: World) -> None:
    invoice = one(
        world.owner,
        "insert into public.invoices (user_id, coach_id, total_amount_cents, status) values (%s, %s, 5, 'paid')"
        " returning id as v",
        world.client,
        world.coach,
    )
    for act in ("public.document", "public.make_document_link", "public.send_document"):
        with world.coaching() as conn, pytest.raises(psycopg.Error) as refused:
            conn.execute(f"select {act}(%s)", [invoice])  # pyright: ignore[reportArgumentType]
        assert code_of(refused) == "document_elsewhere"


def test_one_mail_waits_however_many_press_the_button(world: World) -> None:
    invoice = world.issued(100)

    def press(_: int) -> UUID:
        with world.coaching() as conn:
            return one(conn, "select public.send_document(%s) as v", invoice)

    assert len(set(at_once(8, press))) == 1
    jobs = one(
        world.owner,
        "select count(*) as v from jobs.procrastinate_jobs j join public.document_sends s"
        " on s.id::text = j.args ->> 'send_id' where j.task_name = 'documents.send' and s.invoice_id = %s",
        invoice,
    )
    assert jobs == 1


def test_sending_without_an_address_or_too_often_is_refused(world: World) -> None:
    invoice = world.issued(100)
    for turn in range(20):
        with world.coaching() as conn:
            conn.execute("select public.send_document(%s, %s)", [invoice, f"somebody.{turn}@example.test"])
    with world.coaching() as conn, pytest.raises(psycopg.Error) as refused:
        conn.execute("select public.send_document(%s)", [invoice])
    assert code_of(refused) == "sent_too_often"
    guest = one(
        world.owner,
        "insert into public.coach_clients (coach_id, display_name) values (%s, 'Guest') returning id as v",
        world.coach,
    )
    with world.coaching() as conn:
        draft = one(
            conn,
            "select public.draft_invoice(p_coach_client_id => %s, p_lines => %s) as v",
            guest,
            '[{"description": "x", "amount_cents": 1}]',
        )
    world.finalize(draft)
    with world.coaching() as conn, pytest.raises(psycopg.Error) as refused:
        conn.execute("select public.send_document(%s)", [draft])
    assert code_of(refused) == "no_address"


def test_a_logo_is_the_owners_to_set_and_stays_with_what_shows_it(world: World) -> None:
    logo = b"\xff\xd8\xff" + uuid4().bytes
    for who in (world.client, person(world.owner, "coach")):
        with world.as_user(who) as conn, pytest.raises(psycopg.Error) as refused:
            conn.execute("select public.set_practice_logo(%s, %s)", [world.practice, logo])
        assert code_of(refused) == "not_found"
    for bad in (b"", b"<svg/>", b"\xff\xd8\xff" + bytes(262_144)):
        with world.coaching() as conn, pytest.raises(psycopg.Error) as refused:
            conn.execute("select public.set_practice_logo(%s, %s)", [world.practice, bad])
        assert code_of(refused) == "logo_refused"
    with world.coaching() as conn:
        conn.execute("select public.set_practice_logo(%s, %s)", [world.practice, logo])
    invoice = world.issued(100)
    with world.coaching() as conn:
        conn.execute("select public.set_practice_logo(%s, null)", [world.practice])
        assert one(conn, "select logo as v from public.document(%s)", invoice) == logo
        assert one(conn, "select logo as v from public.document(%s)", world_draft(world)) is None
    with pytest.raises(psycopg.Error) as refused:
        world.owner.execute("delete from private.logos where content = %s", [logo])
    assert code_of(refused) == "invoice_final"


def world_draft(world: World) -> UUID:
    return world.draft(addon(100))


def test_documents_are_mailed_as_they_are_issued_where_the_practice_wants_it(world: World) -> None:
    sends = "select count(*) as v from public.document_sends where invoice_id = %s"
    assert one(world.owner, sends, world.issued(100)) == 0
    with world.coaching() as conn:
        conn.execute(
            "insert into public.practice_letterheads (practice_id, send_on_issue) values (%s, true)", [world.practice]
        )
    assert one(world.owner, sends, world.issued(100)) == 1
