"""The signed-in user: profile, password, second factor."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import Response

from loom.core.errors import AppError
from loom.db.database import Tx
from loom.features.identity import queries
from loom.features.identity.api.own_issuer import OwnIssuer, own_issuer
from loom.features.identity.schemas import (
    ChangePassword,
    DisableTotp,
    EnrolTotp,
    RecoveryCodes,
    Tokens,
    TotpCode,
    TotpEnrolment,
    UpdateProfile,
    User,
)
from loom.features.identity.service import accounts, profiles, second_factor, sign_in
from loom.features.identity.service.secrets import hash_password
from loom.http import AppServices, CallerId, RateLimit, Read, Service, Write, problems

router = APIRouter(prefix="/me", tags=["me"])

OWN_ISSUER = Depends(own_issuer)
FEW_TRIES = RateLimit("own_credentials", 10, per=60, by_address=60)


@router.get("", summary="One's own profile", responses=problems(404))
async def get_me(read: Read, user_id: CallerId) -> User:
    """404 for an account that is suspended or has no profile."""
    return await queries.get_user(read, user_id)


@router.patch("", summary="Change one's own profile", response_model=User, responses=problems(404))
async def update_me(body: UpdateProfile, write: Write) -> Response:
    """Only the fields that are sent change."""
    return await write.run(lambda tx: profiles.update_own(tx, write.user_id, body))


@router.post(
    "/password",
    summary="Change the password",
    responses=problems(403, 404),
    dependencies=[OWN_ISSUER, FEW_TRIES],
)
async def change_password(
    body: ChangePassword,
    app: AppServices,
    service: Service,
    context: OwnIssuer,
    user_id: CallerId,
) -> Tokens:
    """Ends every sign-in and starts a new one, whose tokens are the answer."""
    account = await accounts.account_of(app.database, user_id)
    await accounts.confirm_password(account, body.current_password)
    password_hash = await hash_password(body.new_password)

    async def work(tx: Tx) -> Tokens:
        await accounts.change_password(tx, user_id, password_hash)
        return await sign_in.start_session(tx, user_id, context, with_second_factor=account.has_second_factor)

    return await service.run("change the caller's own password", work)


@router.post(
    "/totp",
    summary="Start setting up a second factor",
    status_code=201,
    responses=problems(403, 404),
    dependencies=[OWN_ISSUER, FEW_TRIES],
)
async def enrol_totp(body: EnrolTotp, app: AppServices, service: Service, user_id: CallerId) -> TotpEnrolment:
    """A secret for an authenticator app. Starting again replaces it as long as no code has confirmed it."""
    account = await accounts.account_of(app.database, user_id)
    await accounts.confirm_password(account, body.password)
    return await service.run("set up the caller's second factor", lambda tx: second_factor.enrol(tx, account))


@router.post(
    "/totp/confirm",
    summary="Switch the second factor on",
    responses=problems(403, 404),
    dependencies=[OWN_ISSUER, FEW_TRIES],
)
async def confirm_totp(body: TotpCode, app: AppServices, service: Service, user_id: CallerId) -> RecoveryCodes:
    """With the first code of the app. The recovery codes are shown this one time."""
    account = await accounts.account_of(app.database, user_id)
    return await service.run(
        "switch the caller's second factor on", lambda tx: second_factor.confirm(tx, account, body.code)
    )


@router.post(
    "/totp/recovery-codes",
    summary="Make new recovery codes",
    responses=problems(403, 404),
    dependencies=[OWN_ISSUER, FEW_TRIES],
)
async def make_recovery_codes(body: TotpCode, app: AppServices, service: Service, user_id: CallerId) -> RecoveryCodes:
    """The ones before work no more."""
    await _spend_code(app, service, user_id, body.code)
    return await service.run("make the caller recovery codes", lambda tx: second_factor.new_codes(tx, user_id))


@router.post(
    "/totp/disable",
    summary="Switch the second factor off",
    status_code=204,
    responses=problems(403, 404),
    dependencies=[OWN_ISSUER, FEW_TRIES],
)
async def disable_totp(body: DisableTotp, app: AppServices, service: Service, user_id: CallerId) -> None:
    """Asks for both factors."""
    account = await accounts.account_of(app.database, user_id)
    await accounts.confirm_password(account, body.password)
    await _spend_code(app, service, user_id, body.code)
    await service.run("switch the caller's second factor off", lambda tx: second_factor.disable(tx, user_id))


async def _spend_code(app: AppServices, service: Service, user_id: UUID, code: str) -> None:
    """Use a code up in a transaction of its own: whatever comes after, it works no more."""
    account = await accounts.account_of(app.database, user_id)
    refused: list[AppError] = []

    async def work(tx: Tx) -> None:
        refusal = await second_factor.spend_code(tx, account, code)
        if refusal is not None:
            refused.append(refusal)

    await service.run("check the caller's second factor", work)
    if refused:
        raise refused[0]
