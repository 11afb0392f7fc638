"""From PostgreSQL's errors to Loom's: one table for SQLSTATEs, one registry for constraint names."""

from __future__ import annotations

import re
from collections.abc import Mapping

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from loom.core.errors import AppError, DatabaseUnavailable, NotFound

ConstraintErrors = Mapping[str, tuple[int, str, str]]

RETRYABLE = frozenset({"40001", "40P01", "55P03"})

# SQLSTATE (or its class) -> status, code, sentence
_STATES: dict[str, tuple[int, str, str]] = {
    "23505": (409, "conflict", "That is already there."),
    "23P01": (409, "conflict", "That collides with something already there."),
    "23503": (422, "invalid_reference", "That names something that does not exist."),
    "23001": (409, "in_use", "Other things rely on it."),
    "23502": (422, "missing_value", "A value that is needed is missing."),
    "23514": (422, "invalid_value", "A value is not allowed."),
    "22": (422, "invalid_value", "A value has the wrong form or is out of range."),
    "40": (409, "busy", "Another change got in the way. Try again."),
    "55P03": (409, "busy", "Another change got in the way. Try again."),
    "57014": (503, "timeout", "The database took longer than allowed."),
}
_GONE = re.compile(r"^(08...|57P0[1-5]|53300|25P0[345])$")

_constraints: dict[str, tuple[int, str, str]] = {}


def register(errors: ConstraintErrors) -> None:
    """Adds a feature's CONSTRAINT_ERRORS (constraint -> status, code, sentence). Done by whoever composes a process."""
    _constraints.update(errors)


def is_connection_loss(exc: Exception) -> bool:
    """Whether there is no database to talk to, as against one that answered with an error."""
    if isinstance(exc, (PoolTimeout, PoolClosed, TooManyRequests)):
        return True
    if not isinstance(exc, psycopg.Error):
        return False
    if exc.sqlstate is not None:
        return _GONE.match(exc.sqlstate) is not None
    return isinstance(exc, (psycopg.OperationalError, psycopg.InterfaceError))


def translate(exc: Exception) -> AppError:
    """The AppError for an error of psycopg or its pool. What nobody foresaw is `internal`, 500."""
    if is_connection_loss(exc):
        return DatabaseUnavailable()
    return _translate_answer(exc) if isinstance(exc, psycopg.Error) else _internal()


def _translate_answer(exc: psycopg.Error) -> AppError:
    # Without a state it never reached the server: a NUL byte in a text, a number too long for any type.
    state = exc.sqlstate or ("22" if isinstance(exc, psycopg.DataError) else "")
    diag = exc.diag
    if state.startswith("PT") and state[2:].isdigit():
        code = diag.constraint_name or "refused"
        return AppError(code, int(state[2:]), diag.message_primary or code, diag.message_hint)
    if state == "42501":
        return NotFound()
    found = _constraints.get(diag.constraint_name or "") or _STATES.get(state) or _STATES.get(state[:2])
    if found is None:
        return _internal()
    status, code, sentence = found
    return AppError(code, status, sentence, diag.message_hint)


def _internal() -> AppError:
    return AppError("internal", 500, "Something went wrong on our side.")


def lost_to_others(error: AppError) -> bool:
    """Whether the same transaction may succeed if it is run again."""
    cause = error.__cause__
    return isinstance(cause, psycopg.Error) and cause.sqlstate in RETRYABLE
