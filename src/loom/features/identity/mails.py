"""The words of mails about accounts, in English and Hebrew."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage
from html import escape

from loom.features.identity.schemas import Language


@dataclass(frozen=True, slots=True)
class _Words:
    subject: str
    lines: tuple[str, ...]
    action: str | None


_WORDS: dict[tuple[str, Language], _Words] = {
    ("verify_email", "en"): _Words(
        "Confirm your e-mail address",
        (
            "Welcome to Loom. Please confirm that this is your address.",
            "The link works once, for three days. If you made no account, ignore this mail.",
        ),
        "Confirm address",
    ),
    ("verify_email", "he"): _Words(
        "אישור כתובת הדוא״ל שלך",
        (
            "ברוכים הבאים ל־Loom. נא לאשר שזו הכתובת שלך.",
            "הקישור תקף לשימוש אחד, למשך שלושה ימים. אם לא פתחת חשבון, אפשר להתעלם מההודעה.",
        ),
        "אישור הכתובת",
    ),
    ("reset_password", "en"): _Words(
        "Set a new password",
        (
            "Somebody asked for a new password for your account.",
            "The link works once, for one hour. If it was not you, ignore this mail: your password stays.",
        ),
        "Set a new password",
    ),
    ("reset_password", "he"): _Words(
        "בחירת סיסמה חדשה",
        (
            "התקבלה בקשה לסיסמה חדשה לחשבון שלך.",
            "הקישור תקף לשימוש אחד, למשך שעה. אם הבקשה לא הגיעה ממך, אפשר להתעלם: הסיסמה לא תשתנה.",
        ),
        "בחירת סיסמה",
    ),
    ("account_exists", "en"): _Words(
        "You already have an account",
        (
            "Somebody tried to make an account with your address, and there is one already.",
            "If it was you, sign in, or ask for a new password. If not, there is nothing to do.",
        ),
        None,
    ),
    ("account_exists", "he"): _Words(
        "כבר יש לך חשבון",
        (
            "התקבל ניסיון לפתוח חשבון עם הכתובת שלך, וכבר קיים חשבון כזה.",
            "אם זה היית אתה או את, אפשר להתחבר או לבקש סיסמה חדשה. אם לא, אין צורך לעשות דבר.",
        ),
        None,
    ),
}


def compose(
    purpose: str, language: Language, *, sender: str, recipient: str, message_id: str, link: str | None
) -> EmailMessage:
    """A mail with a plain and an HTML half; Hebrew runs from right to left."""
    words = _WORDS[purpose, language]
    message = EmailMessage()
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = words.subject
    message["Message-ID"] = message_id
    message["Content-Language"] = language
    message["Auto-Submitted"] = "auto-generated"
    plain = list(words.lines)
    html = [f"<p>{escape(line)}</p>" for line in words.lines]
    if words.action is not None and link is not None:
        plain.insert(1, link)
        html.insert(1, f'<p><a href="{escape(link)}">{escape(words.action)}</a></p>')
    direction = "rtl" if language == "he" else "ltr"
    message.set_content("\n\n".join(plain) + "\n")
    message.add_alternative(
        f'<!doctype html><html lang="{language}" dir="{direction}"><body>{"".join(html)}</body></html>\n',
        subtype="html",
    )
    return message
