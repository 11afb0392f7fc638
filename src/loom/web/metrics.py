"""Counts and durations of requests, and how the books stand against gateways, for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from loom.features.billing.figures import GatewayFigures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One registry per application, so that two in one process do not mix."""

    def __init__(self, *, on: bool) -> None:
        self.on = on
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "loom_http_requests", "Requests served.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "loom_http_request_seconds", "Time to serve a request.", ["method", "route"], registry=self._registry
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note one request. Methods that HTTP does not know count as one, since anybody may make them up."""
        if not self.on:
            return
        known = method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "OTHER"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(known, route).observe(seconds)

    def exposition(self, gateways: Sequence[GatewayFigures] = ()) -> bytes:
        """What a scraper reads: this process's counts, and how the books stand against the gateways given."""
        return generate_latest(self._registry) + (generate_latest(_of_gateways(gateways)) if gateways else b"")


def _of_gateways(figures: Sequence[GatewayFigures]) -> CollectorRegistry:
    """Made anew for each scrape: they come from the database, and an account that is gone leaves no old figure."""
    registry = CollectorRegistry()
    labels = ["account", "provider"]
    gauges = {
        name: Gauge(f"loom_gateway_{name}", text, labels, registry=registry)
        for name, text in {
            "completeness_ratio": "Movements at the gateway that stand in the books the same, at the last comparison.",
            "differences": "Differences that the last comparison found.",
            "reconciled_until_timestamp_seconds": "Up to when books and gateway were compared.",
            "alerts_open": "Alerts that nobody has answered.",
            "outcomes_unknown": "Payments whose outcome is being looked up.",
            "events_open": "Webhook events that are not handled.",
        }.items()
    }
    verified = Gauge(
        "loom_gateway_verified_seconds",
        "Time from a movement until it was found in the books the same.",
        [*labels, "quantile"],
        registry=registry,
    )
    for one in figures:
        who = (str(one.account_id), one.provider)
        values = {
            "completeness_ratio": one.completeness,
            "differences": one.findings,
            "reconciled_until_timestamp_seconds": one.reconciled_until and one.reconciled_until.timestamp(),
            "alerts_open": one.alerts_open,
            "outcomes_unknown": one.outcomes_unknown,
            "events_open": one.events_open,
        }
        for name, value in values.items():
            if value is not None:
                gauges[name].labels(*who).set(value)
        for quantile, seconds in (("0.5", one.verify_seconds_p50), ("0.99", one.verify_seconds_p99)):
            if seconds is not None:
                verified.labels(*who, quantile).set(seconds)
    return registry
