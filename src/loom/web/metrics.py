"""Counts and durations of requests, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

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

    def exposition(self) -> bytes:
        """What a scraper reads."""
        return generate_latest(self._registry)
