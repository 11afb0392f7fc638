"""Calls to Tranzila: signed, and each answer either clear, a no, or unknown."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, cast

import httpx

from loom.providers.errors import RetryableError
from loom.providers.payments.protocol import CREDENTIALS_REFUSED, GatewayRefusedError, OutcomeUnknownError
from loom.providers.payments.tranzila_codes import API_ERRORS
from loom.providers.payments.tranzila_wire import Line, Terminal, TimeUnit, headers, line_of

_ROWS_OF_A_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where Tranzila is, and how its headers are to be written."""

    api: str = "https://api.tranzila.com"
    report: str = "https://report.tranzila.com"
    page: str = "https://direct.tranzila.com"
    time_unit: TimeUnit = "seconds"
    nonce_bytes: int = 40


class TranzilaCalls:
    """The calls of one terminal."""

    def __init__(self, addresses: Addresses, terminal: Terminal, http: httpx.AsyncClient) -> None:
        self._at = addresses
        self._terminal = terminal
        self._http = http

    async def lines(self, asked: dict[str, Any]) -> list[Line]:
        """The report, the oldest first."""
        lines: list[Line] = []
        page = 1
        while True:
            body = {"terminal_name": self._terminal.name, **asked} | ({"page": page} if page > 1 else {})
            said = await self.post(f"{self._at.report}/v1/transaction", body, sent=False)
            if not isinstance(said.get("transactions"), list):
                # An empty list says that nothing is there; no list says nothing.
                raise RetryableError("Tranzila's report holds no transactions.")
            rows = cast("list[dict[str, Any]]", said["transactions"])
            try:
                lines += [line_of(row, self._terminal) for row in rows]
            except (KeyError, ValueError) as exc:
                raise RetryableError(f"Tranzila's report can't be read ({exc}).", reason="unknown_state") from exc
            if len(rows) < _ROWS_OF_A_PAGE:
                return sorted(lines, key=lambda line: (line.at, int(line.index) if line.index.isdigit() else 0))
            page += 1

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """A transaction; it may move money."""
        return await self.post(f"{self._at.api}/v1/transaction/credit_card/create", body, sent=True)

    async def post(self, url: str, body: dict[str, Any], *, sent: bool) -> dict[str, Any]:
        """One call; `sent`: it may move money, so no clear answer is an unknown outcome."""
        signed = headers(self._terminal, time.time(), unit=self._at.time_unit, nonce_bytes=self._at.nonce_bytes)
        try:
            answer = await self._http.post(url, json=body, headers=signed)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
            raise RetryableError("Tranzila can't be reached.", reason="gateway_unreachable") from exc
        except httpx.HTTPError as exc:
            raise _lost(f"Tranzila gave no answer ({type(exc).__name__}).", sent=sent) from exc
        if answer.status_code in (401, 403):
            raise GatewayRefusedError("Tranzila does not take this terminal's keys.", reason=CREDENTIALS_REFUSED)
        said = _readable(answer)
        if said is None:
            # Tranzila shows a page of HTML where something went wrong.
            raise _lost(f"Tranzila answered {answer.status_code}, and not in data.", sent=sent)
        # What is no answer of Tranzila's own says nothing. Only its report leaves out the error code where all is well.
        if answer.status_code >= 500 or (sent and "error_code" not in said):
            raise _lost(f"Tranzila answered {answer.status_code}.", sent=sent)
        return self._clear(said)

    def _clear(self, said: dict[str, Any]) -> dict[str, Any]:
        error = said.get("error_code", 0)
        if error in (0, "0"):
            return said
        refused = API_ERRORS.get(int(error)) if str(error).isdigit() else None
        if refused is not None:
            raise GatewayRefusedError(str(said.get("message") or "Tranzila refused."), reason=refused.reason)
        # A processor's own no comes with its code, and is an answer.
        if result_of(said).get("processor_response_code"):
            return said
        raise GatewayRefusedError(str(said.get("message") or "Tranzila refused."), reason="invalid_request")


def result_of(said: dict[str, Any]) -> dict[str, Any]:
    return cast("dict[str, Any]", said.get("transaction_result") or {})


def _readable(answer: httpx.Response) -> dict[str, Any] | None:
    """JSON, or the bare `thtk=…` of the handshake's first version."""
    text = answer.text.strip()
    if text.startswith("thtk="):
        return {"thtk": text.removeprefix("thtk=")}
    try:
        said: object = answer.json()
    except ValueError:
        return None
    return cast("dict[str, Any]", said) if isinstance(said, dict) else None


def _lost(detail: str, *, sent: bool) -> RetryableError:
    return OutcomeUnknownError(detail) if sent else RetryableError(detail)
