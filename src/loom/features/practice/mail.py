"""The invitation by mail, in the practice's language."""

from __future__ import annotations

from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from html import escape
from urllib.parse import quote
from uuid import UUID

from loom.features.practice.schemas import Language


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences of one language; `{…}` are filled in."""

    direction: str
    subject: str
    greeting: str
    greeting_nameless: str
    body: str
    button: str
    account: str
    ignore: str


WORDS: dict[Language, Words] = {
    "en": Words(
        direction="ltr",
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
        direction="rtl",
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
    message_id: str,
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
    fill = {"coach": _line(coach), "practice": _line(practice), "email": email, "name": _line(name or "")}
    link = f"{base_url}/sign-up?email={quote(email, safe='@')}"
    greeting = (words.greeting if name else words.greeting_nameless).format(**fill)
    paragraphs = [words.body.format(**fill), link, words.account, words.ignore.format(**fill)]

    message = EmailMessage()
    message["Subject"] = words.subject.format(**fill)
    message["From"] = sender
    message["To"] = str(Address(display_name=_line(name or ""), addr_spec=email))
    message["Message-ID"] = message_id
    message["Content-Language"] = language
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n\n".join([greeting, *paragraphs]) + "\n")
    message.add_alternative(
        f'<!doctype html><html lang="{language}" dir="{words.direction}"><body>'
        f"<p>{escape(greeting)}</p><p>{escape(paragraphs[0])}</p>"
        f'<p><a href="{escape(link)}">{escape(words.button)}</a></p>'
        f"<p>{escape(words.account)}</p><p>{escape(paragraphs[-1])}</p></body></html>",
        subtype="html",
    )
    return message


def message_id(relation: UUID, sent: float, sender: str) -> str:
    """The same for each try of one invitation, so that a repetition can be told."""
    domain = sender.rpartition("@")[2].strip("<> ") or "localhost"
    return f"<client-invitation-{relation}-{int(sent)}@{domain}>"


def _line(text: str) -> str:
    """Names are typed by people; in a header or a sentence they are one line."""
    return " ".join(text.split())
