"""The page behind an invitation's link, as a browser asks for it."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import DictRow

from tests.support.scheduling import add_session, at, make_scene, one

Owner = psycopg.Connection[DictRow]

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(("language", "direction", "button"), [("en", "ltr", "I am coming"), ("he", "rtl", "אגיע")])
async def test_a_browser_gets_a_page_in_the_right_language_and_programs_get_json(
    owner: Owner, as_role: Any, client: httpx.AsyncClient, language: str, direction: str, button: str
) -> None:
    scene = make_scene(owner)
    owner.execute("update public.users set language = %s where id = %s", [language, scene.coach])
    session = add_session(
        owner, scene.coach, None, at(3), title="Circle <script>alert(1)</script>", location="Tel Aviv"
    )
    seat = one(
        owner,
        "insert into public.session_attendees (session_id, email, display_name) values (%s, 'g@example.com', 'G')"
        " returning id",
        [session],
    )
    with as_role("service_role") as conn:
        token = one(conn, "select token from private.issue_invitation_link(%s)", [seat])
    page = await client.get(f"/v1/invitations/{token}", headers=BROWSER)
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "script-src 'sha256-" in page.headers["content-security-policy"]
    assert f'dir="{direction}"' in page.text
    assert button in page.text
    assert "10:00" in page.text
    assert "<script>alert" not in page.text
    assert token not in page.text
    answered = await client.post(f"/v1/invitations/{token}/respond", json={"answer": "confirmed"})
    assert answered.json()["status"] == "confirmed"
    after = await client.get(f"/v1/invitations/{token}", headers=BROWSER)
    assert button not in after.text.replace("אגיע/י", "")
    program = await client.get(f"/v1/invitations/{token}", headers={"Accept": "application/json"})
    assert program.json()["language"] == language
    owner.execute("update public.sessions set status = 'cancelled' where id = %s", [session])
    closed = await client.get(f"/v1/invitations/{token}", headers=BROWSER)
    assert "<button" not in closed.text
