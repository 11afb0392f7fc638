"""Splits SQL into statements, as far as a bookkeeping table needs it: nothing is executed from the pieces."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
      --[^\n]*                                   # comment to the end of the line
    | [eE]'(?:[^'\\]|\\.|'')*'                   # escape string
    | '(?:[^']|'')*'                             # string
    | "(?:[^"]|"")*"                             # quoted name
    | (?P<block>/\*)                             # comment, may nest
    | (?P<tag>\$(?:[A-Za-z_][A-Za-z_0-9]*)?\$)   # dollar quote
    | (?P<atomic>\bbegin\s+atomic\b)
    | (?P<word>\b(?:case|end)\b)
    | (?P<semicolon>;)
    | \w[\w$]* | .
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def split_statements(sql: str) -> list[str]:
    """Statements without their semicolons, comments kept with what follows them."""
    statements: list[str] = []
    start = position = depth = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        assert match is not None  # noqa: S101 - the last alternative takes any character
        position = match.end()
        if match["block"]:
            position = _end_of_comment(sql, position)
        elif match["tag"]:
            closing = sql.find(match["tag"], position)
            position = len(sql) if closing < 0 else closing + len(match["tag"])
        elif match["atomic"]:
            depth = 1
        elif match["word"] and depth:
            depth += 1 if match["word"].lower() == "case" else -1
        elif match["semicolon"] and not depth:
            statements.append(sql[start : match.start()])
            start = position
    statements.append(sql[start:])
    return [text for statement in statements if (text := statement.strip())]


def _end_of_comment(sql: str, position: int) -> int:
    depth = 1
    for mark in re.compile(r"/\*|\*/").finditer(sql, position):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return mark.end()
    return len(sql)
