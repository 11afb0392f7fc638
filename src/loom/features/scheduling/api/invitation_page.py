"""The page behind an invitation's link: what it is about, and two buttons. For people; programs get JSON."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse

from loom.features.scheduling.letters import when
from loom.features.scheduling.schemas import Invitation

_WORDS = {
    "en": {
        "intro": "{coach} invites you",
        "when": "When",
        "where": "Where",
        "confirmed": "I am coming",
        "declined": "I cannot come",
        "invited_now": "You have not answered yet.",
        "confirmed_now": "You are coming. You can change your answer until the session starts.",
        "declined_now": "You are not coming. You can change your answer until the session starts.",
        "checked_in_now": "You were there.",
        "closed": "This session takes no answers any more.",
        "failed": "That did not work. Please load the page again.",
        "noscript": "Answering here needs JavaScript. You can also simply reply to your coach.",
    },
    "he": {
        "intro": "הזמנה מאת {coach}",
        "when": "מתי",
        "where": "איפה",
        "confirmed": "אגיע",
        "declined": "לא אוכל להגיע",
        "invited_now": "עדיין לא ענית.",
        "confirmed_now": "אישרת הגעה. אפשר לשנות את התשובה עד תחילת המפגש.",
        "declined_now": "ענית שלא תגיע/י. אפשר לשנות את התשובה עד תחילת המפגש.",
        "checked_in_now": "השתתפת במפגש.",
        "closed": "המפגש הזה אינו מקבל עוד תשובות.",
        "failed": "זה לא הצליח. כדאי לטעון את הדף מחדש.",
        "noscript": "כדי לענות כאן נדרש JavaScript. אפשר גם פשוט להשיב למאמן/ת.",
    },
}

_STYLE = (
    "body{font-family:system-ui,sans-serif;line-height:1.5;max-width:34rem;margin:3rem auto;padding:0 1rem}"
    "button{font:inherit;padding:.6rem 1.2rem;margin-inline-end:.6rem;border:1px solid;border-radius:.4rem;"
    "cursor:pointer}"
)
_SCRIPT = (
    "for(const b of document.querySelectorAll('button'))b.onclick=async()=>{"
    "const r=await fetch(location.pathname+'/respond',{method:'POST',"
    "headers:{'Content-Type':'application/json'},body:JSON.stringify({answer:b.value})});"
    "if(r.ok)location.reload();else document.getElementById('state').textContent=document.body.dataset.failed}"
)


def _source(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src {_source(_STYLE)}; script-src {_source(_SCRIPT)}; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Vary": "Accept",
}


def is_for_people(request: Request) -> bool:
    """Whether whoever asks names HTML and not JSON, as browsers do."""
    accepts = request.headers.get("accept", "")
    return "text/html" in accepts and "application/json" not in accepts


def page(invitation: Invitation) -> HTMLResponse:
    """The invitation as a page of its own, in the language and direction of whoever it is for."""
    words = _WORDS[invitation.language]
    facts = [
        (
            words["when"],
            when(invitation.starts_at, invitation.ends_at, invitation.timezone or "UTC", invitation.language),
        )
    ]
    if invitation.location:
        facts.append((words["where"], invitation.location))
    is_open = invitation.session_status == "scheduled" and invitation.status != "checked_in"
    state = words[f"{invitation.status}_now"] if is_open or invitation.status == "checked_in" else words["closed"]
    buttons = "".join(
        f'<button value="{answer}">{escape(words[answer])}</button>'
        for answer in ("confirmed", "declined")
        if is_open and invitation.status != answer
    )
    intro = words["intro"].format(coach=invitation.coach_name or "Loom")
    return HTMLResponse(
        f'<!doctype html><html lang="{invitation.language}" dir="{"rtl" if invitation.language == "he" else "ltr"}">'
        f'<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(invitation.title)}</title><style>{_STYLE}</style></head>"
        f'<body data-failed="{escape(words["failed"])}"><p>{escape(intro)}</p><h1>{escape(invitation.title)}</h1>'
        + (f"<p>{escape(invitation.description)}</p>" if invitation.description else "")
        + "".join(f"<p><strong>{escape(label)}:</strong> {escape(value)}</p>" for label, value in facts)
        + f'<p id="state" role="status">{escape(state)}</p><p>{buttons}</p>'
        f"<noscript><p>{escape(words['noscript'])}</p></noscript><script>{_SCRIPT}</script></body></html>",
        headers=_HEADERS,
    )
