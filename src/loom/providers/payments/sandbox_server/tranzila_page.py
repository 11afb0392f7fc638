"""Tranzila's hosted page, as the sandbox has it."""

from __future__ import annotations

from urllib.parse import parse_qs, parse_qsl

from loom.providers.payments.sandbox_server.pages import Ask, Page, card_form, plain_page
from loom.providers.payments.sandbox_server.store import Store
from loom.providers.payments.sandbox_server.tranzila import ApiRefusal, TranzilaDesk
from loom.providers.payments.tranzila_wire import currency_of, from_report


def serve_tranzila_page(store: Store, ask: Ask, base_url: str, query: str) -> Page:
    """The page under `/tranzila/<terminal>/iframenew.php`; its fields are the address's own, as at Tranzila."""
    fields = dict(parse_qsl(query))
    lang = "he" if fields.get("lang") == "il" else "en"
    try:
        desk = TranzilaDesk(store, ask.path[1], base_url)
        currency = currency_of(fields.get("currency", ""))
        amount = from_report(fields.get("sum", ""), currency)
    except (ApiRefusal, ValueError):
        # Where something is wrong Tranzila shows a page of HTML, with a status of 200.
        return plain_page(200, lang, "missing")
    form = {name: values[-1] for name, values in parse_qs(ask.raw.decode("utf-8", "replace")).items()}
    if ask.method != "POST" or not form.get("number"):
        return card_form(lang, fields.get("pdesc", ""), amount, currency)
    way = desk.submit(fields, "".join(form["number"].split()))
    return Page(303, location=way) if way else plain_page(200, lang, "done")
