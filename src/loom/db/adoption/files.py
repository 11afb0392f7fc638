"""Loom's migrations among those of a Supabase project that has a history of its own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from loom.core.errors import OperatorError
from loom.db.migrate import migrations

_VERSION = re.compile(r"^(\d+)_.*\.sql$")


def add_migrations(into: Path) -> list[Path]:
    """Copies the files and returns what was written; those that are there already with the same text are left.

    OperatorError where the folder is none, where a file of Loom's was changed, or where the project has migrations that
    would come after Loom's: the Supabase CLI applies files in the order of their numbers.
    """
    if not into.is_dir():
        raise OperatorError(f"{into} is no folder. Name the supabase/migrations folder of the project.")
    ours = {migration.path.name: migration for migration in migrations()}
    for name, migration in ours.items():
        there = into / name
        if there.exists() and there.read_bytes() != migration.path.read_bytes():
            raise OperatorError(f"{there} is there with another text. Remove it, unless it was applied already.")
        twins = [path.name for path in into.glob(f"{migration.version}_*.sql") if path.name != name]
        if twins:
            raise OperatorError(
                f"{into / twins[0]} has the number of {name}. Give it another, if it was not applied yet."
            )
    first = min(int(migration.version) for migration in ours.values())
    later = sorted(
        path.name
        for path in into.glob("*.sql")
        if path.name not in ours and (found := _VERSION.match(path.name)) and int(found[1]) > first
    )
    missing = [name for name in ours if not (into / name).exists()]
    if later and missing:
        raise OperatorError(
            f"The project has migrations that are later than Loom's ({', '.join(later)}): `supabase db push` would "
            "refuse Loom's as out of order. Use `loom db adopt`, or push with --include-all after reading both."
        )
    return [Path(shutil.copyfile(ours[name].path, into / name)) for name in missing]
