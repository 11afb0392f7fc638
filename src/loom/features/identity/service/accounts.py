"""Making accounts, proving addresses, and changing passwords."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from pydantic import ValidationError

from loom.core.errors import AppError, Conflict, Invalid
from loom.db.actor import Actor
from loom.db.database import Database, Tx
from loom.features.identity import queries
from loom.features.identity.schemas import Account, Language, Role, SignUp
from loom.features.identity.service.secrets import hash_password, hash_token, new_token, password_fits

VERIFY_EMAIL = "verify_email"
RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a purpose
MAIL_TASK = "identity.send_mail"


@dataclass(frozen=True, slots=True)
class CreatedUser:
    """A user made by the operator; `password` is set where Loom made one up."""

    user_id: UUID
    email: str
    role: Role
    password: str | None


async def create_user(
    database: Database,
    *,
    email: str,
    role: Role,
    password: str | None = None,
    first_name: str | None = None,
    last_name: str | None = None,
    timezone: str | None = None,
    language: Language | None = None,
) -> CreatedUser:
    """An account by the operator's hand: verified, with any role.

    Raises 422 `invalid_account` for an odd address or a short password, 409 `email_taken`.
    """
    made_up = new_token()
    try:
        account = SignUp(email=email.strip(), password=password or made_up)
    except ValidationError as bad:
        raise Invalid("invalid_account", "; ".join(str(error["msg"]) for error in bad.errors())) from bad
    address = account.email
    password_hash = await hash_password(account.password)
    profile = {"first_name": first_name, "last_name": last_name, "timezone": timezone, "language": language}

    async def work(tx: Tx) -> UUID:
        if await queries.find_account_by_email(tx, address) is not None:
            raise Conflict("email_taken", "There is an account with this address.")
        user_id = await queries.create_account(tx, address, profile)
        await queries.set_password(tx, user_id, password_hash)
        await queries.mark_email_verified(tx, user_id)
        await queries.set_user_role(tx, user_id, role, "made by the operator")
        return user_id

    user_id = await database.run(Actor.service("make an account for the operator"), work)
    return CreatedUser(user_id, address, role, made_up if password is None else None)


async def sign_up(tx: Tx, command: SignUp, password_hash: str) -> None:
    """A new client, or nothing that the caller could tell from it.

    For a known address that nobody has proven yet the newest sign-up counts, so that a stranger's attempt does not
    keep the owner out. For a proven one only a mail goes out.
    """
    known = await queries.find_account_by_email(tx, command.email)
    if known is None:
        profile = {
            "first_name": command.first_name,
            "last_name": command.last_name,
            "timezone": command.timezone,
            "language": command.language,
        }
        user_id = await queries.create_account(tx, command.email, profile)
        await queries.set_password(tx, user_id, password_hash)
        await request_mail(tx, VERIFY_EMAIL, command.email)
    elif await queries.set_unverified_password(tx, known.id, password_hash):
        await queries.drop_one_time_tokens(tx, known.id, VERIFY_EMAIL)
        await request_mail(tx, VERIFY_EMAIL, command.email)
    else:
        await request_mail(tx, "account_exists", command.email)


async def request_mail(tx: Tx, purpose: str, email: str) -> None:
    """Ask the worker for a mail. It makes the token itself, so that none lies in the queue."""
    await queries.enqueue(tx, MAIL_TASK, {"purpose": purpose, "email": email})


async def verify_email(tx: Tx, token: str) -> None:
    """The address is proven. Raises 422 `invalid_link`."""
    user_id = await queries.use_one_time_token(tx, hash_token(token), VERIFY_EMAIL)
    if user_id is None:
        raise _invalid_link()
    await queries.mark_email_verified(tx, user_id)


async def reset_password(tx: Tx, token: str, password_hash: str) -> None:
    """A new password by a mailed link; every sign-in ends, and the address is proven by the way."""
    user_id = await queries.use_one_time_token(tx, hash_token(token), RESET_PASSWORD)
    if user_id is None:
        raise _invalid_link()
    await queries.set_password(tx, user_id, password_hash)
    await queries.mark_email_verified(tx, user_id)
    await queries.drop_one_time_tokens(tx, user_id, RESET_PASSWORD)
    await queries.revoke_auth_sessions(tx, user_id, "password_reset")
    await queries.note_identity_event(tx, user_id, "password_reset", {})


async def change_password(tx: Tx, user_id: UUID, password_hash: str) -> None:
    """A new password; every sign-in ends."""
    await queries.set_password(tx, user_id, password_hash)
    await queries.drop_one_time_tokens(tx, user_id, RESET_PASSWORD)
    await queries.revoke_auth_sessions(tx, user_id, "password_changed")
    await queries.note_identity_event(tx, user_id, "password_changed", {})


async def account_of(database: Database, user_id: UUID) -> Account:
    """The signed-in user's account. Raises 403 `account_inactive`, 404 for a user of another issuer."""
    reader = database.reader(Actor.service("read the caller's own credentials"))
    account = await queries.find_account(reader, user_id)
    if account is None:
        raise AppError("not_found", 404, "There is no such thing here.")
    if account.status != "active":
        raise AppError("account_inactive", 403, "The account is suspended or switched off.")
    return account


async def confirm_password(account: Account, password: str) -> None:
    """Ask again. Raises 403 `invalid_credentials`."""
    if not await password_fits(account.password_hash, password):
        raise AppError("invalid_credentials", 403, "The password is not right.")


def _invalid_link() -> AppError:
    return AppError("invalid_link", 422, "The link is unknown, used or too old.", "Ask for a new one.")
