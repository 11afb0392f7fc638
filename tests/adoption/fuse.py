"""An adoption whose connection ends at a statement that is told beforehand, in place of a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql

from loom.db.adoption import apply
from loom.db.adoption.apply import Interrupted, apply_plan
from loom.db.adoption.decisions import Decisions

Goes = Callable[[int, str], bool]
"""Number and text of a statement to whether the backend ends just before it."""


class _Fused(psycopg.Connection[Any]):
    goes_off: Goes
    number: list[int]

    def execute(self, query: Any, params: Any = None, **options: Any) -> psycopg.Cursor[Any]:
        self.number[0] += 1
        text = query.as_string(self) if isinstance(query, sql.Composable) else str(query)
        if self.number[0] > 0 and self.goes_off(self.number[0], text):
            self.number[0] = -1_000_000  # once
            super().execute("select pg_terminate_backend(pg_backend_pid())")
        return super().execute(query, params, **options)


@contextmanager
def fuse(goes_off: Goes) -> Iterator[None]:
    """Connections of an adoption end there, once."""
    number = [0]

    def connect(conninfo: str) -> psycopg.Connection[Any]:
        conn = _Fused.connect(conninfo, autocommit=True, application_name="loom db")
        conn.goes_off, conn.number = goes_off, number
        return conn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "connect", connect)
        yield


def at(words: str, times: int = 1) -> Goes:
    """Before the statement that holds those words for the so manieth time."""
    left = [times]

    def goes_off(_number: int, text: str) -> bool:
        left[0] -= words in text
        return left[0] == 0 and words in text

    return goes_off


def cut_off(url: str, goes_off: Goes, *, online: bool = False) -> str | None:
    """Adopts; what the interruption says, or None when it came to its end first."""
    with fuse(goes_off):
        try:
            apply_plan(url, Decisions(), online=online)
        except Interrupted as exc:
            return str(exc)
    return None
