"""Signatures of webhooks: what is believed, and two thousand forgeries that are not."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from loom.providers.payments import WebhookRefusedError
from loom.providers.payments.signatures import sign, verify


def test_a_signature_fits_only_its_body_its_secret_and_its_time() -> None:
    body, now = b'{"id": 1}', 1_000_000
    header = sign("secret", body, now)
    verify(header, body, ["other", "secret"], now + 300)
    verify(f"t={now},v1={'0' * 64},{header.partition(',')[2]}", body, ["secret"], now)
    for wrong, at in ((body + b" ", now), (body, now + 301), (body, now - 301)):
        with pytest.raises(WebhookRefusedError):
            verify(header, wrong, ["secret"], at)
    for secrets in ([], [""], ["other"]):
        with pytest.raises(WebhookRefusedError):
            verify(header, body, secrets, now)
    for broken in (
        None,
        "",
        "t=1",
        "v1=abc",
        f"t={now}",
        f"t=x,v1={'0' * 64}",
        header.replace("v1", "v0"),
        f"t={now},{header}",
    ):
        with pytest.raises(WebhookRefusedError):
            verify(broken, body, ["secret"], now)


BODY = b'{"id": "evt_1", "data": {"object": {"amount": 25000}}}'
NOW = 1_800_000_000
SECRET = "whsec_test"


def _flip(raw: bytes, chance: random.Random) -> bytes:
    """One bit is another."""
    place = chance.randrange(len(raw))
    return raw[:place] + bytes([raw[place] ^ (1 << chance.randrange(7))]) + raw[place + 1 :]


def _other_header(chance: random.Random) -> str:
    """The header with one of its characters another, or cut, or twice."""
    header = sign(SECRET, BODY, NOW)
    ways: list[Callable[[], str]] = [
        lambda: _flip(header.encode(), chance).decode("latin-1"),
        lambda: header[: chance.randrange(len(header))],
        lambda: header.replace("v1=", f"v{chance.choice('023456789')}="),
        lambda: f"t={NOW + chance.choice([-301, 301, 10_000])},{header.partition(',')[2]}",
        lambda: f"t={NOW},v1={chance.getrandbits(256):064x},v1={chance.getrandbits(256):064x}",
        lambda: sign(chance.choice(["", "whsec_Test", SECRET + " ", SECRET[:-1]]), BODY, NOW),
        lambda: sign(SECRET, BODY, NOW + chance.choice([-301, 301, -86_400, 86_400])),
    ]
    return chance.choice(ways)()


def _believed(header: str, body: bytes, secrets: list[str]) -> bool:
    try:
        verify(header, body, secrets, NOW)
    except WebhookRefusedError:
        return False
    return True


def test_two_thousand_forgeries_are_refused() -> None:
    chance = random.Random(6)  # noqa: S311 - forgeries that come again, not secrets
    good = sign(SECRET, BODY, NOW)
    forged = [(good, _flip(BODY, chance)) for _ in range(1000)]
    forged += [(header, BODY) for header in (_other_header(chance) for _ in range(1000)) if header != good]
    assert [pair for pair in forged if _believed(*pair, [SECRET])] == []
    assert len(forged) >= 1990
    # The control: what was forged is believed as soon as nothing is.
    assert _believed(good, BODY, [SECRET])
    assert not _believed(good, BODY, [])
