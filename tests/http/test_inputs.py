"""What request bodies may hold."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from loom.http.inputs import EmailAddress

ADDRESS: TypeAdapter[str] = TypeAdapter(EmailAddress)


def test_an_address_is_kept_in_the_spelling_that_mail_can_be_sent_to() -> None:
    assert ADDRESS.validate_python("Noa@Example.org") == "noa@example.org"
    assert ADDRESS.validate_python("a@Exämple.org") == "a@xn--exmple-cua.org"


@pytest.mark.parametrize("text", ["ü@example.org", "נועה@example.org", "a b@example.org", "a@", ""])
def test_an_address_that_no_mail_can_be_sent_to_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        ADDRESS.validate_python(text)
