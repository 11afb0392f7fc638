"""Where Loom's SQL lives, and the one migration that is generated from today's schema."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from loom.core.errors import OperatorError

EXTENSION = "20261123090000_extend_sessions_payments_messaging.sql"
MARKER = "-- @schemas"
_WITHIN = re.compile(r"/\*within ([a-z_.]+)\*/ true")
_NARROWED = re.compile(r"^ *-- @step (\w+) (.+)$", re.MULTILINE)


def supabase_dir() -> Path:
    """The checkout's `supabase` folder, or the copy that the wheel carries."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "_supabase", package.parents[1] / "supabase"):
        if (candidate / "config.toml").is_file():
            return candidate
    raise OperatorError(f"Loom's SQL files are missing: neither in the package nor beside it ({package}). Reinstall.")


def schema_paths(root: Path | None = None) -> list[Path]:
    """Schema files in the one order, as config.toml lists them."""
    root = root or supabase_dir()
    config: dict[str, Any] = tomllib.loads((root / "config.toml").read_text("utf-8"))
    listed = cast("list[str]", config.get("db", {}).get("migrations", {}).get("schema_paths", []))
    paths = [root / path for path in listed]
    for path in paths:
        if not path.is_file():
            raise OperatorError(f"supabase/config.toml lists {path.relative_to(root)}, which does not exist.")
    return paths


def unlisted(root: Path | None = None) -> list[Path]:
    """Schema files that config.toml forgot."""
    root = root or supabase_dir()
    listed = {path.resolve() for path in schema_paths(root)}
    return sorted(path for path in (root / "schemas").rglob("*.sql") if path.resolve() not in listed)


def schema_sql(root: Path | None = None, folder: str = "") -> str:
    """All schema files after one another, each under a line with its path; only those of one folder if it is named."""
    root = root or supabase_dir()
    return "\n".join(
        f"-- {path.relative_to(root).as_posix()}\n{path.read_text('utf-8').strip()}\n"
        for path in schema_paths(root)
        if path.is_relative_to(root / "schemas" / folder)
    )


@dataclass(frozen=True, slots=True)
class Step:
    """One statement that brings old rows to the new shape; running it again changes nothing.

    `walks` is the table whose ids a batch is a range of, `once` says that it reads what only an old application wrote.
    In `statement` a condition `/*within COLUMN*/ true` stands where a batch narrows it down.
    """

    name: str
    walks: str
    once: bool
    statement: str

    def within(self, condition: str) -> str:
        """The statement for some rows: `{}` in the condition is the column that carries the id."""
        return _WITHIN.sub(lambda found: condition.format(found[1]), self.statement)


def read_step(name: str, root: Path | None = None) -> Step:
    """A step of supabase/drafts/steps."""
    path = (root or supabase_dir()) / "drafts" / "steps" / f"{name}.sql"
    text = path.read_text("utf-8")
    head = re.match(r"-- walks ([a-z_.]+)(, once)?\n", text)
    if head is None or not _WITHIN.search(text):
        raise OperatorError(f"{path} must begin with `-- walks TABLE` and say where a batch narrows it down.")
    return Step(name, head[1], head[2] is not None, text[head.end() :].strip())


def include(name: str, root: Path | None = None) -> str:
    """A file beside the draft. A line `-- @step NAME CONDITION` in it stands for the step, for some rows."""
    text = ((root or supabase_dir()) / "drafts" / f"{name}.sql").read_text("utf-8").rstrip()
    return narrow_steps(text, root)


def narrow_steps(text: str, root: Path | None = None) -> str:
    """The text with each `-- @step NAME CONDITION` replaced by the statement for those rows."""
    return _NARROWED.sub(lambda found: read_step(found[1], root).within(found[2]).rstrip(";") + ";", text)


def column_files(root: Path | None = None) -> list[Path]:
    """What adds columns to the tables that an old application made, one file per area."""
    return sorted(((root or supabase_dir()) / "drafts" / "columns").glob("*.sql"))


def _render_step(step: Step) -> str:
    # A step that was walked in batches beforehand is not repeated: its scan would hold all locks of the migration.
    conditions = [f"not exists (select from private.adoption_decisions where kind = 'step' and key = '{step.name}')"]
    if step.once:
        conditions.append("current_setting('loom.first_time')::boolean")
    body = "\n".join(f"    {line}" if line else line for line in step.statement.splitlines())
    return f"do $$\nbegin\n  if {' and '.join(conditions)} then\n{body};\n  end if;\nend;\n$$;"


def render_draft(root: Path | None = None) -> str:
    """The extension migration: the draft with its marker lines replaced.

    `-- @schemas` stands for all schema files and must be there; `-- @schemas 00_foundation` for one folder or file,
    where statements written by hand need it before the rest; `-- @columns` for the new columns of old tables;
    `-- @step NAME` for a step; `-- @include NAME` for a file beside the draft, which may include others; `-- @cures`
    for what puts right an older application's own objects.
    """
    root = root or supabase_dir()
    draft = root / "drafts" / EXTENSION
    text = draft.read_text("utf-8")
    if MARKER not in text.splitlines():
        raise OperatorError(f"{draft} has no line {MARKER!r}.")

    def replace(found: re.Match[str]) -> str:
        if found[1] == "step":
            return _render_step(read_step(found[2], root))
        if found[1] == "include":
            return expand(include(found[2], root))
        if found[1] == "columns":
            return "\n".join(path.read_text("utf-8").strip() for path in column_files(root))
        if found[1] == "cures":
            cures = sorted((draft.parent / "cures").glob("*.sql"))
            return expand("\n\n".join(path.read_text("utf-8").strip() for path in cures))
        return schema_sql(root, found[2] or "").rstrip()

    def expand(text: str) -> str:
        return re.sub(r"^-- @(schemas|columns|cures|step|include)(?: (\S+))?$", replace, text, flags=re.MULTILINE)

    return expand(text)


def write_draft(root: Path | None = None) -> Path:
    """Writes the rendered migration and returns its path."""
    root = root or supabase_dir()
    target = root / "migrations" / EXTENSION
    target.write_text(render_draft(root), "utf-8")
    return target
