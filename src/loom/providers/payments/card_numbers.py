"""Numbers of cards that somebody typed where a token belongs: gateways repeat them in what they say of the mistake."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9](?:[ -]?[0-9]){11,18}(?![0-9A-Za-z])")
MASK = "[card number]"


def looks_like_card_number(text: str) -> bool:
    """Whether all of it is 12 to 19 digits, spaces and dashes left out."""
    return re.fullmatch("[0-9]{12,19}", text.replace(" ", "").replace("-", "")) is not None


def masked(text: str) -> str:
    """The text as it may be stored, logged and answered."""
    return _NUMBER.sub(MASK, text)
