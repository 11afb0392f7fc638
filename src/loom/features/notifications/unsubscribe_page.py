"""The page behind a link that switches a kind of mail off: one button, in both languages, since nobody is signed in."""

from __future__ import annotations

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


def page(*, done: bool) -> HTMLResponse:
    """Opening the link changes nothing: programs that look links through do that, too."""
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Loom</title></head>'
        f"<body><main>{_DONE if done else _ASK}</main></body></html>",
        headers=_HEADERS,
    )
