"""A coach whose practice takes cards, and her client, over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from loom.providers.payments import vault_of
from tests.features.billing.live import Live
from tests.features.billing.world import World
from tests.support.waiting import until


class Shop:
    """A coach whose practice takes cards, and her client."""

    def __init__(self, live: Live, world: World) -> None:
        self.live = live
        self.world = world
        self.coach, self.client = world.coach, world.client
        world.owner.execute("update public.gateway_accounts set disabled_at = now(), is_default = false")
        self.account = live.call(self.coach, "POST", "/gateway-accounts", {"provider": "sandbox"})
        assert self.account["http_status"] == 201, self.account
        row = world.row("select * from private.gateway_secrets where account_id = %s", self.account["id"])
        opened = vault_of(live.settings).open
        self.key, self.secret = opened(row["api_key"]), opened(row["webhook_secret"])

    def invoice(self, amount: int = 25000) -> str:
        draft = self.live.call(
            self.coach, "POST", "/invoices",
            {"client_id": str(self.client), "lines": [{"description": "Add-on", "amount_cents": amount}]},
        )  # fmt: skip
        assert draft["http_status"] == 201, draft
        final = self.live.call(self.coach, "POST", f"/invoices/{draft['id']}/finalize")
        assert final["document_number"], final
        return final["id"]

    def intent(self, invoice: str) -> dict[str, Any]:
        return self.live.call(self.client, "POST", f"/invoices/{invoice}/payment-intents")

    def confirm(self, intent: str, card: str = "pm_card_visa", **headers: str) -> dict[str, Any]:
        path = f"/payment-intents/{intent}/confirm"
        return self.live.call(self.client, "POST", path, {"card_token": card}, **headers)

    def paid(self, amount: int = 25000, card: str = "pm_card_visa") -> tuple[str, dict[str, Any]]:
        invoice = self.invoice(amount)
        assert self.confirm(self.intent(invoice)["id"], card)["status"] == "succeeded"
        return invoice, self.payments(invoice)[0]

    def payments(self, invoice: str) -> list[dict[str, Any]]:
        return self.live.call(self.client, "GET", f"/payments?invoice_id={invoice}")["items"]

    def at_gateway(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """`path` as Stripe's (`/v1/…`), or the sandbox's own (`/sandbox/…`)."""
        return self.live.sandbox.call(method, path, body, self.key)

    def until_paid(self, invoice: str) -> None:
        until(
            lambda: self.live.call(self.client, "GET", f"/invoices/{invoice}")["status"] == "paid",
            "the invoice is paid",
        )

    def open_alerts(self) -> list[str]:
        return [alert["kind"] for alert in self.live.call(self.coach, "GET", "/gateway-alerts?open=true")["items"]]

    def handled(self) -> list[Any]:
        rows = self.world.owner.execute(
            "select status from public.webhook_events where gateway_account_id = %s", [self.account["id"]]
        ).fetchall()
        return [row["status"] for row in rows]


class TranzilaShop(Shop):
    """A coach with a terminal at the sandbox's Tranzila."""

    def __init__(self, live: Live, world: World) -> None:
        super().__init__(live, world)
        world.owner.execute("update public.gateway_accounts set disabled_at = now(), is_default = false")
        self.terminal = f"t{uuid4().hex[:12]}"
        fields = {"provider": "tranzila", "terminal": self.terminal, "app_key": "app", "api_key": "secret-app"}
        self.account = live.call(self.coach, "POST", "/gateway-accounts", fields)
        assert self.account["http_status"] == 201, self.account

    def knobs(self, **knobs: Any) -> None:
        self.live.sandbox.call("POST", "/sandbox/knobs", knobs, f"sk_test_tranzila_{self.terminal}")

    def page(self, invoice: str) -> dict[str, Any]:
        ways = {"success_url": f"{self.live.url}/paid", "cancel_url": f"{self.live.url}/back", "locale": "he"}
        return self.live.call(self.client, "POST", f"/invoices/{invoice}/payment-page", ways)
