"""Marks in the bodies of functions: they tell in the server's log which statement a test comes to.

A log is told of what is rolled back too, and in a transaction that only reads.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg

from tests.mutation.bodies import Body, Token, end_of_condition, tokens_of

SETUP = """
create schema if not exists marks;
grant usage on schema marks to public;
create or replace function marks.reached(p_mark text) returns void language plpgsql as $$
begin raise log 'mark: %', p_mark; end $$;
"""
# A session that would tell more than the mark itself fills the log.
ROLES = ("loom_owner", "loom_api", "postgres")
QUIET = ("log_error_verbosity = terse", "log_min_error_statement = panic")
MARK = re.compile(r"LOG:  mark: (\S+)")
AFTER = frozenset({"begin", "then", "else", "loop", ";"})
NO_STATEMENT = frozenset({"end", "elsif", "else", "exception", "when", ";"})


@dataclass(frozen=True, slots=True)
class Marked:
    """A function that tells where it is: `places` has where each mark stands in the body as it was, `further` where the
    further conditions of an if begin and end, and where that if is."""

    body: Body
    source: str
    places: tuple[tuple[int, str], ...]
    further: tuple[tuple[int, int, int], ...]

    def near(self, at: int) -> str:
        """The mark of the statement that has this place."""
        at = next((start for first, last, start in self.further if first <= at < last), at)
        return max((place for place in self.places if place[0] <= at), default=self.places[0])[1]


def marked(body: Body) -> Marked:
    """The function with a mark before each statement; one of the language SQL has one for all."""
    tokens = tokens_of(body)
    plpgsql = "language plpgsql" in body.source.partition("$function$")[0].lower()
    starts = list(statements(tokens)) if plpgsql else [tokens[0].start]
    seen: Counter[str] = Counter()
    places: list[tuple[int, str]] = []
    for start, end in pairwise([*starts, tokens[-1].end]):
        words = hashlib.sha256(" ".join(body.source[start:end].split()).encode()).hexdigest()[:10]
        seen[words] += 1
        places.append((start, f"{body.function}#{words}.{seen[words]}"))
    source = body.source
    for start, mark in reversed(places):
        says = f"raise log 'mark: {mark}'; " if plpgsql else f"select marks.reached('{mark}'); "
        source = source[:start] + says + source[start:]
    return Marked(body, source, tuple(places), tuple(further_conditions(tokens)))


def further_conditions(tokens: list[Token]) -> Iterator[tuple[int, int, int]]:
    """Where the condition of each elsif begins and ends, and where its if begins."""
    ifs: list[int] = []
    for i, token in enumerate(tokens):
        if token.text == "if" and tokens[i - 1].text == "end":
            ifs.pop()
        elif token.text == "if":
            ifs.append(token.start)
        elif token.text == "elsif":
            yield token.start, tokens[end_of_condition(tokens, i + 1)].start, ifs[-1]


def statements(tokens: list[Token]) -> Iterator[int]:
    """Where a statement begins, those inside a case apart."""
    begun = ready = False
    depth, before = 0, ""
    for token in tokens:
        text = token.text
        if ready and text not in NO_STATEMENT and text not in AFTER - {"begin"}:
            yield token.start
        ready = False
        if text == "case" and before != "end":
            depth += 1
        elif text == "end" and depth:
            depth -= 1
        elif text == "begin":
            begun = ready = True
        elif text in AFTER and begun and depth == 0:
            ready = True
        before = text


def tell(superuser: str, functions: Iterable[Marked]) -> None:
    """Has the functions of this database tell what is reached."""
    with psycopg.connect(superuser, autocommit=True) as conn:
        conn.execute(SETUP)
        for role in ROLES:
            for setting in QUIET:
                conn.execute(f"alter role {role} set {setting}")
        for function in functions:
            conn.execute(function.source)


def server_log(conn: psycopg.Connection[Any]) -> Path:
    """Where the embedded server writes."""
    row = conn.execute("show data_directory").fetchone()
    assert row is not None
    return Path(row[0]).parent / "postgres.log"


class Reached:
    """What was told since it was last asked."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = log.stat().st_size

    def take(self) -> set[str]:
        with self._log.open("rb") as log:
            log.seek(self._read)
            told = log.read()
        self._read += len(told)
        return set(MARK.findall(told.decode("utf-8", "replace")))
