"""The mail that carries a document, in the language of whoever gets it."""

from __future__ import annotations

from email.message import EmailMessage

from loom.core.money import Money
from loom.features.documents.layout import day
from loom.features.documents.schemas import Letter
from loom.features.documents.words import KINDS
from loom.providers.email.letter import Attachment, Fact, Link, Paragraph, compose, one_line

_WORDS = {
    "en": {
        "subject": "{kind} {number} from {seller}",
        "hello": "Hello {name},",
        "hello_nameless": "Hello,",
        "intro": "{seller} sends you the attached document: {kind} {number}.",
        "total": "Total",
        "due": "Due",
        "button": "See the document",
        "link": "The link shows the document to whoever has it; please keep it to yourself.",
    },
    "he": {
        "subject": "{kind} {number} מאת {seller}",
        "hello": "שלום {name},",
        "hello_nameless": "שלום,",
        "intro": "מצורף מסמך מאת {seller}: {kind} {number}.",
        "total": "סך הכול",
        "due": "לתשלום עד",
        "button": "לצפייה במסמך",
        "link": "הקישור מציג את המסמך לכל מי שמחזיק בו; כדאי לשמור אותו לעצמך.",
    },
}


def document_mail(letter: Letter, pdf: bytes, *, sender: str, base_url: str, key: str) -> EmailMessage:
    """A mail with the PDF attached and a link to see it by. `key` makes a repeat recognisable as one."""
    words, document = _WORDS[letter.language], letter.content
    names = {
        "kind": KINDS[letter.language][document.kind],
        "number": document.number or "",
        "seller": one_line(document.seller_name),
        "name": one_line(letter.recipient_name or ""),
    }
    facts = [Fact(words["total"], Money(document.total_cents, document.currency).text(letter.language))]
    if document.due_date is not None:
        facts.append(Fact(words["due"], day(document.due_date, document.timezone, letter.language)))
    return compose(
        sender=sender,
        email=letter.email,
        name=letter.recipient_name,
        subject=words["subject"].format(**names),
        key=key,
        language=letter.language,
        parts=[
            Paragraph(words["hello" if letter.recipient_name else "hello_nameless"].format(**names)),
            Paragraph(words["intro"].format(**names)),
            *facts,
            Link(words["button"], f"{base_url}/pay/{letter.token}"),
            Paragraph(words["link"]),
        ],
        attachments=[Attachment(document.file_name, "application/pdf", pdf)],
    )
