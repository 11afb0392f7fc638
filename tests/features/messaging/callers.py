"""People at the HTTP API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
from pydantic import BaseModel, ConfigDict


class Caller:
    """Somebody with a token."""

    def __init__(self, http: httpx.AsyncClient, headers: dict[str, str]) -> None:
        self.http = http
        self.headers = headers

    async def __call__(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        answer = await self.http.request(method, f"/v1{path}", headers=self.headers, json=body or None)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def refused(self, method: str, path: str, status: int, code: str, **body: Any) -> dict[str, Any]:
        problem = await self(method, path, status, **body)
        assert problem["code"] == code, problem
        return {key: value for key, value in problem.items() if key != "request_id"}


Callers = Callable[[UUID], Caller]


def exact(model: type[BaseModel], value: Any) -> None:
    """A hot read is bytes from the database: they must be what the API's documentation says, no more and no less."""

    def strict(kind: type[BaseModel]) -> set[str]:
        return set(kind.model_fields)

    class Strict(model):  # type: ignore[misc, valid-type]
        model_config = ConfigDict(extra="forbid")

    parsed = Strict.model_validate(value)
    assert set(value) == strict(model)
    for name, field in model.model_fields.items():
        inner = next((arg for arg in getattr(field.annotation, "__args__", ()) if isinstance(arg, type)), None)
        for item in getattr(parsed, name) if isinstance(value[name], list) and inner is not None else []:
            if isinstance(item, BaseModel):
                for raw in value[name]:
                    exact(type(item), raw)
