"""Every way to weaken the bodies of functions that the campaign tries: a lock, a refusal or a condition less."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import psycopg

from loom.db.schema_files import supabase_dir

Kind = Literal["lock", "refusal", "condition"]

TOKEN = re.compile(
    r"(?P<skip>\s+|--[^\n]*|/\*.*?\*/)|'(?:[^']|'')*'|\"[^\"]*\"|[A-Za-z_][\w.]*|\d+|:=|::|<>|<=|>=|\|\||->>|->|.",
    re.DOTALL,
)
# What ends a condition, where it is not inside parentheses or a case of its own.
ENDS = frozenset({
    "group", "order", "limit", "for", "returning", "union", "except", "intersect", "having", "window", "loop", "then",
    "where", "on", "do", "left", "join", "cross", ";",
})  # fmt: skip
OPENS = frozenset({"where", "having", "if", "elsif"})


@dataclass(frozen=True, slots=True)
class Body:
    """A function as the database has it: `source` is what would make it again."""

    function: str
    source: str


@dataclass(frozen=True, slots=True)
class BodyMutant:
    """`source` makes it; `name` says in its words what is missing, so that changes elsewhere leave it alone."""

    kind: Kind
    function: str
    name: str
    source: str
    at: int


class Token(NamedTuple):
    """A word or sign of SQL, in small letters, and where it stands."""

    text: str
    start: int
    end: int


def bodies(conn: psycopg.Connection[Any], folders: Iterable[str]) -> list[Body]:
    """The functions that the schema files of these folders make."""
    made = re.compile(r"^create or replace function (\w+\.\w+)\(", re.MULTILINE)
    files = sorted(file for folder in folders for file in (supabase_dir() / "schemas" / folder).glob("*.sql"))
    names = [name for file in files for name in made.findall(file.read_text("utf-8"))]
    rows = conn.execute(
        "select format('%%s.%%s', n.nspname, p.proname), pg_get_functiondef(p.oid) from pg_catalog.pg_proc p"
        " join pg_catalog.pg_namespace n on n.oid = p.pronamespace"
        " where format('%%s.%%s', n.nspname, p.proname) = any (%s) order by 1, p.oid::regprocedure::text",
        [names],
    ).fetchall()
    return [Body(name, source) for name, source in rows]


def body_mutants(body: Body) -> Iterator[BodyMutant]:
    """All mutants of one function, each with a name of its own."""
    seen: Counter[str] = Counter()
    tokens = tokens_of(body)
    for kind, first, last, instead in [*locks(tokens), *refusals(tokens), *conditions(tokens)]:
        old = body.source[first:last]
        said = f"{body.function}: {' '.join(old.split())} -> {instead or 'nothing'}"
        seen[said] += 1
        name = said if seen[said] == 1 else f"{said} ({seen[said]})"
        yield BodyMutant(kind, body.function, name, body.source[:first] + instead + body.source[last:], first)


def tokens_of(body: Body) -> list[Token]:
    """The words and signs between the quotes of the body."""
    start = body.source.index("$function$")
    return [
        Token(found[0].lower(), found.start(), found.end())
        for found in TOKEN.finditer(body.source, start + len("$function$"), body.source.rindex("$function$"))
        if not found["skip"]
    ]


Change = tuple[Kind, int, int, str]


def locks(tokens: list[Token]) -> Iterator[Change]:
    """Each row lock of a select left out."""
    for i, token in enumerate(tokens):
        words = [each.text for each in tokens[i : i + 4]]
        length = 4 if words == ["for", "no", "key", "update"] else 2 if words[:2] == ["for", "update"] else 0
        if not length:
            continue
        last = i + length - 1
        while tokens[last + 1].text in {"of", "skip", "nowait"}:
            last += 1 if tokens[last + 1].text == "nowait" else 2
        yield "lock", token.start, tokens[last].end, ""


def refusals(tokens: list[Token]) -> Iterator[Change]:
    """Each refusal says nothing."""
    for i, token in enumerate(tokens):
        if token.text == "perform" and tokens[i + 1].text == "private.fail":
            last = next(j for j in range(i, len(tokens)) if tokens[j].text == ";")
            yield "refusal", token.start, tokens[last].end, "null;"


def conditions(tokens: list[Token]) -> Iterator[Change]:
    """Each part of each where, having, if, exit and continue: none or all of it holds."""
    for i, token in enumerate(tokens):
        asks = token.text in OPENS and (i == 0 or tokens[i - 1].text != "end")
        asks = asks or (token.text == "when" and tokens[i - 1].text in {"exit", "continue"})
        if not asks:
            continue
        inside = tokens[i + 1 : end_of_condition(tokens, i + 1)]
        alternatives = parts(inside, "or")
        then = [each.text for each in tokens[i + 1 + len(inside) : i + 4 + len(inside)]]
        # An if that does nothing but refuse is the business of its refusal, where it has one reason only.
        refuses = then == ["then", "perform", "private.fail"]
        branches = token.text not in {"where", "having"}
        for alternative in alternatives:
            asked = parts(alternative, "and")
            if len(alternatives) > 1 or (branches and not refuses):
                yield "condition", alternative[0].start, alternative[-1].end, "false"
            if len(asked) > 1 or not branches:
                for part in asked:
                    yield "condition", part[0].start, part[-1].end, "true"


def end_of_condition(tokens: list[Token], start: int) -> int:
    depth = 0
    for i in range(start, len(tokens)):
        text = tokens[i].text
        if depth == 0 and (text in ENDS or text == ")"):
            return i
        depth += (text in {"(", "[", "case"}) - (text in {")", "]", "end"})
    return len(tokens)


def parts(tokens: list[Token], word: str) -> list[list[Token]]:
    """What stands between the ands, or ors, of a condition; the and of a between is none."""
    found: list[list[Token]] = [[]]
    depth, between = 0, False
    for token in tokens:
        depth += (token.text in {"(", "[", "case"}) - (token.text in {")", "]", "end"})
        if depth == 0 and token.text == "between":
            between = True
        if depth == 0 and token.text == word and not (word == "and" and between):
            found.append([])
            continue
        if depth == 0 and token.text == "and":
            between = False
        found[-1].append(token)
    return found
