"""Signing in and staying signed in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

from loom.core.errors import AppError
from loom.db.actor import Actor
from loom.db.database import Database, Tx
from loom.features.identity import queries
from loom.features.identity.schemas import Account, SecondFactorRequired, SignIn, Tokens
from loom.features.identity.service import second_factor
from loom.features.identity.service.secrets import (
    hash_password,
    hash_token,
    needs_new_hash,
    new_token,
    password_fits,
)
from loom.providers.tokens import TokenIssuer

CHALLENGE = "sign_in_challenge"
CHALLENGE_SECONDS = 300

_REFRESH_TOKEN = re.compile(r"([0-9a-f]{32})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class SignInContext:
    """What every sign-in needs: who signs tokens, how long it lasts, and what the caller calls itself."""

    issuer: TokenIssuer
    days: int
    user_agent: str | None


async def sign_in(database: Database, command: SignIn, context: SignInContext) -> Tokens | SecondFactorRequired:
    """Tokens, or the demand for a code. What is wrong is told only to somebody who knows the password."""
    reader = database.reader(Actor.service("find who signs in"))
    account = await queries.find_account_by_email(reader, command.email)
    if not await password_fits(account.password_hash if account else None, command.password) or account is None:
        raise AppError("invalid_credentials", 401, "No account has this address and this password.")
    _require_usable(account)
    old_hash = account.password_hash
    new_hash = await hash_password(command.password) if old_hash is not None and needs_new_hash(old_hash) else None

    async def work(tx: Tx) -> Tokens | SecondFactorRequired:
        if old_hash is not None and new_hash is not None:
            await queries.replace_password_hash(tx, account.id, old_hash, new_hash)
        if account.has_second_factor:
            challenge = new_token()
            await queries.keep_one_time_token(
                tx,
                account.id,
                hash_token(challenge),
                purpose=CHALLENGE,
                email=account.email,
                seconds=CHALLENGE_SECONDS,
            )
            return SecondFactorRequired(
                status="second_factor_required", challenge_token=challenge, expires_in=CHALLENGE_SECONDS
            )
        return await start_session(tx, account.id, context, with_second_factor=False)

    return await database.run(Actor.service("sign in"), work)


async def answer_challenge(database: Database, challenge: str, code: str, context: SignInContext) -> Tokens:
    """Tokens for the right code. A wrong one is counted, whatever becomes of the request."""

    async def work(tx: Tx) -> Tokens | AppError:
        user_id = await queries.find_one_time_token(tx, hash_token(challenge), CHALLENGE)
        account = await queries.find_account(tx, user_id) if user_id is not None else None
        if account is None:
            return AppError("invalid_link", 401, "The challenge is unknown, used or too old.", "Sign in again.")
        _require_usable(account)
        wrong = await second_factor.spend_code(tx, account, code, refusal=401)
        if wrong is not None:
            return wrong
        await queries.use_one_time_token(tx, hash_token(challenge), CHALLENGE)
        return await start_session(tx, account.id, context, with_second_factor=True)

    return _or_raise(await database.run(Actor.service("sign in with a second factor"), work))


async def start_session(tx: Tx, user_id: UUID, context: SignInContext, *, with_second_factor: bool) -> Tokens:
    """A sign-in with its first pair of tokens."""
    secret = new_token()
    session_id = await queries.start_auth_session(tx, user_id, hash_token(secret), context.days, context.user_agent)
    await queries.touch_last_seen(tx, user_id)
    return _tokens(context.issuer, user_id, session_id, secret, with_second_factor=with_second_factor)


async def refresh(database: Database, token: str, context: SignInContext) -> Tokens:
    """The next pair. A token that is not the newest of a living sign-in ends that sign-in: somebody copied it.

    Every refresh token names its sign-in, so one from long ago is recognised too.
    """
    session_id, secret = _parse(token)

    async def work(tx: Tx) -> Tokens | AppError:
        session = await queries.lock_auth_session(tx, session_id)
        if session is None or not session.live or not session.active:
            return _refresh_refused()
        if session.refresh_token_hash != hash_token(secret):
            await queries.revoke_auth_session(tx, session.id, "refresh_token_reused")
            await queries.note_identity_event(
                tx, session.user_id, "refresh_token_reused", {"auth_session_id": session.id}
            )
            return AppError("refresh_token_reused", 401, "The refresh token was used before.", "Sign in again.")
        successor = new_token()
        await queries.set_refresh_token(tx, session.id, hash_token(successor), context.days)
        await queries.touch_last_seen(tx, session.user_id)
        return _tokens(context.issuer, session.user_id, session.id, successor, with_second_factor=session.second_factor)

    return _or_raise(await database.run(Actor.service("refresh a sign-in"), work))


async def sign_out(tx: Tx, token: str) -> None:
    """End the sign-in of a refresh token. An unknown or old one ends nothing, and that is fine too."""
    session_id, secret = _parse(token)
    session = await queries.lock_auth_session(tx, session_id)
    if session is not None and session.refresh_token_hash == hash_token(secret):
        await queries.revoke_auth_session(tx, session_id, "signed_out")


async def sign_out_everywhere(tx: Tx, user_id: UUID) -> None:
    """End every sign-in of the user. Access tokens live on until they expire, a quarter of an hour at most."""
    await queries.revoke_auth_sessions(tx, user_id, "signed_out_everywhere")


def _require_usable(account: Account) -> None:
    if account.status != "active":
        raise AppError("account_inactive", 403, "The account is suspended or switched off.")
    if account.email_verified_at is None:
        raise AppError("email_not_verified", 403, "The address is not verified yet.", "Follow the link in the mail.")


def _tokens(issuer: TokenIssuer, user_id: UUID, session_id: UUID, secret: str, *, with_second_factor: bool) -> Tokens:
    return Tokens(
        status="signed_in",
        access_token=issuer.access_token(user_id, session_id, second_factor=with_second_factor),
        token_type="bearer",  # noqa: S106 - a kind of token
        expires_in=issuer.lifetime_seconds,
        refresh_token=f"{session_id.hex}.{secret}",
        user_id=user_id,
    )


def _parse(token: str) -> tuple[UUID, str]:
    found = _REFRESH_TOKEN.fullmatch(token)
    if found is None:
        raise _refresh_refused()
    return UUID(found[1]), found[2]


def _refresh_refused() -> AppError:
    return AppError("refresh_token_invalid", 401, "The refresh token is unknown, expired or revoked.", "Sign in again.")


def _or_raise(outcome: Tokens | AppError) -> Tokens:
    """Refusals come back as values, so that what they wrote is committed before they are raised."""
    if isinstance(outcome, AppError):
        raise outcome
    return outcome
