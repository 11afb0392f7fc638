"""An operator's own wording of mails: a folder of files `<mail>.<language>.txt`, checked when the process starts.

The first line is `Subject: …`, then a blank line, then paragraphs with blank lines between them. Names in braces are
filled in; which ones a mail has, `NAMES` says.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loom.core.errors import OperatorError
from loom.providers.email.letter import one_line

NAMES: dict[str, frozenset[str]] = {
    "notice": frozenset({"name", "title", "message", "unsubscribe"}),
    "message": frozenset({"name", "sender", "title", "content", "count", "unsubscribe"}),
}
"""The mails that can be worded anew, and what each may name."""

LANGUAGES = ("en", "he")
_LARGEST = 65_536


@dataclass(frozen=True, slots=True)
class Worded:
    """A mail's subject and paragraphs, filled in."""

    subject: str
    paragraphs: list[str]


@dataclass(frozen=True, slots=True)
class Templates:
    """What the operator worded; a mail without a file has Loom's own words."""

    texts: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    @classmethod
    def load(cls, folder: Path | None) -> Templates:
        """Reads the folder. OperatorError names the file and what is wrong with it."""
        if folder is None:
            return cls()
        if not folder.is_dir():
            raise OperatorError(f"LOOM_TEMPLATES_DIR: {folder} is not a folder.")
        texts: dict[tuple[str, str], str] = {}
        for path in sorted(folder.glob("*.txt")):
            mail, _, language = path.stem.rpartition(".")
            if mail not in NAMES or language not in LANGUAGES:
                known = ", ".join(f"{name}.{code}.txt" for name in NAMES for code in LANGUAGES)
                raise OperatorError(f"{path}: there is no such mail. Known are {known}.")
            texts[mail, language] = _checked(path, mail)
        return cls(texts)

    def render(self, mail: str, language: str, fill: Mapping[str, str]) -> Worded | None:
        """The mail in the operator's words, None where there are none."""
        text = self.texts.get((mail, language))
        return None if text is None else _fill(text, fill)


def _checked(path: Path, mail: str) -> str:
    try:
        text = path.read_text("utf-8").replace("\r\n", "\n").removeprefix("\ufeff")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{path} can't be read as UTF-8 text: {error}") from error
    if len(text) > _LARGEST:
        raise OperatorError(f"{path}: a template has at most {_LARGEST} characters.")
    head, _, body = text.partition("\n")
    if not head.startswith("Subject: ") or not head.removeprefix("Subject: ").strip() or not body.strip():
        raise OperatorError(f'{path}: the first line must be "Subject: …", and text must follow.')
    for number, line in enumerate(text.split("\n"), 1):
        try:
            names = [part[1:] for part in string.Formatter().parse(line) if part[1] is not None]
        except ValueError as error:
            raise OperatorError(f"{path}, line {number}: {error}. Write {{{{ for a brace itself.") from error
        for name, spec, conversion in names:
            # "{name.__class__}", "{name!r}" and "{name:>99999999}" are nothing that a mail needs.
            if name not in NAMES[mail] or spec or conversion:
                allowed = ", ".join(f"{{{one}}}" for one in sorted(NAMES[mail]))
                raise OperatorError(f"{path}, line {number}: {{{name}}} is not known here. Known are {allowed}.")
    return text


def _fill(text: str, fill: Mapping[str, str]) -> Worded:
    head, _, body = text.partition("\n")
    # Filled in paragraph by paragraph, so that a blank line in somebody's words makes no new one.
    paragraphs = [part.strip().format_map(fill) for part in body.split("\n\n") if part.strip()]
    return Worded(one_line(head.removeprefix("Subject: ").format_map(fill)), paragraphs)
