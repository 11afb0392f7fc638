"""The pages that people see: the hosted card page, and the card issuer's question. In two languages, no scripts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import parse_qs

from loom.core.money import Money
from loom.providers.payments.sandbox_server.cards import BY_NUMBER, BY_TOKEN
from loom.providers.payments.sandbox_server.checkout import Checkout
from loom.providers.payments.sandbox_server.desk import Desk, Refusal
from loom.providers.payments.sandbox_server.intents import Intents
from loom.providers.payments.sandbox_server.methods import Methods
from loom.providers.payments.sandbox_server.store import Object, Store

HTML = "text/html; charset=utf-8"

_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Card payment", "setup": "Save a card", "sandbox": "A sandbox: no real money, no real cards.",
        "amount": "Amount", "number": "Card number", "expiry": "Valid until (MM/YY)", "cvc": "Security code",
        "pay": "Pay {amount}", "keep": "Save the card", "back": "Back without paying", "other": "עברית",
        "done": "Paid. You may close this page.", "expired": "This page is no longer valid. Nothing was charged.",
        "missing": "There is no such payment.",
        "unknown": "The sandbox does not know this card. Try 4242 4242 4242 4242.",
        "bad_expiry": "The date must be in the future, as MM/YY.", "bad_cvc": "The security code has 3 or 4 digits.",
        "question": "Your bank asks: do you approve {amount}?",
        "question_setup": "Your bank asks: do you approve saving the card?",
        "approve": "Approve", "refuse": "Refuse", "answered": "Nothing is asked of you. You may close this page.",
        "try": "Cards to try",
        "lost": "The bank did not answer. Do not pay again before you have looked at your invoice.",
        "Your card was declined.": "Your card was declined.",
        "The payer did not prove to be the card's owner.": "Your bank did not confirm the payment.",
    },
    "he": {
        "title": "תשלום בכרטיס", "setup": "שמירת כרטיס", "sandbox": "סביבת ניסוי: בלי כסף אמיתי ובלי כרטיסים אמיתיים.",
        "amount": "סכום", "number": "מספר כרטיס", "expiry": "תוקף (MM/YY)", "cvc": "קוד אבטחה",
        "pay": "לתשלום {amount}", "keep": "לשמירת הכרטיס", "back": "חזרה בלי לשלם", "other": "English",
        "done": "שולם. אפשר לסגור את הדף.", "expired": "הדף כבר אינו בתוקף. לא חויבת.",
        "missing": "אין תשלום כזה.", "unknown": "הכרטיס אינו מוכר בסביבת הניסוי. נסו 4242 4242 4242 4242.",
        "bad_expiry": "התוקף צריך להיות בעתיד, בצורה MM/YY.", "bad_cvc": "קוד האבטחה הוא 3 או 4 ספרות.",
        "question": "הבנק שלך שואל: לאשר {amount}?", "question_setup": "הבנק שלך שואל: לאשר את שמירת הכרטיס?",
        "approve": "אישור", "refuse": "סירוב", "answered": "אין שאלה פתוחה. אפשר לסגור את הדף.",
        "try": "כרטיסים לניסוי", "lost": "הבנק לא ענה. אין לשלם שוב לפני בדיקה של החשבונית.",
        "Your card was declined.": "הכרטיס נדחה.",
        "The payer did not prove to be the card's owner.": "הבנק שלך לא אישר את התשלום.",
    },
}  # fmt: skip
_SHOWN_CARDS = (
    "pm_card_visa", "pm_card_chargeDeclined", "pm_card_authenticationRequired",
    "pm_card_chargeDeclinedInsufficientFunds",
    "pm_sandbox_partial", "pm_sandbox_answerLost", "pm_card_refundFail",
)  # fmt: skip
_STYLE = (
    "body{font:1.05rem/1.5 system-ui,sans-serif;max-width:26rem;margin:0 auto;padding:1rem;color:#1b1b1f}"
    "label{display:block;margin:.8rem 0 .2rem}input{font:inherit;width:100%;box-sizing:border-box;padding:.6rem;"
    "border:1px solid #777;border-radius:.4rem}button{font:inherit;width:100%;padding:.8rem;margin:1rem 0 .3rem;"
    "border:0;border-radius:.4rem;background:#1f5fbf;color:#fff}button.quiet{background:#eee;color:#1b1b1f}"
    "[role=alert]{background:#fdecec;border:1px solid #b3261e;padding:.6rem;border-radius:.4rem}"
    "small,summary{color:#555}"
    "td{padding:.1rem .6rem .1rem 0}"
)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, read."""

    method: str
    path: list[str]
    query: Object
    headers: dict[str, str]
    raw: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """What a browser gets."""

    status: int
    content: str = ""
    location: str | None = None


