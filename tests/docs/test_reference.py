"""The reference pages say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from loom.cli.reference import FOLDER, render_commands, render_settings
from loom.core.settings import Settings
from loom.providers.payments.sandbox_server.cards import BY_NUMBER


def test_every_setting_is_in_the_reference_as_it_is() -> None:
    assert (FOLDER / "settings.md").read_text("utf-8") == render_settings(), "run: python -m loom.cli.reference"


def test_every_command_is_in_the_reference_as_it_is() -> None:
    assert (FOLDER / "cli.md").read_text("utf-8") == render_commands(), "run: python -m loom.cli.reference"


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_card_of_the_sandbox_is_in_the_guide_with_its_number() -> None:
    guide = Path("docs/guide/cards.md").read_text("utf-8")
    assert set(re.findall(r"`(pm_[A-Za-z_]+)`", guide)) == {card.token for card in BY_NUMBER.values()}
    numbers = re.findall(r"\b\d{15,16}\b|…\d{4}", guide)
    assert sorted(number[-4:] for number in numbers) == sorted(number[-4:] for number in BY_NUMBER)
