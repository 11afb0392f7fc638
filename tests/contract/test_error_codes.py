"""Every code that Loom refuses with is explained, once, in the feature that it belongs to."""

from __future__ import annotations

import re
from pathlib import Path

from loom.web import features


def explained() -> set[str]:
    return {code for codes in features.ERROR_CODES for code in codes}


def test_codes_are_plain() -> None:
    assert [code for code in explained() if not re.fullmatch(r"[a-z][a-z0-9_]*", code)] == []


def test_every_code_that_sql_refuses_with_is_explained() -> None:
    told: set[str] = set()
    for path in sorted(Path("supabase/schemas").rglob("*.sql")):
        told |= set(re.findall(r"private\.fail\(\s*\d+,\s*'([a-z0-9_]+)'", path.read_text("utf-8")))
    assert told
    assert sorted(told - explained()) == []


def test_every_code_that_python_refuses_with_is_explained() -> None:
    told: set[str] = set()
    for path in sorted(Path("src/loom").rglob("*.py")):
        text = path.read_text("utf-8")
        told |= set(re.findall(r"\b(?:AppError|Conflict|Invalid)\(\s*\"([a-z0-9_]+)\"", text))
        told |= set(re.findall(r"\bcode=\"([a-z0-9_]+)\"", text))
    assert told
    assert sorted(told - explained()) == []


def test_every_code_of_a_constraint_is_explained() -> None:
    used = {code for errors in features.CONSTRAINT_ERRORS for _, code, _ in errors.values()}
    assert used - explained() == set()
