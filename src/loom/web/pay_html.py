"""The words and the markup of the pages behind a document's link, for a phone first."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from loom.core.money import Money
from loom.features.documents.layout import day, rate
from loom.features.documents.schemas import Document, Language, LinkedDocument, Receipt
from loom.features.documents.words import KINDS, LABELS

WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "from": "From {seller}",
        "for": "For {buyer}",
        "open": "To pay",
        "paid_so_far": "Paid so far",
        "pay": "Pay {amount} by card",
        "secure": "You pay on the page of the card company. We never see the number of your card.",
        "transfer": "Or by bank transfer",
        "transfer_alone": "By bank transfer",
        "transfer_name": "Please name {number} as the reference.",
        "paid": "Paid. Thank you!",
        "refunded": "The money was given back.",
        "void": "This document is void. Nothing is to be paid.",
        "credited": "This document was taken back by a credit note. Nothing is to be paid.",
        "nothing": "Nothing is to be paid.",
        "under_way": "Your payment is being confirmed. This page looks again by itself.",
        "under_way_long": "The card company has not confirmed your payment yet. No need to pay again; come back later.",
        "not_paid": "Nothing was paid.",
        "no_card": "Please ask {seller} how to pay.",
        "document": "Open as PDF",
        "receipt": "{kind} {number}",
        "receipts": "Receipts",
        "get_receipt": "Get the receipt",
        "other": "עברית",
        "not_found": "This link is not good. Please ask whoever sent it for a new one.",
        "link_expired": "This link has expired. Please ask whoever sent it for a new one.",
        "gateway_unavailable": "Paying by card does not work right now. Nothing was charged. Please try again shortly.",
        "gateway_refused": "Paying by card does not work here. Nothing was charged. Please ask how else to pay.",
        "rate_limited": "That was too often. Please try again in a minute.",
        "failed": "That did not work. Nothing was charged. Please try again shortly.",
    },
    "he": {
        "from": "מאת {seller}",
        "for": "עבור {buyer}",
        "open": "לתשלום",
        "paid_so_far": "שולם עד כה",
        "pay": "לתשלום {amount} בכרטיס",
        "secure": "התשלום נעשה בדף של חברת הסליקה. מספר הכרטיס אינו מגיע אלינו.",
        "transfer": "או בהעברה בנקאית",
        "transfer_alone": "בהעברה בנקאית",
        "transfer_name": "נא לציין את {number} בהעברה.",
        "paid": "שולם. תודה!",
        "refunded": "הכסף הוחזר.",
        "void": "המסמך מבוטל. אין מה לשלם.",
        "credited": "המסמך זוכה בחשבונית זיכוי. אין מה לשלם.",
        "nothing": "אין מה לשלם.",
        "under_way": "התשלום בבדיקה. הדף יתעדכן מעצמו.",
        "under_way_long": "חברת הסליקה עוד לא אישרה את התשלום. אין צורך לשלם שוב; אפשר לחזור לכאן מאוחר יותר.",
        "not_paid": "לא בוצע תשלום.",
        "no_card": "אפשר לברר עם {seller} איך לשלם.",
        "document": "פתיחה כ־PDF",
        "receipt": "{kind} {number}",
        "receipts": "קבלות",
        "get_receipt": "לקבלת הקבלה",
        "other": "English",
        "not_found": "הקישור אינו תקין. אפשר לבקש קישור חדש ממי ששלח אותו.",
        "link_expired": "תוקף הקישור פג. אפשר לבקש קישור חדש ממי ששלח אותו.",
        "gateway_unavailable": "אי אפשר לשלם בכרטיס כרגע. לא בוצע חיוב. כדאי לנסות שוב בעוד רגע.",
        "gateway_refused": "אי אפשר לשלם כאן בכרטיס. לא בוצע חיוב. אפשר לברר איך לשלם אחרת.",
        "rate_limited": "יותר מדי ניסיונות. אפשר לנסות שוב בעוד דקה.",
        "failed": "זה לא הצליח. לא בוצע חיוב. כדאי לנסות שוב בעוד רגע.",
    },
}

STYLE = """:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:#f4f4f6;color:#1b1b1f;font:1.05rem/1.5 system-ui,sans-serif}
main{max-inline-size:34rem;margin:0 auto;padding:1.2rem;background:#fff;min-block-size:100vh}
img{max-block-size:4rem;max-inline-size:60%}
h1{font-size:1.4rem;margin:.4rem 0 0}
h2{font-size:1.1rem;margin:1.2rem 0 0}
p{margin:.4rem 0}
.quiet{color:#5a5a62;font-size:.95rem}
ul{list-style:none;margin:1rem 0;padding:0;border-block-start:1px solid #ddd}
li,.sum{display:flex;justify-content:space-between;gap:1rem;padding:.6rem 0;border-block-end:1px solid #ddd}
li span:first-child{overflow-wrap:anywhere;min-inline-size:0}
.sum{border:0;padding:.15rem 0}
.amount{white-space:nowrap}
.total{font-weight:700;font-size:1.2rem}
button,.button{display:block;inline-size:100%;padding:.9rem;margin:1rem 0 .4rem;font:inherit;font-weight:700;
text-align:center;border:0;border-radius:.5rem;background:#1f5fbf;color:#fff;text-decoration:none}
button.quiet{background:#eee;color:#1b1b1f;font-weight:400;font-size:1rem}
button:focus-visible,a:focus-visible{outline:3px solid #f5a623;outline-offset:2px}
[role=status]{padding:.8rem;border-radius:.5rem;background:#e8f3ea;border:1px solid #2e7d32}
[role=alert]{padding:.8rem;border-radius:.5rem;background:#fdf3e1;border:1px solid #b26a00}
pre{font:inherit;white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f6;padding:.8rem;border-radius:.5rem}
pre{margin:.4rem 0}
nav{margin-block-start:2rem}"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is known beside the document. `look_again` is where the page goes by itself while a payment is under way."""

    token: str
    language: Language
    receipts: list[Receipt] = field(default_factory=list[Receipt])
    came_back: bool = False
    look_again: str | None = None


def show(found: LinkedDocument, shown: Shown) -> str:
    """The page of a document: what it says, how it stands, and how to pay what is open."""
    document, words = found.content, WORDS[shown.language]
    kind = KINDS[shown.language][document.kind]
    title = f"{kind} {document.number or ''}".strip()
    logo = f'<img src="/pay/{shown.token}/logo" alt="{escape(document.seller_name)}">' if found.logo else ""
    parts = [
        logo,
        f'<h1>{escape(kind)} <bdi class="amount">{escape(document.number or "")}</bdi></h1>',
        f'<p dir="auto">{escape(words["from"].format(seller=document.seller_name))}</p>',
        f'<p class="quiet" dir="auto">{escape(words["for"].format(buyer=document.buyer_name))}</p>'
        if document.buyer_name
        else "",
        f'<p class="quiet">{escape(_dates(document, shown.language))}</p>',
        _state(found, shown),
        _lines(document, shown.language),
        _totals(found, shown.language),
        _ways_to_pay(found, shown),
        _papers(found, shown),
    ]
    refresh = f'<meta http-equiv="refresh" content="3;url={escape(shown.look_again)}">' if shown.look_again else ""
    return _whole(shown.language, title, "".join(parts), f"/pay/{shown.token}?lang=", refresh)


def problem_page(code: str, language: Language | None) -> str:
    """A refusal, in the language asked for or in both."""
    said = code if code in WORDS["en"] else "failed"
    languages: list[Language] = [language] if language else ["en", "he"]
    body = "".join(
        f'<p role="alert" lang="{one}" dir="{"rtl" if one == "he" else "ltr"}">{escape(WORDS[one][said])}</p>'
        for one in languages
    )
    return _whole(languages[0], "Loom", body, None, "")


def _whole(language: Language, title: str, body: str, switch: str | None, head: str) -> str:
    other: Language = "en" if language == "he" else "he"
    nav = (
        f'<nav><a href="{switch}{other}" lang="{other}" hreflang="{other}">{escape(WORDS[language]["other"])}</a></nav>'
        if switch
        else ""
    )
    return (
        f'<!doctype html><html lang="{language}" dir="{"rtl" if language == "he" else "ltr"}"><head>'
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="robots" content="noindex">{head}<title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body><main>{body}{nav}</main></body></html>"
    )


def _dates(document: Document, language: Language) -> str:
    words = LABELS[language]
    found = [f"{words['date']}: {day(document.issued_at or document.drafted_at, document.timezone, language)}"]
    if document.due_date is not None:
        found.append(f"{words['due']}: {day(document.due_date, document.timezone, language)}")
    return " · ".join(found)


def _state(found: LinkedDocument, shown: Shown) -> str:
    words, state = WORDS[shown.language], found.state
    if state.payment_under_way:
        said = "under_way" if shown.look_again else "under_way_long"
        return f'<p role="status">{escape(words[said])}</p>'
    if state.display_status in ("void", "credited"):
        return f'<p role="alert">{escape(words[state.display_status])}</p>'
    if state.display_status in ("paid", "refunded"):
        return f'<p role="status">{escape(words[state.display_status])}</p>'
    if shown.came_back and state.balance_cents > 0:
        return f'<p role="alert">{escape(words["not_paid"])}</p>'
    return ""


def _lines(document: Document, language: Language) -> str:
    rows = "".join(
        f'<li><span dir="auto">{escape(line.description)}{f" × {line.quantity}" if line.quantity > 1 else ""}</span>'
        f'<span class="amount">{_money(line.total_cents, document, language)}</span></li>'
        for line in document.lines
    )
    return f"<ul>{rows}</ul>"


def _totals(found: LinkedDocument, language: Language) -> str:
    document, state, words = found.content, found.state, LABELS[language]
    rows: list[tuple[str, int, bool]] = []
    if document.discount_cents:
        rows.append((words["discount"], -document.discount_cents, False))
    if document.tax_rate_bp:
        tax = words["vat" if document.country == "IL" else "tax"].format(rate=rate(document.tax_rate_bp))
        rows += [(words["subtotal"], document.subtotal_cents, False), (tax, document.tax_cents, False)]
    rows.append((words["total"], document.total_cents, state.balance_cents in (0, document.total_cents)))
    if 0 < state.balance_cents < document.total_cents:
        rows.append((WORDS[language]["paid_so_far"], document.total_cents - state.balance_cents, False))
        rows.append((WORDS[language]["open"], state.balance_cents, True))
    return "".join(
        f'<div class="sum{" total" if strong else ""}"><span>{escape(label)}</span>'
        f'<span class="amount">{_money(amount, document, language)}</span></div>'
        for label, amount, strong in rows
    )


def _ways_to_pay(found: LinkedDocument, shown: Shown) -> str:
    document, state, words = found.content, found.state, WORDS[shown.language]
    if state.balance_cents <= 0 or state.payment_under_way:
        return ""
    parts: list[str] = []
    if state.takes_cards:
        amount = Money(state.balance_cents, document.currency).text(shown.language)
        parts.append(
            f'<form method="post" action="/pay/{shown.token}/card?lang={shown.language}">'
            f"<button>{escape(words['pay'].format(amount=amount))}</button></form>"
            f'<p class="quiet">{escape(words["secure"])}</p>'
        )
    if document.transfer_details:
        heading = words["transfer" if state.takes_cards else "transfer_alone"]
        name = words["transfer_name"].format(number=document.number or "")
        parts.append(
            f'<h2>{escape(heading)}</h2><pre dir="auto">{escape(document.transfer_details)}</pre>'
            f'<p class="quiet">{escape(name)}</p>'
        )
    if not parts:
        parts.append(f'<p role="alert" dir="auto">{escape(words["no_card"].format(seller=document.seller_name))}</p>')
    return "".join(parts)


def _papers(found: LinkedDocument, shown: Shown) -> str:
    words, lang = WORDS[shown.language], shown.language
    receipts = "".join(
        f'<p><a class="receipt" href="/pay/{shown.token}/receipts/{receipt.id}?lang={lang}">'
        f"{escape(words['receipt'].format(kind=KINDS[lang][receipt.kind], number=receipt.number or ''))}</a></p>"
        for receipt in shown.receipts
    )
    if found.state.receipts_due:
        receipts += (
            f'<form method="post" action="/pay/{shown.token}/receipts?lang={lang}">'
            f'<button class="quiet">{escape(words["get_receipt"])}</button></form>'
        )
    heading = f"<h2>{escape(words['receipts'])}</h2>" if receipts else ""
    document = f'<p><a href="/pay/{shown.token}/document.pdf?lang={lang}">{escape(words["document"])}</a></p>'
    return f"{heading}{receipts}{document}"


def _money(amount_cents: int, document: Document, language: Language) -> str:
    return escape(Money(amount_cents, document.currency).text(language))
