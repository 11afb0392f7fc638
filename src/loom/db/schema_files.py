"""Where Loom's SQL lives, and the one migration that is generated from today's schema."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, cast

from loom.core.errors import OperatorError

EXTENSION = "20261123090000_extend_sessions_payments_messaging.sql"
MARKER = "-- @schemas"


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


def render_draft(root: Path | None = None) -> str:
    """The extension migration: the draft with its marker lines replaced by schema files.

    `-- @schemas` stands for all of them and must be there; `-- @schemas 00_foundation` for one folder, where statements
    written by hand need its helpers before the rest.
    """
    root = root or supabase_dir()
    draft = root / "drafts" / EXTENSION
    text = draft.read_text("utf-8")
    if MARKER not in text.splitlines():
        raise OperatorError(f"{draft} has no line {MARKER!r}.")
    return re.sub(
        rf"^{MARKER}(?: (\w+))?$", lambda found: schema_sql(root, found[1] or "").rstrip(), text, flags=re.MULTILINE
    )


def write_draft(root: Path | None = None) -> Path:
    """Writes the rendered migration and returns its path."""
    root = root or supabase_dir()
    target = root / "migrations" / EXTENSION
    target.write_text(render_draft(root), "utf-8")
    return target
