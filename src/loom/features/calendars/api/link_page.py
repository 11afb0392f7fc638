"""The page behind a link: what it would do, and a button that does it. For people; programs get JSON.

Opening the page changes nothing, so a scanner that follows every link in a mail uses none up. The page needs no script.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timedelta
from html import escape
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time
from starlette.requests import Request
from starlette.responses import HTMLResponse

from loom.core.errors import AppError
from loom.core.money import Money
from loom.features.calendars.api.link_words import REFUSALS, WORDS
from loom.features.calendars.letters import when
from loom.features.calendars.schemas import Language, Link, OfferedSlot

DAYS_SHOWN = 14

_STYLE = (
    "body{font-family:system-ui,sans-serif;line-height:1.5;max-width:34rem;margin:3rem auto;padding:0 1rem}"
    "button{font:inherit;padding:.6rem 1.2rem;border:1px solid;border-radius:.4rem;cursor:pointer}"
    "label{display:inline-block;padding:.3rem .6rem}textarea{font:inherit;inline-size:100%;box-sizing:border-box}"
    "[role=alert]{border-inline-start:.3rem solid;padding-inline-start:.8rem}"
)
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Vary": "Accept",
}


def is_for_people(request: Request) -> bool:
    """Whether whoever asks names HTML and not JSON, as browsers do."""
    accepts = request.headers.get("accept", "")
    return "text/html" in accepts and "application/json" not in accepts


def page(
    link: Link,
    address: str,
    slots: list[OfferedSlot] | None,
    shown_from: datetime | None,
    refused: AppError | None = None,
) -> HTMLResponse:
    """The link as a page in the language and direction of whoever it is for. `address` is where its form goes."""
    words = WORDS[link.language]
    coach = link.coach_name or "Loom"
    facts = [(words["when"], when(link.starts_at, link.ends_at, link.timezone, link.language))]
    if link.location:
        facts.append((words["where"], link.location))
    parts = [f"<p>{escape(words['intro'].format(coach=coach))}</p><h1>{escape(link.title)}</h1>"]
    parts += [f"<p><strong>{escape(label)}:</strong> <bdi>{escape(value)}</bdi></p>" for label, value in facts]
    if refused is not None:
        parts.append(f'<p role="alert">{escape(_refusal(refused, link.language))}</p>')
    parts.append(f'<p role="status">{escape(_state(link))}</p>')
    if link.open:
        parts.append(_form(link, address, slots, shown_from))
    return _html(link.language, link.title, "".join(parts), refused.status if refused else 200)


def refusal_page(refused: AppError) -> HTMLResponse:
    """A link that opens nothing. Whose language it would have been is not known, so it says it in both."""
    parts = "".join(
        f'<p lang="{language}" dir="{_direction(language)}" role="alert">{escape(_refusal(refused, language))}</p>'
        for language in WORDS
    )
    return _html("en", "Loom", parts, refused.status)


def _refusal(refused: AppError, language: Language) -> str:
    words = REFUSALS[language]
    return words.get(refused.code, words["other"])


def _state(link: Link) -> str:
    words = WORDS[link.language]
    if link.session_status == "cancelled":
        return words["session_cancelled"]
    if link.is_cancelled:
        return words["given_up"]
    if link.used:
        return words[f"{link.action}_done"]
    if not link.open:
        return words["closed"]
    return words[f"{link.status}_now"]


def _form(link: Link, address: str, slots: list[OfferedSlot] | None, shown_from: datetime | None) -> str:
    words = WORDS[link.language]
    fields, button = "", words[link.action]
    cost = _cost(link)
    if link.action == "cancel":
        fields = (
            f'<p><label for="reason">{escape(words["reason"])}</label>'
            '<textarea id="reason" name="reason" maxlength="2000" rows="3"></textarea></p>'
        )
    if link.action == "move":
        if link.quote is not None and not link.quote.may_move:
            return f"<p>{escape(REFUSALS[link.language]['move_too_late'])}</p>"
        fields = _choices(link, slots or []) + _further(address, words, shown_from)
        if not slots:
            return fields
    return (
        f'{cost}<form method="post" action="{escape(address)}">{fields}'
        f'<p><button type="submit">{escape(button)}</button></p></form>'
    )


def _choices(link: Link, slots: list[OfferedSlot]) -> str:
    """The free starts, by day of the person's own clock."""
    words, zone = WORDS[link.language], ZoneInfo(link.timezone)
    if not slots:
        return f"<p>{escape(words['no_slots'])}</p>"
    days: dict[str, list[str]] = {}
    for slot in slots:
        local = slot.starts_at.astimezone(zone)
        day = format_date(local, format="full", locale=link.language)
        hour = format_time(local, format="short", tzinfo=zone, locale=link.language)
        days.setdefault(day, []).append(
            f'<label><input type="radio" name="starts_at" required value="{slot.starts_at.isoformat()}"> '
            f"<bdi>{escape(hour)}</bdi></label>"
        )
    return "".join(
        f"<fieldset><legend>{escape(day)}</legend>{''.join(times)}</fieldset>" for day, times in days.items()
    )


def _further(address: str, words: dict[str, str], shown_from: datetime | None) -> str:
    if shown_from is None:
        return ""
    later = (shown_from + timedelta(days=DAYS_SHOWN)).date().isoformat()
    return f'<p><a href="{escape(address)}?from={later}">{escape(words["later"])}</a></p>'


def _cost(link: Link) -> str:
    words, quote = WORDS[link.language], link.quote
    if quote is None or link.action != "cancel":
        return ""
    if not quote.amount_cents or quote.currency is None:
        return f"<p>{escape(words['costs_nothing'])}</p>"
    amount = Money(quote.amount_cents, quote.currency).text(link.language)
    return f"<p><strong>{escape(words['costs'].format(amount=amount))}</strong></p>"


def _direction(language: Language) -> str:
    return "rtl" if language == "he" else "ltr"


def _html(language: Language, title: str, body: str, status: int) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="{language}" dir="{_direction(language)}">'
        '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta name="robots" content="noindex"><title>{escape(title)}</title><style>{_STYLE}</style></head>'
        f"<body>{body}</body></html>",
        status_code=status,
        headers=_HEADERS,
    )
