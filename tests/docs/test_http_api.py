"""The page about the HTTP API says what is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from loom.core.settings import Settings
from loom.web.features import codes_table

PAGE = Path("docs/reference/http-api.md")
GUIDE = Path("docs/guide/frontends.md")


def test_the_table_of_codes_is_the_features_own() -> None:
    found = re.search(r"<!-- codes -->\n(.*?)\n?<!-- /codes -->", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    told = found[1].strip()
    assert told == codes_table(), (
        "paste the output of: python -c 'from loom.web.features import codes_table as t; print(t())'"
    )


def test_every_route_and_setting_that_the_pages_name_exists(built_app: FastAPI) -> None:
    document: dict[str, Any] = built_app.openapi()
    routes = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    text = PAGE.read_text("utf-8") + GUIDE.read_text("utf-8")
    named = set(re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/v1/[^`?\s]+)`", text))
    assert named
    assert named - routes == set()
    settings = {name.lower() for name in re.findall(r"LOOM_([A-Z_]+)", text)}
    assert settings
    assert settings - set(Settings.model_fields) == set()
