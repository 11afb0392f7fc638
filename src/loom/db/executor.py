"""What a query function needs: a transaction or a read-only round trip, it does not care which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, LiteralString, Protocol, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)

Params = Mapping[str, object]


class Executor(Protocol):
    """Rows become models by column name. Every method raises AppError, never a driver's error."""

    async def fetch_all(self, query: LiteralString, params: Params, row: type[M]) -> list[M]:
        """All rows."""
        ...

    async def fetch_one(self, query: LiteralString, params: Params, row: type[M]) -> M:
        """The first row; NotFound when there is none."""
        ...

    async def find_one(self, query: LiteralString, params: Params, row: type[M]) -> M | None:
        """The first row or None."""
        ...

    async def fetch_value(self, query: LiteralString, params: Params) -> Any:
        """The first column of the first row; None when there is no row."""
        ...

    async def execute(self, query: LiteralString, params: Params) -> int:
        """Rows affected."""
        ...
