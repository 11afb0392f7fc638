"""Errors that a caller is told about. Every layer raises these; the web layer turns them into problem details."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class AppError(Exception):
    """A refusal with a stable code.

    `code` is snake_case and part of the API, `status` is the HTTP status it answers with, `detail` one plain
    sentence, `hint` what to do about it, `extra` further members of the problem document.
    """

    def __init__(
        self, code: str, status: int, detail: str, hint: str | None = None, extra: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.status = status
        self.detail = detail
        self.hint = hint
        self.extra: dict[str, object] = dict(extra or {})


class NotFound(AppError):
    """404. What is invisible and what does not exist answer with the same words."""

    def __init__(self, detail: str = "There is no such thing here.") -> None:
        super().__init__("not_found", 404, detail)


class Invalid(AppError):
    """422 with a code of its own choosing."""

    def __init__(self, code: str, detail: str, hint: str | None = None) -> None:
        super().__init__(code, 422, detail, hint)


class Conflict(AppError):
    """409: the request is fine, the state of things is not."""

    def __init__(self, code: str, detail: str, hint: str | None = None) -> None:
        super().__init__(code, 409, detail, hint)


class DatabaseUnavailable(AppError):
    """503: no connection to PostgreSQL now. Loom recovers by itself when the database is back."""

    def __init__(self, detail: str = "The database cannot be reached now.", hint: str | None = None) -> None:
        super().__init__("database_unavailable", 503, detail, hint or "Try again shortly.")


class ExitCode(IntEnum):
    """What a command ends with. 2 is a command line that makes no sense; signals end with 128 plus theirs."""

    OK = 0
    FAILED = 1
    OPEN_QUESTIONS = 3
    NO_RIGHTS = 4
    NOT_LOOM = 5
    NEWER = 6
    INTERRUPTED = 7
    UNREACHABLE = 8
    HALF_ADOPTED = 9
    DRIFT = 10


class OperatorError(Exception):
    """Something that the person at the command line must put right. The message says what and how."""

    exit_code = ExitCode.FAILED


ERROR_CODES: dict[str, str] = {
    "not_found": "There is no such thing, or it is not yours to see.",
    "database_unavailable": "PostgreSQL cannot be reached now. Nothing was changed, unless the hint says otherwise.",
    "busy": "Another change got in the way, several times over. Nothing was changed; try again.",
    "timeout": "The database took longer than allowed. Nothing was changed.",
    "conflict": "What was sent collides with what is already there.",
    "invalid_reference": "What was sent names something that does not exist.",
    "invalid_value": "A value has the wrong form or is out of range.",
    "too_many_decimals": "The amount has more decimals than its currency knows.",
    "missing_value": "A value that is needed is missing.",
    "in_use": "It cannot be removed, since other things rely on it.",
    "internal": "Loom made a mistake. The request id finds it in the log.",
}
