"""The pay page in a real browser, on a phone, with scripts switched off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.features.billing.live import Live
from tests.features.billing.shop import Shop, TranzilaShop
from tests.features.billing.world import World, one
from tests.support.browser import a_phone
from tests.support.pdf import text_of
from tests.support.waiting import until

PAY = "form[action*='/card'] button"
GET_RECEIPT = "form[action*='/receipts'] button"
GOOD = "4242 4242 4242 4242"
DECLINED = "4000 0000 0000 0002"
ASKS = "4000 0027 6000 3184"
ANSWER_LOST = "4000 0000 0000 0504"


@pytest.fixture
def phone(browser: Browser) -> Iterator[BrowserContext]:
    with a_phone(browser) as context:
        yield context


def link(shop: Shop, invoice: str, days: int = 7) -> str:
    return shop.live.call(shop.coach, "POST", f"/invoices/{invoice}/links", {"days": days})["url"]


def token_of(url: str) -> str:
    return url.rsplit("/", 1)[1]


def type_card(page: Page, number: str) -> None:
    page.fill("#number", number)
    page.fill("#expiry", "12/40")
    page.fill("#cvc", "123")
    page.click("form button:not(.quiet)")


def paid_cents(shop: Shop, invoice: str) -> int:
    return one(shop.world.owner, "select amount_paid_cents as v from public.invoices where id = %s", invoice)


def payments_of(shop: Shop, invoice: str) -> list[Any]:
    return shop.world.owner.execute(
        "select p.amount_cents, p.status::text as status from public.payments p"
        " join public.payment_intents i on i.id = p.intent_id"
        " where i.invoice_id = %s and p.status in ('paid', 'refunded')",
        [invoice],
    ).fetchall()


def asked_for(url: str) -> str:
    """The one receipt, after the button for it was pressed."""
    page = httpx.post(f"{url}/receipts", follow_redirects=True, timeout=30)
    [receipt] = re.findall(r"receipts/([0-9a-f-]{36})", page.text)
    return receipt


def fits(page: Page) -> bool:
    """Whether nothing is wider than the phone. Measured from the boxes, since the page may run no script."""
    body = page.locator("main").bounding_box()
    return body is not None and body["x"] >= 0 and body["x"] + body["width"] <= 360


@pytest.mark.parametrize(
    ("language", "direction", "said"), [("en", "ltr", "Paid. Thank you!"), ("he", "rtl", "שולם. תודה!")]
)
def test_pay_by_card_and_get_the_receipt(
    phone: BrowserContext, shop: Shop, language: str, direction: str, said: str
) -> None:
    shop.world.owner.execute(
        "update public.practices set language = %s, name = 'Dana <b>&amp; דנה' where id = %s",
        [language, shop.world.practice],
    )
    invoice = shop.invoice(25000)
    page = phone.new_page()
    page.goto(link(shop, invoice))
    assert page.locator("html").get_attribute("dir") == direction
    assert page.locator("html").get_attribute("lang") == language
    expect(page.get_by_text("Dana <b>&amp; דנה").first).to_be_visible()
    assert fits(page)
    page.click("form button")
    assert page.url.startswith(shop.live.sandbox.url)
    assert page.locator("html").get_attribute("lang") == language
    type_card(page, GOOD)
    page.wait_for_url(f"{shop.live.url}/pay/**")
    expect(page.get_by_role("status")).to_have_text(said)
    expect(page.locator(PAY)).to_have_count(0)
    assert payments_of(shop, invoice) == [{"amount_cents": 25000, "status": "paid"}]
    page.click(GET_RECEIPT)
    assert fits(page)
    receipt = page.locator("a.receipt").get_attribute("href")
    assert receipt is not None
    pdf = httpx.get(f"{shop.live.url}{receipt.replace('lang=he', 'lang=en')}", timeout=30)
    assert pdf.headers["content-type"] == "application/pdf"
    assert "250.00" in text_of(pdf.content)
    number = shop.world.row("select document_number as v from public.invoices where id = %s", invoice)["v"]
    assert number in text_of(pdf.content)


def test_pay_on_tranzilas_own_page(phone: BrowserContext, live: Live, world: World) -> None:
    world.owner.execute("update public.practices set language = 'he' where id = %s", [world.practice])
    shop = TranzilaShop(live, world)
    invoice = shop.invoice(25000)
    page = phone.new_page()
    page.goto(link(shop, invoice))
    page.click(PAY)
    assert page.url.startswith(f"{live.sandbox.url}/tranzila/{shop.terminal}/")
    assert page.locator("html").get_attribute("dir") == "rtl"
    assert fits(page)
    type_card(page, DECLINED)
    page.wait_for_url(f"{live.url}/pay/**")
    assert paid_cents(shop, invoice) == 0
    page.click(PAY)
    type_card(page, GOOD)
    page.wait_for_url(f"{live.url}/pay/**")
    expect(page.get_by_role("status")).to_have_text("שולם. תודה!")
    assert payments_of(shop, invoice) == [{"amount_cents": 25000, "status": "paid"}]
    page.reload()
    expect(page.locator(PAY)).to_have_count(0)


def test_a_declined_card_pays_nothing_and_another_may_follow(phone: BrowserContext, shop: Shop) -> None:
    invoice = shop.invoice(25000)
    page = phone.new_page()
    page.goto(link(shop, invoice))
    page.click("form button")
    type_card(page, DECLINED)
    expect(page.get_by_role("alert")).to_be_visible()
    assert paid_cents(shop, invoice) == 0
    type_card(page, GOOD)
    page.wait_for_url(f"{shop.live.url}/pay/**")
    expect(page.get_by_role("status")).to_have_text("Paid. Thank you!")
    assert len(payments_of(shop, invoice)) == 1


def test_the_question_of_the_cards_issuer_is_answered_on_the_way(phone: BrowserContext, shop: Shop) -> None:
    invoice = shop.invoice(25000)
    page = phone.new_page()
    page.goto(link(shop, invoice))
    page.click("form button")
    type_card(page, ASKS)
    page.click("button[value=approve]")
    page.wait_for_url(f"{shop.live.url}/pay/**")
    expect(page.get_by_role("status")).to_have_text("Paid. Thank you!")


def test_two_tabs_pay_once(phone: BrowserContext, shop: Shop) -> None:
    invoice = shop.invoice(25000)
    url = link(shop, invoice)
    tabs = [phone.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto(url)
    for tab in tabs:
        tab.click("form button")
    assert tabs[0].url == tabs[1].url, "both stand at one page of the gateway"
    type_card(tabs[0], GOOD)
    tabs[0].wait_for_url(f"{shop.live.url}/pay/**")
    type_card(tabs[1], GOOD)
    tabs[1].wait_for_url(f"{shop.live.url}/pay/**")
    for tab in tabs:
        expect(tab.get_by_role("status")).to_have_text("Paid. Thank you!")
    # A tab that was left open before anybody paid.
    assert payments_of(shop, invoice) == [{"amount_cents": 25000, "status": "paid"}]
    assert paid_cents(shop, invoice) == 25000


def test_a_tab_from_before_the_payment_cannot_pay_again(phone: BrowserContext, shop: Shop) -> None:
    invoice = shop.invoice(25000)
    old, page = phone.new_page(), phone.new_page()
    url = link(shop, invoice)
    old.goto(url)
    page.goto(url)
    page.click("form button")
    type_card(page, GOOD)
    page.wait_for_url(f"{shop.live.url}/pay/**")
    old.click("form button")
    old.wait_for_url(f"{shop.live.url}/pay/**")
    expect(old.get_by_role("status")).to_have_text("Paid. Thank you!")
    old.reload()
    assert len(payments_of(shop, invoice)) == 1


def test_a_way_back_that_lies_changes_nothing(phone: BrowserContext, shop: Shop) -> None:
    invoice = shop.invoice(25000)
    url = link(shop, invoice)
    page = phone.new_page()
    page.goto(url)
    page.click("form button")
    for lie in ("/back", "/back?paid=1&status=succeeded&Response=000&payment_intent=pi_1", "?looked=3&status=paid"):
        page.goto(f"{url}{lie}")
        expect(page.get_by_role("alert")).to_have_text("Nothing was paid.")
        expect(page.locator("form button")).to_be_visible()
    answer = httpx.post(f"{url}/back", data={"Response": "000", "sum": "250.00"}, follow_redirects=True, timeout=30)
    assert "Nothing was paid." in answer.text
    assert paid_cents(shop, invoice) == 0


def test_whoever_loses_the_way_comes_back_late(phone: BrowserContext, shop: Shop) -> None:
    invoice = shop.invoice(25000)
    url = link(shop, invoice)
    page = phone.new_page()
    page.goto(url)
    page.click("form button")
    type_card(page, ANSWER_LOST)
    # The gateway took the money and its answer got lost; the payer opens the link again.
    page.goto(f"{url}/back")
    until(lambda: paid_cents(shop, invoice) == 25000, "the payment is found")
    page.goto(url)
    expect(page.get_by_role("status")).to_have_text("Paid. Thank you!")
    assert len(payments_of(shop, invoice)) == 1


def test_the_card_page_that_was_left_leads_back(phone: BrowserContext, shop: Shop) -> None:
    invoice = shop.invoice(25000)
    url = link(shop, invoice)
    page = phone.new_page()
    page.goto(url)
    page.click("form button")
    page.click(f"a[href='{url}/back']")
    expect(page.locator("form button")).to_be_visible()


def test_transfer_details_and_what_is_open_after_a_part(phone: BrowserContext, shop: Shop) -> None:
    shop.live.call(
        shop.coach, "PUT", "/practice/letterhead", {"transfer_details": "Bank 10\nAccount <123>", "footer": None}
    )
    invoice = shop.invoice(25000)
    shop.live.call(shop.coach, "POST", "/payments", {"invoice_id": invoice, "amount_cents": 10000, "method": "cash"})
    page = phone.new_page()
    page.goto(link(shop, invoice))
    expect(page.locator("pre")).to_have_text("Bank 10\nAccount <123>")
    expect(page.locator(PAY)).to_have_text("Pay ₪150.00 by card")
    page.click(GET_RECEIPT)
    expect(page.locator("a.receipt")).to_have_count(1)
    expect(page.locator(GET_RECEIPT)).to_have_count(0)
    page.click("nav a")
    expect(page.locator(PAY)).to_have_text(re.compile("לתשלום.*150.00"))


def test_a_practice_without_cards_shows_the_transfer_alone(phone: BrowserContext, shop: Shop) -> None:
    shop.world.owner.execute("update public.gateway_accounts set disabled_at = now(), is_default = false")
    invoice = shop.invoice(100)
    page = phone.new_page()
    page.goto(link(shop, invoice))
    expect(page.locator("form")).to_have_count(0)
    expect(page.get_by_role("alert")).to_be_visible()
    answer = httpx.post(f"{page.url}/card", timeout=30)
    assert answer.status_code == 409
    assert paid_cents(shop, invoice) == 0


def test_void_expired_and_unknown_links_say_so(phone: BrowserContext, shop: Shop) -> None:
    invoice = shop.invoice(100)
    url = link(shop, invoice)
    shop.live.call(shop.coach, "POST", f"/invoices/{invoice}/void", {"reason": "a mistake"})
    page = phone.new_page()
    page.goto(url)
    expect(page.get_by_role("alert")).to_contain_text("void")
    expect(page.locator("form")).to_have_count(0)
    shop.world.owner.execute("update private.document_links set expires_at = now()")
    answer = page.goto(url)
    assert answer is not None
    assert answer.status == 410
    expect(page.get_by_role("alert")).to_have_count(2)
    for unknown in (str(uuid4()), "0" * 64, "x" * 500, "%00", "..%2f..", "<script>"):
        assert httpx.get(f"{shop.live.url}/pay/{unknown}", timeout=30).status_code in (400, 404)
        assert httpx.post(f"{shop.live.url}/pay/{unknown}/card", timeout=30).status_code in (400, 404)


def test_receipts_are_those_of_this_document(shop: Shop) -> None:
    mine, other = shop.invoice(100), shop.invoice(200)
    for invoice in (mine, other):
        amount = shop.live.call(shop.coach, "GET", f"/invoices/{invoice}")["total_amount_cents"]
        paid = {"invoice_id": invoice, "amount_cents": amount, "method": "cash"}
        assert shop.live.call(shop.coach, "POST", "/payments", paid)["http_status"] == 201
    url = link(shop, mine)
    receipt, theirs = asked_for(url), asked_for(link(shop, other))
    token = token_of(url)
    assert httpx.get(f"{shop.live.url}/pay/{token}/receipts/{receipt}", timeout=30).status_code == 200
    for wrong in (theirs, mine, uuid4(), "x"):
        assert httpx.get(f"{shop.live.url}/pay/{token}/receipts/{wrong}", timeout=30).status_code == 404
    assert asked_for(url) == receipt


def test_looking_at_the_page_issues_nothing_and_asking_for_a_receipt_makes_one(shop: Shop) -> None:
    invoice = shop.invoice(100)
    paid = {"invoice_id": invoice, "amount_cents": 100, "method": "cash"}
    assert shop.live.call(shop.coach, "POST", "/payments", paid)["http_status"] == 201
    url = link(shop, invoice)
    counted = "select count(*) as v from public.invoices where practice_id = %s and document_kind = 'receipt'"
    for path in ("", "?lang=he", "/back", "/document.pdf"):
        assert httpx.get(f"{url}{path}", follow_redirects=True, timeout=30).status_code == 200
    assert one(shop.world.owner, counted, shop.world.practice) == 0
    for _ in range(2):
        asked_for(url)
    assert one(shop.world.owner, counted, shop.world.practice) == 1
    assert httpx.post(f"{shop.live.url}/pay/{uuid4().hex}/receipts", timeout=30).status_code == 404


def test_the_page_gives_nothing_away(shop: Shop) -> None:
    answer = httpx.get(link(shop, shop.invoice(100)), timeout=30)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "<script" not in answer.text
    assert 'content="noindex"' in answer.text
