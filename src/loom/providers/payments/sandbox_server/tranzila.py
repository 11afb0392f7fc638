"""The sandbox in Tranzila's dialect, under `/tranzila`: signed calls, a report that may lag, a page with notices.

A terminal is any name; its application key is any, and the secret to it is `secret-<application key>`. Its knobs are
set with the account key `sk_test_tranzila_<terminal>`: tranzila_code (what charges answer), report_lag_seconds,
notify (normal, never, twice, late), notify_sum, notify_currency, faults.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Mapping
from datetime import datetime
from typing import cast
from urllib.parse import urlencode

from loom.providers.payments.sandbox_server.cards import BY_NUMBER, BY_TOKEN, Card
from loom.providers.payments.sandbox_server.desk import Desk
from loom.providers.payments.sandbox_server.store import Object, Store
from loom.providers.payments.tranzila_codes import APPROVED, CHECKED, meaning_of
from loom.providers.payments.tranzila_wire import CURRENCIES, ZONE, currency_of, from_report, to_major

KIND = "tranzila_transaction"
_TERMINAL = re.compile(r"^[a-z0-9_]{1,40}$")
_TIME_TOLERANCE = 600
_ROWS_OF_A_PAGE = 1000
_TYPES = {"debit": "A", "credit": "C", "verify": "V", "force": "F", "cancel": "D", "reversal": "D"}


class TranzilaDesk:
    """One terminal during one request."""

    def __init__(self, store: Store, terminal: str, base_url: str) -> None:
        if not _TERMINAL.match(terminal):
            raise ApiRefusal(400, 20004, "terminal_name is not valid")
        self.desk = Desk(store, store.account_of(f"sk_test_tranzila_{terminal}"), base_url)
        self.terminal = terminal

    # the API

    def create(self, body: Object) -> tuple[int, Object]:
        """`v1/transaction/credit_card/create`."""
        kind = str(body.get("txn_type"))
        if kind not in _TYPES:
            raise ApiRefusal(400, 20004, "txn_type is not valid")
        reference = self._reference(body)
        if kind in ("cancel", "reversal"):
            original = self._original(body)
            self._write(kind, original["amount"], original["currency"], APPROVED, reference, parent=original)
            return 200, {"error_code": 0, "message": "Success"}
        amount, currency = self._sum(body)
        if kind == "credit":
            return self._credit(body, amount, currency, reference)
        if kind == "force":
            held = self._original(body)
            if held["txn_type"] != "VERIFY" or amount > held["amount"]:
                raise ApiRefusal(400, 20112, "the original can not be captured")
            made = self._write(kind, amount, currency, APPROVED, reference, parent=held, card=BY_TOKEN[held["_card"]])
            return self._answer(made)
        card = self._card_of(str(body.get("card_number")))
        code = self._code(card)
        part = int(amount * 0.6) or 1 if meaning_of(code).kind == "partial" else amount
        made = self._write(kind, part, currency, code, reference, card=card)
        return self._answer(made)

    def _credit(
        self, body: Object, amount: int, currency: str, reference: tuple[str, str] | None
    ) -> tuple[int, Object]:
        original = self._original(body)
        if body.get("authorization_number") != original["authorization_number"]:
            raise ApiRefusal(400, 20112, "authorization_number does not fit the original")
        if amount > original["amount"] - original["_returned"]:
            result: Object = {
                "processor_response_code": "002",
                "transaction_id": None,
                "auth_number": None,
                "txn_type": "credit",
            }
            message = "sum is larger than the original debit transaction"
            return 400, {"error_code": 23002, "message": message, "transaction_result": result}
        self.desk.keep(original | {"_returned": original["_returned"] + amount})
        made = self._write("credit", amount, currency, APPROVED, reference, parent=original)
        return self._answer(made)

    def _answer(self, made: Object) -> tuple[int, Object]:
        code = made["processor_response_code"]
        result: Object = {
            "processor_response_code": code, "transaction_id": made["index"], "amount": made["_major"],
            "auth_number": made["authorization_number"], "currency_code": CURRENCIES[made["currency"]],
            "token": made["credit_card_token"], "txn_type": made["_asked"], "tranmode": made["tranmode"],
            "expiry_month": 12, "expiry_year": 34,
        }  # fmt: skip
        error = (
            0
            if meaning_of(code).kind in ("approved", "partial", "waiting", "unknown")
            else int(code)
            if code.isdigit()
            else 1
        )
        said = {"error_code": error, "message": "Success" if not error else "Refused", "transaction_result": result}
        return (200 if not error else 400), said

    def report(self, body: Object) -> Object:
        """`v1/transaction` of the report: by index, by our reference, or by days; only what it knows of by now."""
        until = self.desk.store.now() - float(self.desk.knob("report_lag_seconds") or 0)
        rows = [one for one in self.desk.store.all(self.desk.account, KIND) if one["created"] <= until]
        if "transaction_index" in body:
            rows = [one for one in rows if one["index"] == str(body["transaction_index"])]
        for field in cast("list[Object]", body.get("ufields") or []):
            rows = [one for one in rows if one.get(str(field["name"])) == field["value"]]
        if "transaction_start_date" in body:
            first, last = str(body["transaction_start_date"]), str(body["transaction_end_date"])
            rows = [one for one in rows if first <= one["transaction_date"] <= last]
        start = (int(body.get("page", 1)) - 1) * _ROWS_OF_A_PAGE
        page = [self._row(one) for one in rows[start : start + _ROWS_OF_A_PAGE]]
        return {"transactions": page, "total": len(rows), "rows": len(page)}

    def _row(self, made: Object) -> Object:
        said = {name: value for name, value in made.items() if not name.startswith("_")}
        return said | {"amount": str(made["_major"]), "currency": CURRENCIES[made["currency"]]}

    def handshake(self, body: Object) -> Object:
        """`v2/handshake/create`: a page is then good for this sum alone."""
        token = f"t{secrets.token_hex(16)}"
        self.desk.keep(
            {"id": f"thtk_{token}", "object": "tranzila_handshake", "created": self.desk.now(), "sum": str(body["sum"])}
        )
        return {"error_code": 0, "thtk": token}

    # the hosted page

    def submit(self, fields: Mapping[str, str], number: str) -> str:
        """The payer sent the page: where the payer goes from there. Notices are on their way."""
        card = BY_NUMBER.get(number)
        handshake = self.desk.store.get(self.desk.account, "tranzila_handshake", f"thtk_{fields.get('thtk')}")
        currency = currency_of(fields.get("currency", "1"))
        amount = from_report(fields.get("sum", "0"), currency)
        mode = fields.get("tranmode", "A")
        code = "447" if card is None else self._code(card)
        if handshake is not None and handshake["sum"] != fields.get("sum"):
            code = "912791"
        kind = "verify" if mode.startswith(("V", "N", "K")) else "debit"
        if code == APPROVED and mode.startswith(("N", "K")):
            code = CHECKED
        reference = next((pair for pair in fields.items() if pair[0].startswith("user_defined")), None)
        part = int(amount * 0.6) or 1 if meaning_of(code).kind == "partial" else amount
        made = self._write(kind, part, currency, code, reference, card=card, mode=mode)
        good = code in (APPROVED, CHECKED, "010")
        url = fields.get("success_url_address" if good else "fail_url_address", "")
        self._notify(fields, made)
        return url

    def _notify(self, fields: Mapping[str, str], made: Object) -> None:
        mode = self.desk.knob("notify") or "normal"
        url = fields.get("notify_url_address", "")
        notice = {
            "Response": made["processor_response_code"], "o_tranmode": made["tranmode"], "tranmode": made["tranmode"],
            "sum": str(self.desk.knob("notify_sum") or made["_major"]),
            "currency": str(self.desk.knob("notify_currency") or CURRENCIES[made["currency"]]),
            "supplier": self.terminal, "ConfirmationCode": made["authorization_number"], "index": made["index"],
            "Tempref": made["tempref"], "TranzilaTK": made["credit_card_token"], "expmonth": "12", "expyear": "34",
            "ccno": "", "cardtype": "2", "cardissuer": "2", "cardaquirer": "1", "cred_type": "1",
        }  # fmt: skip
        notice |= {name: value for name, value in fields.items() if name.startswith("user_defined")}
        for copy in range({"never": 0, "twice": 2}.get(mode, 1) if url else 0):
            delay = float(self.desk.knob("delay_seconds") or 0) if mode == "late" else 0.0
            self.desk.store.add_notice(self.desk.account, url, urlencode(notice), delay + copy * 0.05)

    # what these share

    def _code(self, card: Card) -> str:
        forced = self.desk.knob("tranzila_code")
        return str(forced) if forced else card.tranzila_code

    def _card_of(self, token: str) -> Card:
        found = self.desk.store.get(self.desk.account, "tranzila_token", token)
        if found is None:
            raise ApiRefusal(400, 20004, "card_number is not a token of this terminal")
        return BY_TOKEN[found["_card"]]

    def _reference(self, body: Object) -> tuple[str, str] | None:
        for field in cast("list[Object]", body.get("user_defined_fields") or []):
            return str(field["name"]), str(field["value"])
        return None

    def _sum(self, body: Object) -> tuple[int, str]:
        items = cast("list[Object]", body.get("items") or [])
        if not items:
            raise ApiRefusal(400, 20004, "items are missing")
        currency = str(items[0].get("currency_code", body.get("txn_currency_code", "ILS")))
        if currency not in CURRENCIES:
            raise ApiRefusal(400, 20004, "currency_code is not valid")
        amount = from_report(items[0].get("unit_price", 0), currency) * int(items[0].get("units_number", 1))
        if amount < 1:
            raise ApiRefusal(400, 20014, "amount is zero")
        return amount, currency

    def _original(self, body: Object) -> Object:
        index = str(body.get("reference_txn_id"))
        found = self.desk.store.get(self.desk.account, KIND, f"{self.terminal}:{index}")
        if found is None:
            raise ApiRefusal(400, 20112, "the original transaction was not found")
        return found

    def _write(
        self,
        kind: str,
        amount: int,
        currency: str,
        code: str,
        reference: tuple[str, str] | None,
        *,
        parent: Object | None = None,
        card: Card | None = None,
        mode: str | None = None,
    ) -> Object:
        index = str(100_000 + self.desk.store.count(self.desk.account, KIND))
        at = datetime.fromtimestamp(self.desk.store.now(), ZONE)
        token = self._token(card) if card is not None else ""
        named = dict([reference] if reference else [])
        return self.desk.keep({
            "id": f"{self.terminal}:{index}", "object": KIND, "created": self.desk.now(), "index": index,
            "transaction_date": at.date().isoformat(), "transaction_time": at.strftime("%H:%M:%S"), "amount": amount,
            "_major": to_major(amount, currency), "currency": currency, "processor_response_code": code,
            "txn_type": {"force": "DEBIT"}.get(kind, kind.upper()), "_asked": kind,
            "tranmode": mode or (f"{_TYPES[kind]}{parent['index']}" if parent else _TYPES[kind]),
            "authorization_number": f"{int(index):07d}" if meaning_of(code).kind == "approved" else "",
            "credit_card_token": token, "expiration_month": "12", "expiration_year": "34", "tempref": index * 2,
            "txn_payment_method": "CC", "_returned": 0, "_card": card.token if card else "pm_card_visa", **named,
        })  # fmt: skip

    def _token(self, card: Card) -> str:
        token = "X" + hashlib.sha256(f"{self.terminal}{card.token}".encode()).hexdigest()[:14] + card.last4
        self.desk.keep({"id": token, "object": "tranzila_token", "created": self.desk.now(), "_card": card.token})
        return token


class ApiRefusal(Exception):
    """An answer of Tranzila's API that is no success."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.said: Object = {"error_code": code, "message": message}


