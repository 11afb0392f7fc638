"""What Tranzila's codes mean: each is in one state, and only one of them all is a whole yes."""

from __future__ import annotations

import pytest

from loom.providers.payments.tranzila_codes import meaning_of

STATES = {
    "approved": ["000"],
    "partial": ["010"],
    "waiting": ["shva"],
    "unknown": ["009", "553", "706", "997", "425", "952"],
    "canceled": ["500", "700", "704", "705", "800"],
    "tampered": ["912791"],
    "declined": [
        "001", "002", "005", "003", "004", "006", "007", "008", "026", "012", "013", "014", "017", "300", "354", "439",
        "441", "445", "015", "416", "429", "016", "301", "318", "342", "447", "731", "426", "507", "401", "406", "410",
        "424", "450", "499", "051", "193", "951", "954", "036", "777", "999", "abc", "", "0000", "00", " ",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "code"), [(kind, code) for kind, codes in STATES.items() for code in codes])
def test_every_code_lands_where_the_table_says(kind: str, code: str) -> None:
    assert meaning_of(code).kind == kind


def test_of_all_codes_only_one_is_a_whole_yes() -> None:
    assert [code for code in (f"{number:03d}" for number in range(1000)) if meaning_of(code).kind == "approved"] == [
        "000"
    ]
