"""Links in mail: one seat, one action, once, before the session; nobody else's, and nothing for who only looks."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from tests.support.acting import AsRole, AsUser, acting
from tests.support.cluster import Cluster
from tests.support.scheduling import Scene, at, make_scene, one, race, refusal

Owner = psycopg.Connection[DictRow]

ACT = "select public.act_by_link(%s, %s)"
SEAT = "select id from public.session_attendees where session_id = %s and role <> 'coach' and cancelled_at is null"
HTML = {"Accept": "text/html"}


def links(owner: Owner, session: UUID) -> dict[str, str]:
    """Fresh links of the one seat of a session."""
    return one(owner, "select private.issue_links(%s)", [one(owner, SEAT, [session])])


def act(as_role: AsRole, token: str, starts_at: Any = None) -> Any:
    with as_role("anon") as conn:
        return one(conn, ACT, [token, starts_at])


def refused(as_role: AsRole, token: str, starts_at: Any = None) -> tuple[int, str]:
    with as_role("anon") as conn, pytest.raises(psycopg.Error) as no:
        one(conn, ACT, [token, starts_at])
    return refusal(no.value)


@pytest.fixture
def guest(as_user: AsUser, scene: Scene, group: UUID) -> UUID:
    """The seat of a guest without an account."""
    with as_user(scene.coach) as conn:
        return one(
            conn, "select public.invite_attendee(%s, p_email => 'g@example.com', p_display_name => 'Gili')", [group]
        )


def test_each_seat_gets_the_links_that_fit_it(
    owner: Owner, as_role: AsRole, guest: UUID, group: UUID, booked: UUID
) -> None:
    assert set(links(owner, group)) == {"confirm", "decline"}
    assert set(links(owner, booked)) == {"move", "cancel"}
    act(as_role, links(owner, group)["decline"])
    assert set(links(owner, group)) == {"confirm"}
    act(as_role, links(owner, group)["confirm"])
    assert set(links(owner, group)) == {"cancel"}
    owner.execute("update public.sessions set status = 'cancelled' where id = %s", [group])
    assert links(owner, group) == {}
    assert guest


def test_a_guest_confirms_and_gives_up_without_an_account(
    owner: Owner, as_role: AsRole, group: UUID, guest: UUID
) -> None:
    token = links(owner, group)["confirm"]
    done = act(as_role, token)
    assert (done["status"], done["used"], done["name"], done["coach_name"]) == ("confirmed", True, "Gili", "Noa")
    cancel = links(owner, group)["cancel"]
    done = act(as_role, cancel)
    assert (done["is_cancelled"], done["open"]) == (True, False)
    assert one(owner, "select cancelled_at is not null from public.session_attendees where id = %s", [guest])
    # The link that did it still shows that it did; the others of that seat are gone.
    with as_role("anon") as conn:
        assert one(conn, "select public.link_by_token(%s)", [cancel])["used"]
    assert refused(as_role, cancel) == (410, "link_used")


def test_a_link_that_moves_takes_what_the_ordinary_move_takes(
    owner: Owner, as_user: AsUser, as_role: AsRole, scene: Scene, booked: UUID
) -> None:
    token = links(owner, booked)["move"]
    with as_role("anon") as conn:
        offered = conn.execute(
            "select starts_at from public.slots_by_link(%s, %s, %s)", [token, at(5, 0), at(6, 0)]
        ).fetchall()
    with as_user(scene.client) as conn:
        ordinary = conn.execute(
            "select starts_at from public.free_slots(%s, %s, %s, %s)", [scene.coach, scene.single, at(5, 0), at(6, 0)]
        ).fetchall()
    assert offered == ordinary
    assert len(offered) == 8
    for bad, expected in (
        (at(5, 3), (422, "slot_not_offered")),
        (at(-1), (422, "session_in_past")),
        (None, (422, "session_in_past")),
    ):
        assert refused(as_role, token, bad) in {expected, (422, "slot_not_offered")}
    act(as_role, token, offered[2]["starts_at"])
    assert one(owner, "select scheduled_at from public.sessions where id = %s", [booked]) == offered[2]["starts_at"]
    assert refused(as_role, token, offered[3]["starts_at"]) == (410, "link_used")
    moved = "select actor_id from public.session_events where session_id = %s and kind = 'rescheduled'"
    assert one(owner, moved, [booked]) == scene.client


def test_forged_foreign_expired_and_revoked_links_do_nothing(
    owner: Owner, as_user: AsUser, as_role: AsRole, scene: Scene, booked: UUID
) -> None:
    token = links(owner, booked)["cancel"]
    stored = one(
        owner, "select token_hash from private.access_links where purpose = 'cancel' order by created_at desc limit 1"
    )
    for forged in ("", "x", token[:-1], token + "0", token.upper(), stored):
        assert refused(as_role, forged) == (404, "not_found")
    with as_role("anon") as conn, pytest.raises(psycopg.Error) as wrong:
        conn.execute("select * from public.slots_by_link(%s, now(), now() + interval '1 day')", [token])
    assert refusal(wrong.value) == (404, "not_found")
    owner.execute("update private.access_links set expires_at = now()")
    assert refused(as_role, token) == (410, "link_expired")
    owner.execute("update private.access_links set expires_at = now() + interval '1 day'")
    owner.execute("update public.users set status = 'suspended' where id = %s", [scene.client])
    assert refused(as_role, token) == (404, "not_found")
    owner.execute("update public.users set status = 'active' where id = %s", [scene.client])
    with as_user(scene.coach) as conn:
        one(conn, "select public.cancel_session(%s)", [booked])
    assert refused(as_role, token)[0] in {404, 409}
    assert one(owner, "select count(*) from private.access_links as l where l::text like %s", [f"%{token}%"]) == 0


def test_a_link_lends_its_person_for_one_call_only(owner: Owner, as_user: AsUser, scene: Scene, booked: UUID) -> None:
    tokens = links(owner, booked)
    claims = "select current_setting('request.jwt.claims')"
    with as_user(scene.stranger) as conn:
        before = one(conn, claims)
        one(conn, "select public.link_by_token(%s)", [tokens["move"]])
        conn.execute("select * from public.slots_by_link(%s, %s, %s)", [tokens["move"], at(5), at(6)])
        assert one(conn, claims) == before
        conn.execute("savepoint before")
        with pytest.raises(psycopg.Error):
            one(conn, ACT, [tokens["move"], at(5, 3)])
        conn.execute("rollback to savepoint before")
        assert one(conn, claims) == before
        one(conn, ACT, [tokens["cancel"], None])
        assert one(conn, claims) == before
        assert one(conn, "select count(*) from public.sessions") == 0
    assert one(owner, "select cancelled_by from public.sessions where id = %s", [booked]) == scene.client


def presses(url: str, token: str, count: int) -> list[Any]:
    def press() -> str:
        with acting(url, "anon", {}) as conn:
            return one(conn, ACT, [token, None])["status"]

    return race([press] * count)


def test_a_link_pressed_many_times_at_once_acts_once(owner: Owner, api_url: str, group: UUID, guest: UUID) -> None:
    results = presses(api_url, links(owner, group)["confirm"], 8)
    assert sum(isinstance(result, str) for result in results) == 1
    assert {refusal(r) for r in results if isinstance(r, psycopg.Error)} == {(410, "link_used")}
    assert guest


def test_without_the_claim_the_same_presses_all_act(cluster: Cluster) -> None:
    # The negative control, in a database of its own.
    name = cluster.create(cluster.template())
    try:
        with psycopg.connect(cluster.url(name, "loom_owner"), autocommit=True, row_factory=dict_row) as conn:
            body = one(conn, "select pg_get_functiondef('public.act_by_link(text, timestamptz, text)'::regprocedure)")
            assert body.count("if not found then") == 1
            conn.execute(
                body.replace("if not found then", "if false then").replace("is not null then", "is null then", 1)
            )
            scene = make_scene(conn)
            url = cluster.url(name, "loom_api")
            with acting(url, "authenticated", {"sub": str(scene.coach)}) as coach:
                session = one(coach, "select public.create_group_session(%s, %s)", [scene.group, at(3)])
                one(coach, "select public.invite_attendee(%s, p_email => 'g@example.com')", [session])
            conn.execute("update private.access_links set used_at = now()")
            token = links(conn, session)["confirm"]
            conn.execute("update private.access_links set used_at = now()")
            assert presses(url, token, 4) == ["confirmed"] * 4
    finally:
        cluster.drop(name)


async def test_looking_changes_nothing_and_the_page_speaks_the_persons_language(
    client: httpx.AsyncClient, owner: Owner, scene: Scene, booked: UUID
) -> None:
    owner.execute("update public.users set language = 'he' where id = %s", [scene.client])
    tokens = links(owner, booked)
    state = "select count(*) from public.session_events"
    before = one(owner, state)
    for token in tokens.values():
        for method in ("GET", "HEAD"):
            shown = await client.request(method, f"/v1/links/{token}", headers=HTML)
            assert shown.status_code in {200, 405}
        shown = await client.get(f"/v1/links/{token}", headers=HTML)
        assert '<html lang="he" dir="rtl">' in shown.text
        assert '<form method="post"' in shown.text
        assert "<script" not in shown.text
        assert "form-action 'self'" in shown.headers["content-security-policy"]
        assert (shown.headers["cache-control"], shown.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert one(owner, state) == before
    assert one(owner, "select count(*) from private.access_links where used_at is not null and attendee_id = %s", [
        one(owner, SEAT, [booked])
    ]) == 0  # fmt: skip


async def test_the_page_moves_and_cancels_without_script_or_account(
    client: httpx.AsyncClient, owner: Owner, booked: UUID
) -> None:
    tokens = links(owner, booked)
    path = f"/v1/links/{tokens['move']}"
    shown = (await client.get(path, headers=HTML)).text
    assert at(4).isoformat() not in shown
    wanted = at(6).isoformat()
    assert f'value="{wanted}"' in shown
    later = (await client.get(path, params={"from": at(8).date().isoformat()}, headers=HTML)).text
    assert f'value="{wanted}"' not in later
    bad = await client.post(f"{path}/page", data={"starts_at": "never"}, headers=HTML)
    assert (bad.status_code, "not on offer" in bad.text) == (422, True)
    done = await client.post(f"{path}/page", data={"starts_at": wanted}, headers=HTML)
    assert (done.status_code, done.headers["location"]) == (303, path)
    assert "The session has moved" in (await client.get(path, headers=HTML)).text
    again = await client.post(f"{path}/page", data={"starts_at": wanted}, headers=HTML)
    assert (again.status_code, "used already" in again.text) == (410, True)
    cancel = f"/v1/links/{tokens['cancel']}"
    assert "Cancelling now costs nothing." in (await client.get(cancel, headers=HTML)).text
    done = await client.post(f"{cancel}/page", data={"reason": "<b>ill</b>\r\nBcc: x"}, headers=HTML)
    assert done.status_code == 303
    assert one(owner, "select cancellation_reason from public.sessions where id = %s", [booked]).startswith("<b>ill")
    for forged in ("x", "0" * 64):
        nothing = await client.get(f"/v1/links/{forged}", headers=HTML)
        assert (nothing.status_code, 'lang="he"' in nothing.text) == (404, True)


async def test_the_api_of_a_link_says_what_it_would_cost_and_what_is_refused(
    client: httpx.AsyncClient, owner: Owner, scene: Scene, booked: UUID
) -> None:
    owner.execute(
        "update public.session_attendees set terms ="
        ' \'{"tiers": [{"hours": 240, "percent": 50}], "late_moves": "charge"}\''
        " where session_id = %s and role = 'client'",
        [booked],
    )
    tokens = links(owner, booked)
    shown = (await client.get(f"/v1/links/{tokens['cancel']}")).json()
    assert (shown["action"], shown["open"], shown["quote"]["amount_cents"]) == ("cancel", True, 15000)
    page = (await client.get(f"/v1/links/{tokens['cancel']}", headers=HTML)).text
    assert "costs ₪150.00" in page
    slots = await client.get(
        f"/v1/links/{tokens['move']}/slots", params={"from": at(5, 0).isoformat(), "to": at(99, 0).isoformat()}
    )
    assert (slots.status_code, slots.json()["code"]) == (422, "range_too_long")
    unknown = await client.post(f"/v1/links/{tokens['cancel']}", json={"reason": "x", "extra": 1})
    assert unknown.status_code == 422
    assert one(owner, "select status from public.sessions where id = %s", [booked]) == "scheduled"
    assert scene