@dataclass(frozen=True, slots=True)
class _Visit:
    desk: Desk
    id: str
    lang: str
    post: dict[str, str] | None

    def words(self, name: str, **values: str) -> str:
        return _WORDS[self.lang].get(name, name).format(**values)

    def money(self, amount: int, currency: str) -> str:
        return Money(amount, currency.upper()).text(self.lang)


def serve_page(store: Store, ask: Ask, base_url: str) -> Page:
    """The page under `/checkout/<session>` or `/challenge/<intent>`, inside a transaction of the store."""
    object_id = ask.path[1] if len(ask.path) == 2 else ""
    owner = store.owner_of(object_id)
    asked = str(ask.query.get("lang", ""))
    form = {name: values[-1] for name, values in parse_qs(ask.raw.decode("utf-8", "replace")).items()}
    if owner is None or ask.method not in ("GET", "POST"):
        return _page(404, "en", "missing", f"<p>{_WORDS['en']['missing']}</p><p dir=rtl>{_WORDS['he']['missing']}</p>")
    desk = Desk(store, owner, base_url)
    visit = _Visit(
        desk,
        object_id,
        asked if asked in _WORDS else _language(desk, object_id),
        form if ask.method == "POST" else None,
    )
    return _checkout(visit) if ask.path[0] == "checkout" else _challenge(visit)


def _language(desk: Desk, object_id: str) -> str:
    session = desk.store.get(desk.account, "checkout.session", object_id) or Checkout(desk).of_intent(object_id)
    return "he" if session and str(session["locale"]).startswith("he") else "en"


# the hosted card page


def _checkout(visit: _Visit) -> Page:
    checkout = Checkout(visit.desk)
    try:
        session = checkout.follow(checkout.get(visit.id))
    except Refusal:
        return _page(404, visit.lang, "missing", f"<p>{visit.words('missing')}</p>")
    problem = session["_error"]
    if visit.post is not None and session["status"] == "open":
        token, problem = _card(visit)
        if token:
            try:
                session = checkout.submit(visit.id, token)
                problem = session["_error"]
            except Refusal as no:
                # Nothing arrived, or nobody knows: the page says so, and the session may be paid again.
                problem = "lost" if no.status >= 500 else str(no)
            if visit.desk.answer_lost:
                return _page(
                    504, visit.lang, "title", f"<p role=alert>{visit.words('lost')}</p>{_way_back(visit, session)}"
                )
    asked = _question_of(visit.desk, session)
    if visit.post is not None and asked:
        return Page(303, location=asked)
    if session["status"] == "complete":
        return Page(303, location=_success(session))
    if session["status"] == "expired":
        return _page(410, visit.lang, "title", f"<p role=alert>{visit.words('expired')}</p>{_way_back(visit, session)}")
    return _page(200 if not problem else 402, visit.lang, _title(session), _form(visit, session, problem))


def _title(session: Object) -> str:
    return "setup" if session["mode"] == "setup" else "title"


def _success(session: Object) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _question_of(desk: Desk, session: Object) -> str | None:
    kind = "setup_intent" if session["mode"] == "setup" else "payment_intent"
    made = desk.store.get(desk.account, kind, str(session[kind])) if session[kind] else None
    action: Any = made["next_action"] if made else None
    return str(action["redirect_to_url"]["url"]) if action else None


def _card(visit: _Visit) -> tuple[str | None, str | None]:
    """The test card whose number was typed, or what was wrong with it. The number itself goes no further."""
    form = visit.post or {}
    card = BY_NUMBER.get("".join(form.get("number", "").split()))
    month, _, year = form.get("expiry", "").partition("/")
    if card is None:
        return None, "unknown"
    if not _in_future(month.strip(), year.strip(), visit.desk.now()):
        return None, "bad_expiry"
    if not (form.get("cvc", "").isdigit() and len(form["cvc"]) in (3, 4)):
        return None, "bad_cvc"
    return card.token, None


def _in_future(month: str, year: str, now: int) -> bool:
    if not (month.isdigit() and year.isdigit() and 1 <= int(month) <= 12 and len(year) in (2, 4)):
        return False
    today = datetime.fromtimestamp(now, UTC)
    return (int(year) % 100, int(month)) >= (today.year % 100, today.month)


