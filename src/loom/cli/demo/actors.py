"""The people of the story: each is an HTTP client of its own, and each can also knock at PostgreSQL directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

PASSWORD = "woven-practice-2026"  # noqa: S105 - printed for whoever tries the demo; made for its throwaway accounts only


class StepFailed(Exception):
    """A step of the story did not come out as told."""


@dataclass(slots=True)
class Person:
    """Somebody who uses the API. `token` is None for a person without an account."""

    name: str
    email: str
    http: httpx.AsyncClient
    token: str | None = None
    user_id: str | None = None

    async def sign_in(self) -> None:
        """Takes an access token with e-mail and password, and learns the person's own id."""
        answer = await self.post("/v1/auth/sign-in", {"email": self.email, "password": PASSWORD})
        self.token = answer["access_token"]
        self.user_id = (await self.get("/v1/me"))["id"]

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        key: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The bare answer, whatever its status."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if method != "GET":
            headers["Idempotency-Key"] = key or str(uuid4())
        return await self.http.request(method, path, json=body, headers=headers, params=query)

    async def get(self, path: str, **query: str) -> Any:
        """The body of a 2xx answer."""
        return _body(await self.call("GET", path, query=query))

    async def post(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        """The body of a 2xx answer."""
        return _body(await self.call("POST", path, body if body is not None else {}))

    async def put(self, path: str, body: Mapping[str, object]) -> Any:
        """The body of a 2xx answer."""
        return _body(await self.call("PUT", path, body))

    async def patch(self, path: str, body: Mapping[str, object]) -> Any:
        """The body of a 2xx answer."""
        return _body(await self.call("PATCH", path, body))


def _body(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json() if response.content else None
    request = response.request
    raise StepFailed(f"{request.method} {request.url.path} answered {response.status_code}: {response.text[:400]}")
