"""loom settings: every setting, its value, where it comes from and what it means."""

from __future__ import annotations

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from loom.cli.options import load_settings
from loom.core.settings import Settings

_console = Console(highlight=False)


def settings() -> None:
    """Print every setting with its value and where it comes from; secrets are masked."""
    current = load_settings()
    table = Table("setting", "value", "from", "meaning", box=None)
    for name, field in Settings.model_fields.items():
        source = "environment" if name in current.model_fields_set else "default"
        table.add_row(f"LOOM_{name.upper()}", shown(getattr(current, name)), source, field.description or "")
    _console.print(table)


def shown(value: object) -> str:
    """A value as text; what must stay secret as stars."""
    if isinstance(value, SecretStr):
        return "*****"
    return "" if value is None else str(value)
