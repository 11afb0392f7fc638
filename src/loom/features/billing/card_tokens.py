"""The token that a gateway's own page gives for a card."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from loom.providers.payments.card_numbers import looks_like_card_number


def _no_card_number(token: str) -> str:
    if looks_like_card_number(token):
        # Without the value: it must lie nowhere.
        raise PydanticCustomError(
            "card_number", "This is the number of a card. Give a token of the gateway's own page."
        )
    return token


Token = Annotated[
    str,
    Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$", examples=["pm_card_visa"]),
    AfterValidator(_no_card_number),
]
