"""Typed functions over queries.sql. Whoever calls decides, by the actor of the executor, what they may see."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast
from uuid import UUID

from pydantic import BaseModel

from loom.db.executor import Executor
from loom.db.sql import load_queries
from loom.features.identity.schemas import Account, AuthSession, Role, Status, UpdateProfile, User

SQL = load_queries("loom.features.identity")


class _Id(BaseModel):
    user_id: UUID


async def get_user(q: Executor, user_id: UUID) -> User:
    """A profile; NotFound where the policies show none."""
    return await q.fetch_one(SQL["get_user"], {"user_id": user_id}, User)


async def list_users(
    q: Executor, *, role: Role | None, search: str | None, after: tuple[object, object], limit: int
) -> list[User]:
    """Profiles that the policies show, newest first."""
    params = {
        "role": role,
        "search": search,
        "after_created_at": after[0],
        "after_id": after[1],
        "limit": limit,
    }
    return await q.fetch_all(SQL["list_users"], params, User)


async def update_profile(q: Executor, user_id: UUID, change: UpdateProfile) -> User:
    """Write the fields that were given."""
    params: dict[str, object] = {**change.model_dump(), "given": list(change.model_fields_set), "user_id": user_id}
    return await q.fetch_one(SQL["update_profile"], params, User)


async def set_user_role(q: Executor, user_id: UUID, role: Role, reason: str | None) -> None:
    """By the function that keeps the audit."""
    await q.execute(SQL["set_user_role"], {"user_id": user_id, "role": role, "reason": reason})


async def set_user_status(q: Executor, user_id: UUID, status: Status, reason: str | None) -> None:
    """By the function that keeps the audit and ends sign-ins."""
    await q.execute(SQL["set_user_status"], {"user_id": user_id, "status": status, "reason": reason})


async def find_account_by_email(q: Executor, email: str) -> Account | None:
    """The account of an address, in whatever state."""
    return await q.find_one(SQL["find_account_by_email"], {"email": email}, Account)


async def find_account(q: Executor, user_id: UUID) -> Account | None:
    """The account of a user, in whatever state."""
    return await q.find_one(SQL["find_account"], {"user_id": user_id}, Account)


async def create_account(q: Executor, email: str, profile: Mapping[str, str | None]) -> UUID:
    """A new account with its profile; the profile's values are checked by the database and dropped if odd."""
    given = json.dumps({name: value for name, value in profile.items() if value is not None})
    return cast("UUID", await q.fetch_value(SQL["create_account"], {"email": email, "profile": given}))


async def set_password(q: Executor, user_id: UUID, password_hash: str) -> None:
    """The password, whatever was there."""
    await q.execute(SQL["set_password"], {"user_id": user_id, "password_hash": password_hash})


async def replace_password_hash(q: Executor, user_id: UUID, old_hash: str, password_hash: str) -> None:
    """The same password hashed anew, unless it was changed meanwhile."""
    await q.execute(
        SQL["replace_password_hash"], {"user_id": user_id, "old_hash": old_hash, "password_hash": password_hash}
    )


async def set_unverified_password(q: Executor, user_id: UUID, password_hash: str) -> bool:
    """The password of an account whose address nobody has proven yet; False for any other."""
    return await q.execute(SQL["set_unverified_password"], {"user_id": user_id, "password_hash": password_hash}) > 0


async def mark_email_verified(q: Executor, user_id: UUID) -> None:
    """The address is the person's; a trigger ties what waits for it."""
    await q.execute(SQL["mark_email_verified"], {"user_id": user_id})


async def note_failed_code(q: Executor, user_id: UUID) -> None:
    """Count a wrong code; every tenth in a row locks second factors for an hour."""
    await q.execute(SQL["note_failed_code"], {"user_id": user_id})


async def clear_failed_codes(q: Executor, user_id: UUID) -> None:
    """Start counting anew."""
    await q.execute(SQL["clear_failed_codes"], {"user_id": user_id})


async def start_totp(q: Executor, user_id: UUID, secret: str) -> bool:
    """Keep a secret that no code has confirmed yet; False where one is confirmed."""
    return await q.execute(SQL["start_totp"], {"user_id": user_id, "secret": secret}) > 0


async def confirm_totp(q: Executor, user_id: UUID, secret: str, counter: int, recovery_codes: list[str]) -> bool:
    """From now on sign-ins ask for codes."""
    params = {"user_id": user_id, "secret": secret, "counter": counter, "recovery_codes": recovery_codes}
    return await q.execute(SQL["confirm_totp"], params) > 0


