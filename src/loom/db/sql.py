"""Loads a package's files of queries: blocks that start with `-- name: snake_case`."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)[ \t]*$", re.MULTILINE)


def parse_queries(text: str, source: str = "queries.sql") -> dict[str, LiteralString]:
    """Name to query. ValueError when a name is there twice or a block is empty."""
    parts = _NAME.split(text)
    queries: dict[str, LiteralString] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        query = body.strip().removesuffix(";").rstrip()
        if not query:
            raise ValueError(f"{source}: {name} is empty")
        if name in queries:
            raise ValueError(f"{source}: {name} is there twice")
        # A file of the package is as much ours as a literal is; nothing of a request ever gets in here.
        queries[name] = cast("LiteralString", query)
    return queries


def load_queries(package: str | None, file: str = "queries.sql") -> dict[str, LiteralString]:
    """The queries of a file in a package (pass `__package__`)."""
    assert package is not None  # noqa: S101 - None only for a file that runs as a script
    return parse_queries(files(package).joinpath(file).read_text("utf-8"), f"{package}/{file}")