def authorised(asked: Mapping[str, str], now: float) -> None:
    """The headers of a call. Raises ApiRefusal."""
    key, at = asked.get("x-tranzila-api-app-key", ""), asked.get("x-tranzila-api-request-time", "")
    nonce, token = asked.get("x-tranzila-api-nonce", ""), asked.get("x-tranzila-api-access-token", "")
    wanted = hmac.new(f"secret-{key}{at}{nonce}".encode(), key.encode(), hashlib.sha256).hexdigest()
    when = float(at) if at.isdigit() else 0.0
    # Seconds or thousandths of them: the documentation says both.
    when = when / 1000 if when > 100_000_000_000 else when
    if not key or len(nonce) < 64 or not hmac.compare_digest(wanted, token) or abs(now - when) > _TIME_TOLERANCE:
        raise ApiRefusal(401, 20001, "not authorised")


def terminal_of(raw: bytes) -> str:
    """The terminal that a call names, whether it may or not."""
    try:
        said: object = json.loads(raw or b"null")
    except ValueError:
        said = None
    return str(cast("Object", said).get("terminal_name")) if isinstance(said, dict) else ""


def serve_api(store: Store, path: list[str], asked: Mapping[str, str], raw: bytes, base_url: str) -> tuple[int, Object]:
    """A call under `/tranzila`, inside a transaction of the store."""
    try:
        authorised(asked, time.time())
        said: object = json.loads(raw or b"null")
        if not isinstance(said, dict):
            raise ApiRefusal(400, 20004, "the body is not valid")
        body = cast("Object", said)
        desk = TranzilaDesk(store, str(body.get("terminal_name")), base_url)
        match path:
            case ["v1", "transaction", "credit_card", "create"]:
                return desk.create(body)
            case ["v1", "transaction"]:
                return 200, desk.report(body)
            case ["v2", "handshake", "create"]:
                return 200, desk.handshake(body)
            case _:
                raise ApiRefusal(404, 20004, "no such address")
    except ApiRefusal as no:
        return no.status, no.said
    except (ValueError, KeyError, TypeError):
        return 400, {"error_code": 20004, "message": "the body is not valid"}
