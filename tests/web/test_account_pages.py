"""The pages that mailed links lead to."""

from __future__ import annotations

import re

import httpx
import pytest


@pytest.mark.parametrize("path", ["/sign-up", "/verify-email", "/reset-password"])
async def test_a_mailed_link_leads_to_a_page_in_the_persons_language(client: httpx.AsyncClient, path: str) -> None:
    for lang, direction in (("en", "ltr"), ("he", "rtl")):
        page = await client.get(path, params={"lang": lang})
        assert page.status_code == 200
        assert f'<html lang="{lang}" dir="{direction}">' in page.text


@pytest.mark.parametrize("path", ["/sign-up", "/verify-email", "/reset-password"])
async def test_a_page_runs_only_what_its_policy_allows(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path)
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert re.findall(r"<script(?! src=)|<style| on[a-z]+=| style=", page.text) == []
    for asset in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert (await client.get(asset)).status_code == 200


@pytest.mark.parametrize("path", ["/verify-email", "/reset-password"])
async def test_a_page_posts_to_a_route_that_exists(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path)
    route = re.search(r'data-route="([^"]+)"', page.text)
    assert route is not None
    answer = await client.post(route[1], json={"token": "made up", "password": "long enough for it"})
    assert answer.status_code == 422


async def test_the_sign_up_page_knows_the_address_and_sends_what_the_route_takes(client: httpx.AsyncClient) -> None:
    page = await client.get("/sign-up", params={"lang": "he", "email": 'new"><script>@example.org'})
    assert "<script>@" not in page.text
    names = re.findall(r'<input[^>]* name="([a-z]+)"', page.text)
    sent = dict.fromkeys(names, "he") | {"email": "page@example.org", "password": "long enough for it"}
    assert sorted(sent) == ["email", "language", "password"]
    route = re.search(r'data-route="([^"]+)"', page.text)
    assert route is not None
    assert (await client.post(route[1], json=sent)).is_success
