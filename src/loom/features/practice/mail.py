"""The invitation by mail, in the practice's language."""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage
from urllib.parse import quote

from loom.features.practice.schemas import Language
from loom.providers.email.letter import Link, Paragraph, compose, one_line


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences of one language; `{…}` are filled in."""

    subject: str
    greeting: str
    greeting_nameless: str
    body: str
    button: str
    account: str
    ignore: str


WORDS: dict[Language, Words] = {
    "en": Words(
        subject="{coach} invites you to {practice}",
        greeting="Hello {name},",
        greeting_nameless="Hello,",
        body="{coach} would like to work with you through {practice}: book sessions, see invoices and write to each "
        "other in one place. Sign up with this address, {email}, and you are connected.",
        button="Sign up",
        account="Have an account with this address already? Sign in; the invitation waits for you there.",
        ignore="If you don't know {coach}, ignore this message. Nothing happens without you.",
    ),
    "he": Words(
        subject="{coach} מזמין/ה אותך אל {practice}",
        greeting="שלום {name},",
        greeting_nameless="שלום,",
        body="{coach} רוצה לעבוד איתך דרך {practice}: לקבוע פגישות, לראות חשבונות ולהתכתב, הכול במקום אחד. "
        "נרשמים עם הכתובת הזאת, {email}, והקשר נוצר.",
        button="להרשמה",
        account="כבר יש לך חשבון עם הכתובת הזאת? אפשר להיכנס; ההזמנה מחכה לך שם.",
        ignore="אם {coach} לא מוכר/ת לך, אפשר להתעלם מההודעה. דבר לא קורה בלעדיך.",
    ),
}


def invitation_mail(
    *,
    key: str,
    sender: str,
    email: str,
    name: str | None,
    coach: str,
    practice: str,
    language: Language,
    base_url: str,
) -> EmailMessage:
    """A message in plain text and HTML whose link leads to signing up with the address that was invited."""
    words = WORDS[language]
    fill = {"coach": one_line(coach), "practice": one_line(practice), "email": email, "name": one_line(name or "")}
    return compose(
        sender=sender,
        email=email,
        name=name,
        subject=words.subject.format(**fill),
        key=key,
        language=language,
        parts=[
            Paragraph((words.greeting if name else words.greeting_nameless).format(**fill)),
            Paragraph(words.body.format(**fill)),
            Link(words.button, f"{base_url}/sign-up?lang={language}&email={quote(email, safe='@')}"),
            Paragraph(words.account),
            Paragraph(words.ignore.format(**fill)),
        ],
    )
