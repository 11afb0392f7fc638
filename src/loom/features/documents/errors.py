"""What documents refuse, by code and by the constraint that refuses it."""

from __future__ import annotations

ERROR_CODES: dict[str, str] = {
    "document_elsewhere": "The document was issued by another system; Loom has nothing to print.",
    "logo_refused": "A logo is a PNG or JPEG of at most 256 KiB and 4000 pixels a side that can be read.",
    "no_address": "The buyer has no e-mail address, and none was given.",
    "sent_too_often": "The document was sent 20 times within a day.",
    "link_days": "A link is good for 1 to 365 days.",
    "link_expired": "The link was good and no longer is.",
    "invoice_draft": "The invoice is still a draft.",
    "invoice_final": "What an issued document says never changes.",
}

CONSTRAINT_ERRORS: dict[str, tuple[int, str, str]] = {
    "document_sends_email_length": (422, "invalid_request", "That is not an e-mail address."),
    "practice_letterheads_lengths": (422, "invalid_request", "The footer or the transfer details are too long."),
}
