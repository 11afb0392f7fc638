"""The pages that mailed links lead to: sign up, confirm an address, set a new password. In English and Hebrew.

The token stands behind the # of the link, so it reaches no server's log; the page's script hands it to the API when
the person presses the button. A mail scanner that only opens links therefore uses nothing up.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Annotated, Literal

from fastapi import FastAPI, Query
from starlette.responses import HTMLResponse, Response

Language = Literal["en", "he"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    lead: str
    button: str
    done: str
    refused: str


_OLD_LINK: dict[Language, str] = {
    "en": "The link is unknown, used or too old. Ask for a new one.",
    "he": "הקישור אינו מוכר, נוצל או פג תוקפו. אפשר לבקש קישור חדש.",
}
_TRY_AGAIN: dict[Language, str] = {
    "en": "That did not work. Try again shortly.",
    "he": "זה לא הצליח. נסו שוב בעוד זמן קצר.",
}
_PASSWORD: dict[Language, str] = {"en": "Password, at least 10 characters", "he": "סיסמה, לפחות 10 תווים"}
_EMAIL: dict[Language, str] = {"en": "E-mail address", "he": "כתובת דוא״ל"}

_VERIFY: dict[Language, _Words] = {
    "en": _Words(
        "Confirm your address",
        "Press the button to confirm your e-mail address.",
        "Confirm",
        "Your address is confirmed. You can sign in now.",
        _OLD_LINK["en"],
    ),
    "he": _Words(
        "אישור הכתובת",
        "לחיצה על הכפתור תאשר את כתובת הדוא״ל שלך.",
        "אישור",
        "הכתובת אושרה. אפשר להתחבר.",
        _OLD_LINK["he"],
    ),
}
_RESET: dict[Language, _Words] = {
    "en": _Words(
        "Set a new password",
        "Choose a new password for your account.",
        "Set password",
        "The new password is set. You can sign in now.",
        _OLD_LINK["en"],
    ),
    "he": _Words(
        "בחירת סיסמה חדשה",
        "כאן בוחרים סיסמה חדשה לחשבון.",
        "שמירה",
        "הסיסמה החדשה נשמרה. אפשר להתחבר.",
        _OLD_LINK["he"],
    ),
}
_SIGN_UP: dict[Language, _Words] = {
    "en": _Words(
        "Sign up",
        "Make an account with your address and a password of your own.",
        "Sign up",
        "Nearly done: press the link in the mail that is on its way to you.",
        "Check the address and the password.",
    ),
    "he": _Words(
        "הרשמה",
        "פותחים חשבון עם הכתובת שלך ועם סיסמה משלך.",
        "הרשמה",
        "כמעט סיימנו: נשאר ללחוץ על הקישור בהודעה שנשלחה אליך.",
        "כדאי לבדוק את הכתובת ואת הסיסמה.",
    ),
}

_SCRIPT = """const form = document.querySelector("form");
const said = document.querySelector("[role=status]");
const token = new URLSearchParams(location.hash.slice(1)).get("token") || "";
history.replaceState(null, "", location.pathname + location.search);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = Object.fromEntries(new FormData(form));
  if (token) body.token = token;
  let told = form.dataset.tryAgain;
  try {
    const answer = await fetch(form.dataset.route, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (answer.ok) {
      told = form.dataset.done;
      form.hidden = true;
    } else if (answer.status === 422) {
      told = form.dataset.refused;
    }
  } catch {
    // The server can't be reached: the text that is set already says so.
  }
  said.textContent = told;
});
"""

_STYLE = """body { font: 1.1rem/1.5 system-ui, sans-serif; max-inline-size: 32rem; }
body { margin: 4rem auto; padding-inline: 1rem; }
label, input, button { display: block; font: inherit; margin-block-start: 1rem; }
input { inline-size: 100%; box-sizing: border-box; padding: 0.5rem; }
button { padding: 0.5rem 1.5rem; }
"""


def install(app: FastAPI) -> None:
    """Add the pages and what they load."""

    async def sign_up(lang: Language = "en", email: Annotated[str, Query(max_length=320)] = "") -> Response:
        address = (
            f'<label for="email">{escape(_EMAIL[lang])}</label>'
            f'<input id="email" name="email" type="email" autocomplete="email" required value="{escape(email)}">'
            f'<input name="language" type="hidden" value="{lang}">'
        )
        return _page(lang, _SIGN_UP[lang], "/v1/auth/sign-up", field=address + _password(lang))

    async def verify(lang: Language = "en") -> Response:
        return _page(lang, _VERIFY[lang], "/v1/auth/verify-email", field="")

    async def reset(lang: Language = "en") -> Response:
        return _page(lang, _RESET[lang], "/v1/auth/reset-password", field=_password(lang))

    async def script() -> Response:
        return Response(_SCRIPT, media_type="text/javascript")

    async def style() -> Response:
        return Response(_STYLE, media_type="text/css")

    app.add_api_route("/sign-up", sign_up, include_in_schema=False)
    app.add_api_route("/verify-email", verify, include_in_schema=False)
    app.add_api_route("/reset-password", reset, include_in_schema=False)
    app.add_api_route("/account.js", script, include_in_schema=False)
    app.add_api_route("/account.css", style, include_in_schema=False)


def _password(lang: Language) -> str:
    return (
        f'<label for="password">{escape(_PASSWORD[lang])}</label>'
        '<input id="password" name="password" type="password" autocomplete="new-password" '
        'required minlength="10" maxlength="256">'
    )


def _page(lang: Language, words: _Words, route: str, *, field: str) -> Response:
    direction = "rtl" if lang == "he" else "ltr"
    page = f"""<!doctype html>
<html lang="{lang}" dir="{direction}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(words.title)}</title>
<link rel="stylesheet" href="/account.css">
</head>
<body>
<main>
<h1>{escape(words.title)}</h1>
<form data-route="{route}" data-done="{escape(words.done)}" data-refused="{escape(words.refused)}" \
data-try-again="{escape(_TRY_AGAIN[lang])}">
<p>{escape(words.lead)}</p>
{field}
<button type="submit">{escape(words.button)}</button>
</form>
<p role="status"></p>
</main>
<script src="/account.js"></script>
</body>
</html>
"""
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})
