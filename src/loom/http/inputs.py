"""What a request body may hold, before any field of it is looked at."""

from __future__ import annotations

import math
from typing import Annotated, Any, cast

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

MAX_DEPTH = 32


def check_plain(value: object) -> None:
    """Refuse what PostgreSQL can't store or a reader can't survive: NUL, lone surrogates, NaN, endless nesting.

    Raises PydanticCustomError, so that the answer names the field like any other bad value.
    """
    pending: list[tuple[object, int]] = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise PydanticCustomError("json_too_deep", "The body nests deeper than 32 levels")
        if isinstance(item, str):
            check_text(item)
        elif isinstance(item, float):
            if not math.isfinite(item):
                raise PydanticCustomError("finite_number", "Numbers must be finite")
        elif isinstance(item, dict):
            members = cast("dict[object, object]", item)
            for name, member in members.items():
                pending.extend(((name, depth), (member, depth + 1)))
        elif isinstance(item, list):
            pending.extend((member, depth + 1) for member in cast("list[object]", item))


def check_text(text: str) -> None:
    """Refuse a NUL and a lone surrogate: PostgreSQL's text holds neither."""
    if "\x00" in text:
        raise PydanticCustomError("text_nul", "Text must not hold a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as bad:
        raise PydanticCustomError("text_surrogate", "Text must not hold half of a surrogate pair") from bad


def _email(text: str) -> str:
    try:
        # Reserved domains such as .test are fine here: whether mail arrives is found out by mailing.
        # Letters beyond ASCII before the at sign reach no mailbox without SMTPUTF8; domains have a spelling in ASCII.
        found = validate_email(text, allow_smtputf8=False, check_deliverability=False, test_environment=True)
    except EmailNotValidError as bad:
        raise PydanticCustomError("email_address", "This is not an e-mail address") from bad
    return (found.ascii_email or found.normalized).lower()


EmailAddress = Annotated[
    str,
    Field(max_length=254, json_schema_extra={"format": "email", "examples": ["dana@example.com"]}),
    AfterValidator(_email),
]
"""An e-mail address, lower case."""


class Input(BaseModel):
    """The base of every request body: unknown fields are refused, and so is text that can't be stored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        check_plain(value)
        return value
