"""The words of mails about accounts, in English and Hebrew."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage

from loom.features.identity.schemas import Language
from loom.providers.email.letter import Link, Paragraph, Part, compose


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


def account_mail(
    purpose: str, language: Language, *, sender: str, recipient: str, key: str, link: str | None
) -> EmailMessage:
    """A mail about an account; `link` stands after the first sentence."""
    words = _WORDS[purpose, language]
    parts: list[Part] = [Paragraph(line) for line in words.lines]
    if words.action is not None and link is not None:
        parts.insert(1, Link(words.action, link))
    return compose(
        sender=sender, email=recipient, name=None, subject=words.subject, key=key, language=language, parts=parts
    )
