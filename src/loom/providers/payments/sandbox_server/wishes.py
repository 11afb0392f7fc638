"""What the sandbox can be told about itself, by JSON. What it does not know or can not do is refused with a reason."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from loom.providers.payments.sandbox_server.desk import Refusal
from loom.providers.payments.sandbox_server.store import FARTHEST_SECONDS, Object

Seconds = Annotated[float, Field(ge=0, le=FARTHEST_SECONDS, allow_inf_nan=False)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class _Wish(BaseModel):
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


class Fault(_Wish):
    """A call that breaks, so many times."""

    on: Word
    do: Literal["lost_before", "lost_after", "error_before", "error_after", "html", "html_after"]
    times: Annotated[int, Field(ge=0, le=1_000_000)] = 1


class Knobs(_Wish):
    """How an account, or everybody, behaves. The guide to cards says what each does."""

    delivery: Literal["normal", "late", "twice", "never", "withhold"] = "normal"
    delay_seconds: Seconds = 0
    faults: list[Fault] = []
    refunds: Literal["succeed", "pending"] = "succeed"
    states: dict[Word, Word] = {}
    search_lag_seconds: Seconds = 0
    report_lag_seconds: Seconds = 0
    notify: Literal["normal", "late", "twice", "never"] = "normal"
    notify_sum: Word | None = None
    notify_currency: Word | None = None
    tranzila_code: Word | None = None


class ClockWish(_Wish):
    """By how much the clock is put forward; less than nothing puts it back."""

    seconds: Annotated[float, Field(ge=-FARTHEST_SECONDS, le=FARTHEST_SECONDS, allow_inf_nan=False)]


W = TypeVar("W", bound=_Wish)


def understood(wish: type[W], body: Object) -> W:
    """The body as a wish. Raises Refusal with 422 and each thing that is wrong with it."""
    try:
        return wish.model_validate(body)
    except ValidationError as exc:
        wrong = [f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in exc.errors()]
        raise Refusal(422, "parameter_invalid", "; ".join(wrong[:10])) from exc
