"""The page behind a link that switches a kind of mail off: one button, in both languages, since nobody is signed in."""

from __future__ import annotations

from typing import Literal

from starlette.responses import HTMLResponse

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_ASK = """<form method="post">
<p>Stop mail of this kind?</p>
<p lang="he" dir="rtl">להפסיק לקבל דואר מסוג זה?</p>
<button>Stop · <span lang="he" dir="rtl">הפסקה</span></button>
</form>"""
_DONE = """<p role="status">You get no more mail of this kind. Your notification settings switch it on again.</p>
<p lang="he" dir="rtl" role="status">לא יישלח אליך עוד דואר מסוג זה. אפשר להפעיל אותו שוב בהגדרות ההתראות.</p>"""


_UNKNOWN = """
<p role="status">This link is not whole. Copy all of it from the mail, or use your notification settings.</p>
<p lang="he" dir="rtl" role="status">הקישור אינו שלם. אפשר להעתיק את כולו מההודעה, או לשנות את הגדרות ההתראות.</p>"""
_PAGES = {"ask": (200, _ASK), "done": (200, _DONE), "unknown": (404, _UNKNOWN)}


def page(which: Literal["ask", "done", "unknown"]) -> HTMLResponse:
    """Opening the link changes nothing: programs that look links through do that, too."""
    status, text = _PAGES[which]
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Loom</title></head>'
        f"<body><main>{text}</main></body></html>",
        status_code=status,
        headers=_HEADERS,
    )
