"""Writes docs/reference/cli.md and settings.md from the code: python -m loom.cli.reference. A test compares them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from typer.main import get_command

from loom.cli.main import app
from loom.core.settings import Settings

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "reference"
_GENERATED = "Written by `python -m loom.cli.reference`; a test keeps it so.\n"


def render_settings() -> str:
    """Every setting as a Markdown table."""
    lines = [
        "# Settings\n",
        "Read from the environment. `loom settings` shows what is in force and where each value comes from.",
        _GENERATED,
        "| setting | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = _default(field.default, field.annotation)
        lines.append(f"| `LOOM_{name.upper()}` | {default} | {_cell(field.description or '')} |")
    return "\n".join(lines) + "\n"


def render_commands() -> str:
    """Every command with its arguments and options."""
    lines = [
        "# Commands\n",
        "`loom` is `.venv/bin/loom` in a checkout. Every error is one sentence, and exit code 1.",
        _GENERATED,
    ]
    for path, command in _commands("loom", get_command(app)):
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and not _of_typer(p)]
        usage = " ".join([path, *(p.name.upper() for p in arguments), *(["[OPTIONS]"] if options else [])])
        lines += [f"## `{usage}`\n", f"{(command.help or '').strip()}\n"]
        rows = [f"| `{p.name.upper()}` | {_cell(p.help or '')} |" for p in arguments]
        rows += [f"| `{', '.join([*p.opts, *p.secondary_opts])}` | {_cell(p.help or '')} |" for p in options]
        if rows:
            lines += ["| | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    below: dict[str, Any] = getattr(command, "commands", {})
    if not below:
        yield path, command
    for name, child in below.items():
        yield from _commands(f"{path} {name}", child)


def _of_typer(parameter: Any) -> bool:
    return {"--help", "--install-completion", "--show-completion"} & set(parameter.opts) != set()


def _default(value: object, annotation: object) -> str:
    if value is None:
        return "secret, none" if SecretStr in get_args(annotation) else "none"
    return f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Writes both files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "settings.md").write_text(render_settings(), "utf-8")
    (FOLDER / "cli.md").write_text(render_commands(), "utf-8")


if __name__ == "__main__":
    main()
