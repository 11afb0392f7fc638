"""The page behind a document's link: see it, pay it by card or transfer, get the receipt. Nothing on it needs a script.

Loading it again is safe, and so are two tabs: what is shown is read anew, and paying leads both to one page of the
gateway. What an address says of a payment is not believed.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable
from uuid import UUID

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from loom.core.errors import AppError, NotFound
from loom.core.settings import Settings
from loom.db.actor import Actor
from loom.db.database import Reader
from loom.features.documents import queries, service
from loom.features.documents.schemas import Language, Printable
from loom.http.limits import client_network, take
from loom.http.services import Services, services_of
from loom.web.pay_html import STYLE, Shown, problem_page, show
from loom.workflows.pay_by_link import ask_gateway, open_card_page

Endpoint = Callable[[Request], Awaitable[Response]]

_STYLE_SOURCE = "'sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode() + "'"
# While a payment is on its way the page looks again by itself, so many times.
_LOOKS = 20


def install(app: FastAPI, settings: Settings) -> None:
    """Add the pages. As plain routes, since gateways send people back with parameters and forms of their own."""
    headers = {
        "Content-Security-Policy": _policy(settings),
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    for path, endpoint, methods in (
        ("/pay/{token}", _page, ["GET"]),
        ("/pay/{token}/card", _card, ["POST"]),
        ("/pay/{token}/back", _back, ["GET", "POST"]),
        ("/pay/{token}/document.pdf", _document, ["GET"]),
        ("/pay/{token}/receipts", _issue_receipts, ["POST"]),
        ("/pay/{token}/receipts/{receipt_id}", _receipt, ["GET"]),
        ("/pay/{token}/logo", _logo, ["GET"]),
    ):
        app.add_route(path, _for_people(endpoint, headers), methods=methods, include_in_schema=False)


def _policy(settings: Settings) -> str:
    """Forms lead to the gateway's page by a redirect, which browsers hold to form-action too."""
    gateways = f"https: {settings.sandbox_url}" if settings.sandbox_url else "https:"
    return (
        f"default-src 'none'; style-src {_STYLE_SOURCE}; img-src 'self'; form-action 'self' {gateways}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def _for_people(endpoint: Endpoint, headers: dict[str, str]) -> Endpoint:
    """What is refused becomes a page too, and everything gets the headers."""

    async def answer(request: Request) -> Response:
        try:
            services = services_of(request)
            await take(services, f"pay:address:{client_network(request)}", 120, 60)
            response = await endpoint(request)
        except AppError as refused:
            page = problem_page(refused.code, _wanted(request))
            response = HTMLResponse(page, status_code=refused.status)
        for name, value in headers.items():
            response.headers[name] = value
        return response

    return answer


async def _page(request: Request) -> Response:
    services, token = services_of(request), _token(request)
    found = await queries.document_by_link(_reader(services), token)
    receipts = await queries.receipts_by_link(_reader(services), token) if found.state.amount_paid_cents else []
    language = _wanted(request) or found.content.language
    looked = _looked(request)
    waiting = found.state.payment_under_way and looked < _LOOKS
    shown = Shown(
        token=token,
        language=language,
        receipts=receipts,
        came_back=looked > 0,
        look_again=f"/pay/{token}/back?looked={looked + 1}&lang={language}" if waiting else None,
    )
    return HTMLResponse(show(found, shown))


async def _card(request: Request) -> Response:
    services, token = services_of(request), _token(request)
    language: Language = _wanted(request) or "en"
    try:
        url = await open_card_page(services.database, services.settings, token, language)
    except AppError as refused:
        if refused.code in ("invoice_not_open", "payment_in_progress", "intent_closed"):
            # Somebody paid meanwhile, in another tab perhaps: the page says how it stands.
            return RedirectResponse(f"/pay/{token}/back?lang={language}", status_code=303)
        raise
    return RedirectResponse(url, status_code=303)


async def _back(request: Request) -> Response:
    services, token = services_of(request), _token(request)
    await ask_gateway(services.database, services.settings, token)
    looked = max(_looked(request), 1)
    language = _wanted(request)
    return RedirectResponse(
        f"/pay/{token}?looked={looked}" + (f"&lang={language}" if language else ""), status_code=303
    )


async def _document(request: Request) -> Response:
    found = await queries.document_by_link(_reader(services_of(request)), _token(request))
    return await _pdf(found, _wanted(request))


async def _issue_receipts(request: Request) -> Response:
    """A receipt is a numbered document, so it is asked for: looking at the page makes none."""
    services, token = services_of(request), _token(request)
    await services.database.run(Actor.anonymous(), lambda tx: queries.issue_receipts_by_link(tx, token))
    language = _wanted(request)
    return RedirectResponse(f"/pay/{token}" + (f"?lang={language}" if language else ""), status_code=303)


async def _receipt(request: Request) -> Response:
    try:
        receipt_id = UUID(request.path_params["receipt_id"])
    except ValueError as no_id:
        raise NotFound from no_id
    found = await queries.receipt_by_link(_reader(services_of(request)), _token(request), receipt_id)
    return await _pdf(found, _wanted(request))


async def _logo(request: Request) -> Response:
    found = await queries.document_by_link(_reader(services_of(request)), _token(request))
    if found.logo is None:
        raise NotFound
    kind = "image/png" if found.logo.startswith(b"\x89PNG") else "image/jpeg"
    return Response(found.logo, media_type=kind)


async def _pdf(found: Printable, language: Language | None) -> Response:
    disposition = f'inline; filename="{found.content.file_name}"'
    content = await service.pdf(found, language)
    return Response(content, media_type="application/pdf", headers={"Content-Disposition": disposition})


def _reader(services: Services) -> Reader:
    return services.database.reader(Actor.anonymous())


def _token(request: Request) -> str:
    token = str(request.path_params["token"])
    if not token.isascii() or not token.isalnum() or len(token) > 200:
        raise NotFound
    return token


def _wanted(request: Request) -> Language | None:
    wanted = request.query_params.get("lang")
    return "he" if wanted == "he" else "en" if wanted == "en" else None


def _looked(request: Request) -> int:
    looked = request.query_params.get("looked", "0")
    return min(int(looked), _LOOKS) if looked.isascii() and looked.isdecimal() and len(looked) < 4 else 0
