"""queries.sql files are read by name, and a slip in one is noticed when it is loaded."""

from __future__ import annotations

import pytest

from loom.db.sql import parse_queries

TEXT = """-- What this file is for.

-- name: get_session
-- A comment of the query.
select * from sessions where id = %(id)s;

-- name: list_sessions
select *
from sessions
"""


def test_queries_are_found_by_name() -> None:
    queries = parse_queries(TEXT)
    assert list(queries) == ["get_session", "list_sessions"]
    assert queries["get_session"].endswith("where id = %(id)s")
    assert queries["list_sessions"] == "select *\nfrom sessions"


@pytest.mark.parametrize("slip", ["-- name: get_session\nselect 1;\n", "-- name: empty\n\n"])
def test_a_name_twice_and_an_empty_query_are_refused(slip: str) -> None:
    with pytest.raises(ValueError, match=r"queries\.sql"):
        parse_queries(TEXT + "\n" + slip)
