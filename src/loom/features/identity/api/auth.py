"""Signing up, in and out with Loom's own issuer."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from loom.core.errors import AppError
from loom.db.database import Tx
from loom.features.identity.api.own_issuer import OwnIssuer, own_issuer
from loom.features.identity.schemas import (
    Accepted,
    EmailOnly,
    LinkToken,
    RefreshToken,
    ResetPassword,
    SecondFactor,
    SignIn,
    SignInAnswer,
    SignUp,
    Tokens,
)
from loom.features.identity.service import accounts, sign_in
from loom.features.identity.service.secrets import hash_password
from loom.http import AppServices, CallerId, RateLimit, Service, problems

router = APIRouter(prefix="/auth", tags=["auth"], dependencies=[Depends(own_issuer)])

ACCEPTED = Accepted(status="accepted")


@router.post(
    "/sign-up",
    summary="Make an account",
    status_code=202,
    responses=problems(403),
    dependencies=[RateLimit("sign_up", 5, per=3600, subject="email", by_address=60)],
)
async def sign_up(body: SignUp, app: AppServices, service: Service) -> Accepted:
    """A new account is a client's and waits for its address to be verified. A known address gets the same answer."""
    if not app.settings.allow_sign_up:
        raise AppError("sign_up_closed", 403, "This server lets nobody make themselves an account.")
    password_hash = await hash_password(body.password)

    async def work(tx: Tx) -> None:
        await accounts.sign_up(tx, body, password_hash)

    await service.run("sign up", work)
    return ACCEPTED


@router.post(
    "/verify-email",
    summary="Prove an address by the mailed token",
    status_code=204,
    dependencies=[RateLimit("verify_email", 60, per=60)],
)
async def verify_email(body: LinkToken, service: Service) -> None:
    """Works once. What coaches and hosts kept under the address becomes the account's."""

    async def work(tx: Tx) -> None:
        await accounts.verify_email(tx, body.token)

    await service.run("verify an address", work)


@router.post(
    "/resend-verification",
    summary="Mail the verification again",
    status_code=202,
    dependencies=[RateLimit("resend_verification", 3, per=3600, subject="email", by_address=60)],
)
async def resend_verification(body: EmailOnly, service: Service) -> Accepted:
    """The answer does not say whether the address is known or verified."""

    async def work(tx: Tx) -> None:
        await accounts.request_mail(tx, accounts.VERIFY_EMAIL, body.email)

    await service.run("mail a verification again", work)
    return ACCEPTED


@router.post(
    "/sign-in",
    summary="Sign in with address and password",
    responses=problems(401, 403),
    dependencies=[
        RateLimit("sign_in", 5, per=60, subject="email", by_address=60),
        RateLimit("sign_in_hour", 40, per=3600, subject="email", by_address=1000),
    ],
)
async def sign_in_with_password(body: SignIn, app: AppServices, context: OwnIssuer) -> SignInAnswer:
    """Tokens, or a challenge where a second factor is set up."""
    return await sign_in.sign_in(app.database, body, context)


@router.post(
    "/second-factor",
    summary="Answer the challenge of a sign-in",
    responses=problems(401, 403),
    dependencies=[RateLimit("second_factor", 10, per=60, subject="challenge_token")],
)
async def answer_second_factor(body: SecondFactor, app: AppServices, context: OwnIssuer) -> Tokens:
    """With a code of the authenticator app, which works once, or with a recovery code."""
    return await sign_in.answer_challenge(app.database, body.challenge_token, body.code, context)


@router.post(
    "/refresh",
    summary="Get the next pair of tokens",
    responses=problems(401),
    dependencies=[RateLimit("refresh", 300, per=60)],
)
async def refresh_tokens(body: RefreshToken, app: AppServices, context: OwnIssuer) -> Tokens:
    """Each refresh token works once; using one again ends the sign-in."""
    return await sign_in.refresh(app.database, body.refresh_token, context)


@router.post("/sign-out", summary="End this sign-in", status_code=204, responses=problems(401))
async def sign_out(body: RefreshToken, service: Service) -> None:
    """The refresh token is the proof; no access token is needed."""

    async def work(tx: Tx) -> None:
        await sign_in.sign_out(tx, body.refresh_token)

    await service.run("sign out", work)


@router.post("/sign-out-everywhere", summary="End every sign-in", status_code=204)
async def sign_out_everywhere(user_id: CallerId, service: Service) -> None:
    """On every device. Access tokens that are out live on for their quarter of an hour."""

    async def work(tx: Tx) -> None:
        await sign_in.sign_out_everywhere(tx, user_id)

    await service.run("sign out everywhere", work)


@router.post(
    "/request-password-reset",
    summary="Mail a link that sets a new password",
    status_code=202,
    dependencies=[RateLimit("request_password_reset", 3, per=3600, subject="email", by_address=60)],
)
async def request_password_reset(body: EmailOnly, service: Service) -> Accepted:
    """The answer does not say whether the address is known."""

    async def work(tx: Tx) -> None:
        await accounts.request_mail(tx, accounts.RESET_PASSWORD, body.email)

    await service.run("mail a password reset", work)
    return ACCEPTED


@router.post(
    "/reset-password",
    summary="Set a new password by the mailed token",
    status_code=204,
    dependencies=[RateLimit("reset_password", 30, per=60)],
)
async def reset_password(body: ResetPassword, service: Service) -> None:
    """Works once, and ends every sign-in."""
    password_hash = await hash_password(body.password)

    async def work(tx: Tx) -> None:
        await accounts.reset_password(tx, body.token, password_hash)

    await service.run("reset a password", work)