async def spend_totp_counter(q: Executor, user_id: UUID, secret: str, counter: int) -> bool:
    """True for exactly one caller per step and secret, and only for steps after the last one spent."""
    params = {"user_id": user_id, "secret": secret, "counter": counter}
    return await q.execute(SQL["spend_totp_counter"], params) > 0


async def spend_recovery_code(q: Executor, user_id: UUID, code_hash: str) -> bool:
    """True for exactly one caller per code."""
    return await q.execute(SQL["spend_recovery_code"], {"user_id": user_id, "code_hash": code_hash}) > 0


async def set_recovery_codes(q: Executor, user_id: UUID, hashes: list[str]) -> bool:
    """New codes in place of the old ones; False without a second factor."""
    return await q.execute(SQL["set_recovery_codes"], {"user_id": user_id, "recovery_codes": hashes}) > 0


async def stop_totp(q: Executor, user_id: UUID) -> None:
    """Forget the second factor."""
    await q.execute(SQL["stop_totp"], {"user_id": user_id})


async def start_auth_session(q: Executor, user_id: UUID, token_hash: str, days: int, user_agent: str | None) -> UUID:
    """A sign-in; gives its id."""
    params = {"user_id": user_id, "token_hash": token_hash, "days": days, "user_agent": user_agent}
    return cast("UUID", await q.fetch_value(SQL["start_auth_session"], params))


async def lock_auth_session(q: Executor, session_id: UUID) -> AuthSession | None:
    """The sign-in, locked: of two who refresh at once one comes second."""
    return await q.find_one(SQL["lock_auth_session"], {"session_id": session_id}, AuthSession)


async def set_refresh_token(q: Executor, session_id: UUID, token_hash: str, days: int) -> None:
    """The next refresh token."""
    await q.execute(SQL["set_refresh_token"], {"session_id": session_id, "token_hash": token_hash, "days": days})


async def revoke_auth_session(q: Executor, session_id: UUID, reason: str) -> None:
    """End one sign-in."""
    await q.execute(SQL["revoke_auth_session"], {"session_id": session_id, "reason": reason})


async def revoke_auth_sessions(q: Executor, user_id: UUID, reason: str) -> None:
    """End every sign-in of a user."""
    await q.execute(SQL["revoke_auth_sessions"], {"user_id": user_id, "reason": reason})


async def touch_last_seen(q: Executor, user_id: UUID) -> None:
    """The user was here."""
    await q.execute(SQL["touch_last_seen"], {"user_id": user_id})


async def keep_one_time_token(
    q: Executor, user_id: UUID, token_hash: str, *, purpose: str, email: str, seconds: int
) -> None:
    """Keep the hash of a token that works once, for a while, and only as long as the address stays."""
    params = {"user_id": user_id, "token_hash": token_hash, "purpose": purpose, "email": email, "seconds": seconds}
    await q.execute(SQL["keep_one_time_token"], params)


async def find_one_time_token(q: Executor, token_hash: str, purpose: str) -> UUID | None:
    """Whose token it is, if it still works; it goes on working."""
    found = await q.find_one(SQL["find_one_time_token"], {"token_hash": token_hash, "purpose": purpose}, _Id)
    return found.user_id if found else None


async def use_one_time_token(q: Executor, token_hash: str, purpose: str) -> UUID | None:
    """Whose token it is, for exactly one caller; after that it works no more."""
    found = await q.find_one(SQL["use_one_time_token"], {"token_hash": token_hash, "purpose": purpose}, _Id)
    return found.user_id if found else None


async def drop_one_time_tokens(q: Executor, user_id: UUID, purpose: str) -> None:
    """Forget the open tokens of a purpose."""
    await q.execute(SQL["drop_one_time_tokens"], {"user_id": user_id, "purpose": purpose})


async def note_identity_event(q: Executor, user_id: UUID, event: str, details: Mapping[str, object]) -> None:
    """Append to the audit of accounts."""
    await q.execute(
        SQL["note_identity_event"], {"user_id": user_id, "event": event, "details": json.dumps(details, default=str)}
    )


async def enqueue(q: Executor, task: str, args: Mapping[str, object]) -> None:
    """Put a job into the queue, with the transaction or not at all."""
    await q.execute(SQL["enqueue"], {"task": task, "args": json.dumps(args, default=str)})


async def purge(q: Executor) -> None:
    """Delete what has served: old idempotency keys, counted windows, links, ended sign-ins."""
    await q.execute(SQL["purge_identity"], {})
