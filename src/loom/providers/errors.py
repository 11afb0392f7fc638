"""What a provider may answer besides success. Callers decide by class only, never by a vendor's own exception."""

from __future__ import annotations


class ProviderError(Exception):
    """A call to the outside did not succeed; `reason` is a short stable word, the text is for people."""

    def __init__(self, detail: str, *, reason: str = "provider_error") -> None:
        super().__init__(detail)
        self.reason = reason


class RetryableError(ProviderError):
    """Trying again later may succeed. `retry_after` is in seconds where the provider named a delay."""

    def __init__(self, detail: str, *, reason: str = "temporary", retry_after: float | None = None) -> None:
        super().__init__(detail, reason=reason)
        self.retry_after = retry_after


class PermanentError(ProviderError):
    """Trying again with the same input cannot succeed."""

    def __init__(self, detail: str, *, reason: str = "refused") -> None:
        super().__init__(detail, reason=reason)
