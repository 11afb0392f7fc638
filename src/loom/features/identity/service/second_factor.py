"""One-time codes (TOTP, RFC 6238) as a second factor, and the recovery codes behind them."""

from __future__ import annotations

import hmac
import time
from uuid import UUID

import pyotp
from pyotp.hotp import HOTP
from pyotp.totp import TOTP

from loom.core.errors import AppError, Conflict
from loom.db.database import Tx
from loom.features.identity import queries
from loom.features.identity.schemas import Account, RecoveryCodes, TotpEnrolment
from loom.features.identity.service.secrets import hash_recovery_code, new_recovery_codes

STEP_SECONDS = 30
DIGITS = 6


async def enrol(tx: Tx, account: Account) -> TotpEnrolment:
    """A secret for an authenticator app; it asks nothing of anyone until a code confirms it."""
    secret = pyotp.random_base32()
    if not await queries.start_totp(tx, account.id, secret):
        raise Conflict("second_factor_on", "A second factor is set up already.", "Switch it off first.")
    uri = TOTP(secret).provisioning_uri(name=account.email, issuer_name="Loom")
    return TotpEnrolment(secret=secret, otpauth_uri=uri)


async def confirm(tx: Tx, account: Account, code: str) -> RecoveryCodes:
    """The first right code switches the second factor on. The recovery codes are shown now and never again."""
    if account.totp_secret is None:
        raise Conflict("second_factor_off", "No second factor is set up.", "Enrol first.")
    if account.totp_confirmed_at is not None:
        raise Conflict("second_factor_on", "A second factor is set up already.")
    counter = _counter_of(account.totp_secret, code)
    if counter is None:
        raise _invalid_code(403)
    codes = new_recovery_codes()
    hashes = [hash_recovery_code(code) for code in codes]
    if not await queries.confirm_totp(tx, account.id, account.totp_secret, counter, hashes):
        raise Conflict("second_factor_on", "A second factor is set up already.")
    await queries.note_identity_event(tx, account.id, "second_factor_on", {})
    return RecoveryCodes(recovery_codes=codes)


async def new_codes(tx: Tx, user_id: UUID) -> RecoveryCodes:
    """Ten new recovery codes in place of whatever was left."""
    codes = new_recovery_codes()
    if not await queries.set_recovery_codes(tx, user_id, [hash_recovery_code(code) for code in codes]):
        raise Conflict("second_factor_off", "No second factor is set up.")
    await queries.note_identity_event(tx, user_id, "recovery_codes_made", {})
    return RecoveryCodes(recovery_codes=codes)


async def disable(tx: Tx, user_id: UUID) -> None:
    """Sign-ins ask for no code any more."""
    await queries.stop_totp(tx, user_id)
    await queries.note_identity_event(tx, user_id, "second_factor_off", {})


async def spend_code(tx: Tx, account: Account, code: str, *, refusal: int = 403) -> AppError | None:
    """None for a right code, which is thereby used up; else the refusal, already counted.

    The refusal is a value and not raised, since raising would roll the count back.
    """
    if not account.has_second_factor or account.totp_secret is None:
        return Conflict("second_factor_off", "No second factor is set up.")
    if account.locked:
        return AppError("rate_limited", 429, "Too many wrong codes.", "Wait an hour.", {"retry_after": 3600})
    if await _spend(tx, account.id, account.totp_secret, code):
        await queries.clear_failed_codes(tx, account.id)
        return None
    await queries.note_failed_code(tx, account.id)
    return _invalid_code(refusal)


async def _spend(tx: Tx, user_id: UUID, secret: str, code: str) -> bool:
    if len(code) == DIGITS:
        counter = _counter_of(secret, code)
        return counter is not None and await queries.spend_totp_counter(tx, user_id, secret, counter)
    spent = await queries.spend_recovery_code(tx, user_id, hash_recovery_code(code))
    if spent:
        await queries.note_identity_event(tx, user_id, "recovery_code_used", {})
    return spent


def _counter_of(secret: str, code: str) -> int | None:
    """The step that the code belongs to: this one, the one before, or the one after for clocks that run ahead."""
    now = int(time.time()) // STEP_SECONDS
    totp = HOTP(secret, digits=DIGITS)
    for counter in (now, now - 1, now + 1):
        if hmac.compare_digest(totp.at(counter).encode(), code.encode()):
            return counter
    return None


def _invalid_code(status: int) -> AppError:
    return AppError("invalid_code", status, "The code is wrong, used up or too old.")
