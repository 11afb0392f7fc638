"""What routes of every feature share: who calls, how they read and write, what goes in and out.

async def list_invoices(read: Read, limit: Limit = 50, cursor: Cursor = None) -> Page[Invoice]
async def draft_invoice(body: DraftInvoice, write: Write) -> Response:
    return await write.run(lambda tx: service.draft(tx, body), status=201, location=lambda i: f"/v1/invoices/{i.id}")
"""

from loom.http.auth import AnyCaller, CallerId, SignedIn
from loom.http.inputs import EmailAddress, Input
from loom.http.limits import RateLimit
from loom.http.pages import Cursor, Limit, Page, decode_cursor, encode_cursor, page_of
from loom.http.problem import Problem, problems
from loom.http.scopes import PublicRead, PublicWrite, Read, Service, ServiceScope, Write, WriteScope
from loom.http.services import AppServices, Services

__all__ = [
    "AnyCaller",
    "AppServices",
    "CallerId",
    "Cursor",
    "EmailAddress",
    "Input",
    "Limit",
    "Page",
    "Problem",
    "PublicRead",
    "PublicWrite",
    "RateLimit",
    "Read",
    "Service",
    "ServiceScope",
    "Services",
    "SignedIn",
    "Write",
    "WriteScope",
    "decode_cursor",
    "encode_cursor",
    "page_of",
    "problems",
]
