"""The reference pages say what the code does."""

from __future__ import annotations

from loom.cli.reference import FOLDER, render_commands, render_settings
from loom.core.settings import Settings


def test_every_setting_is_in_the_reference_as_it_is() -> None:
    assert (FOLDER / "settings.md").read_text("utf-8") == render_settings(), "run: python -m loom.cli.reference"


def test_every_command_is_in_the_reference_as_it_is() -> None:
    assert (FOLDER / "cli.md").read_text("utf-8") == render_commands(), "run: python -m loom.cli.reference"


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