def _form(visit: _Visit, session: Object, problem: str | None) -> str:
    setup = session["mode"] == "setup"
    amount = "" if setup else visit.money(session["amount_total"], session["currency"])
    alert = f"<p role=alert>{escape(visit.words(problem))}</p>" if problem else ""
    return (
        alert
        + _fields(visit.lang, session["_name"] or "", amount)
        + _way_back(visit, session)
        + _cards_to_try(visit.lang)
    )


def _fields(lang: str, what: str, amount: str) -> str:
    """What a person fills in; without an amount the card is only kept."""
    words = _WORDS[lang]
    total = f"<p>{escape(what)}<br><strong>{words['amount']}: {escape(amount)}</strong></p>" if amount else ""
    inputs = "".join(
        f"<label for={name}>{words[name]}</label>"
        f"<input id={name} name={name} dir=ltr required inputmode={mode} autocomplete={fill} maxlength={most}>"
        for name, mode, fill, most in (
            ("number", "numeric", "cc-number", 23),
            ("expiry", "text", "cc-exp", 7),
            ("cvc", "numeric", "cc-csc", 4),
        )
    )
    button = words["pay"].format(amount=escape(amount)) if amount else words["keep"]
    return f"{total}<form method=post>{inputs}<button>{button}</button></form>"


def _cards_to_try(lang: str) -> str:
    rows = "".join(
        f"<tr><td dir=ltr>{BY_TOKEN[token].number}</td><td dir=ltr>{token[3:]}</td></tr>" for token in _SHOWN_CARDS
    )
    return f"<details><summary>{_WORDS[lang]['try']}</summary><table>{rows}</table></details>"


def card_form(lang: str, what: str, amount_cents: int, currency: str) -> Page:
    """A page that asks for a card, for other dialects."""
    amount = Money(amount_cents, currency).text(lang)
    return _page(200, lang, "title", _fields(lang, what, amount) + _cards_to_try(lang))


def plain_page(status: int, lang: str, words: str) -> Page:
    """A page that says one thing, for other dialects."""
    return _page(status, lang, "title", f"<p>{_WORDS[lang][words]}</p>")


def _way_back(visit: _Visit, session: Object) -> str:
    other = "en" if visit.lang == "he" else "he"
    url = session["cancel_url"]
    back = f"<p><a href='{escape(url, quote=True)}'>{visit.words('back')}</a></p>" if url else ""
    return f"{back}<p><a href='?lang={other}' lang={other}>{visit.words('other')}</a></p>"


# the question of the card's issuer


def _challenge(visit: _Visit) -> Page:
    desk = visit.desk
    kind = "setup_intent" if visit.id.startswith("seti") else "payment_intent"
    made = desk.store.get(desk.account, kind, visit.id)
    if made is None:
        return _page(404, visit.lang, "missing", f"<p>{visit.words('missing')}</p>")
    if made["status"] != "requires_action":
        return _page(200, visit.lang, "title", f"<p>{visit.words('answered')}</p>")
    if visit.post is None:
        setup = kind == "setup_intent"
        text = (
            visit.words("question_setup")
            if setup
            else visit.words("question", amount=visit.money(made["amount"], made["currency"]))
        )
        buttons = (
            f"<button name=answer value=approve>{visit.words('approve')}</button>"
            f"<button class=quiet name=answer value=refuse>{visit.words('refuse')}</button>"
        )
        return _page(200, visit.lang, "title", f"<p>{escape(text)}</p><form method=post>{buttons}</form>")
    back = made["next_action"]["redirect_to_url"]["return_url"]
    approved = visit.post.get("answer") == "approve"
    if kind == "setup_intent":
        Methods(desk).answer_setup(visit.id, approved=approved)
    else:
        Intents(desk).answer(visit.id, approved=approved)
    checkout = Checkout(desk)
    session = checkout.of_intent(visit.id)
    if session is not None:
        followed = checkout.follow(session)
        return Page(
            303, location=_success(followed) if followed["status"] == "complete" else f"/checkout/{followed['id']}"
        )
    if back:
        return Page(303, location=str(back))
    return _page(200, visit.lang, "title", f"<p>{visit.words('done' if approved else 'answered')}</p>")


def _page(status: int, lang: str, title: str, body: str) -> Page:
    words = _WORDS[lang]
    direction = "rtl" if lang == "he" else "ltr"
    head = words.get(title, words["title"])
    return Page(
        status,
        f"<!doctype html><html lang={lang} dir={direction}><meta charset=utf-8>"
        f"<meta name=viewport content='width=device-width,initial-scale=1'><title>{head}</title><style>{_STYLE}</style>"
        f"<main><h1>{head}</h1><p><small>{words['sandbox']}</small></p>{body}</main></html>",
    )
