"""Which features the application is made of: their routes, and what their constraints mean to a caller."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter

ROUTERS: list[APIRouter] = []

CONSTRAINT_ERRORS: list[Mapping[str, tuple[int, str, str]]] = []

ERROR_CODES: list[Mapping[str, str]] = []
