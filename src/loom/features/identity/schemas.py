"""Shapes of identity: profiles, accounts, and what goes in and out of signing in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, HttpUrl, PlainSerializer

from loom.http.inputs import EmailAddress, Input

Role = Literal["client", "coach", "admin"]
Status = Literal["active", "inactive", "suspended"]
Language = Literal["en", "he"]

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f<>]+$")]
Phone = Annotated[str, Field(pattern=r"^\+?[0-9 ()./-]{5,30}$")]
Zone = Annotated[str, Field(min_length=1, max_length=64, examples=["Asia/Jerusalem"])]
Password = Annotated[str, Field(min_length=10, max_length=256, examples=["correct horse battery"])]
Secret = Annotated[str, Field(min_length=1, max_length=256)]
Code = Annotated[
    str, Field(min_length=6, max_length=32, description="Six digits of the authenticator app, or a recovery code.")
]
Reason = Annotated[str, Field(min_length=1, max_length=500)]
Address = Annotated[HttpUrl, PlainSerializer(str)]


class User(BaseModel):
    """A person, as those who may see them see them."""

    id: UUID
    email: str
    role: Role
    status: Status
    first_name: str | None
    last_name: str | None
    phone: str | None
    avatar_url: str | None
    timezone: str | None
    language: Language
    created_at: datetime
    updated_at: datetime
    last_seen_at: datetime | None


class UpdateProfile(Input):
    """What people change of themselves. A field that is left out stays; null empties it."""

    first_name: Name | None = None
    last_name: Name | None = None
    phone: Phone | None = None
    avatar_url: Address | None = None
    timezone: Zone | None = None
    language: Language | None = None


class SignUp(Input):
    """A new account. Everybody starts as a client."""

    email: EmailAddress
    password: Password
    first_name: Name | None = None
    last_name: Name | None = None
    timezone: Zone | None = None
    language: Language | None = None


class EmailOnly(Input):
    """An address that a mail may go to."""

    email: EmailAddress


class Accepted(BaseModel):
    """The same answer whether or not the address is known."""

    status: Literal["accepted"]


class LinkToken(Input):
    """The token of a mailed link."""

    token: Secret


class ResetPassword(Input):
    """The token of a mailed link, and the new password."""

    token: Secret
    password: Password


class SignIn(Input):
    """Address and password."""

    email: EmailAddress
    password: Secret


class SecondFactor(Input):
    """The challenge of a sign-in and a code that answers it."""

    challenge_token: Secret
    code: Code


class RefreshToken(Input):
    """The newest refresh token of a sign-in."""

    refresh_token: Secret


class Tokens(BaseModel):
    """A sign-in. The access token is sent with each request; the refresh token gets the next pair, once."""

    status: Literal["signed_in"]
    access_token: str
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(description="Seconds until the access token ends.")]
    refresh_token: str
    user_id: UUID


class SecondFactorRequired(BaseModel):
    """The password was right; now answer `POST /v1/auth/second-factor`."""

    status: Literal["second_factor_required"]
    challenge_token: str
    expires_in: int


SignInAnswer = Annotated[Tokens | SecondFactorRequired, Field(discriminator="status")]


class ChangePassword(Input):
    """The password that is, and the one that is to be."""

    current_password: Secret
    new_password: Password


class EnrolTotp(Input):
    """Starting a second factor asks for the password again."""

    password: Secret


class TotpEnrolment(BaseModel):
    """What an authenticator app needs. Nothing is asked of sign-ins until a code confirms it."""

    secret: str
    otpauth_uri: str


class TotpCode(Input):
    """A code of the authenticator app."""

    code: Code


class DisableTotp(Input):
    """Switching the second factor off asks for both factors."""

    password: Secret
    code: Code


class RecoveryCodes(BaseModel):
    """Each works once, in place of a code. They are shown this one time."""

    recovery_codes: list[str]


class SetRole(Input):
    """What the person is to be, and why."""

    role: Role
    reason: Reason | None = None


class SetStatus(Input):
    """The state the account is to have, and why."""

    status: Status
    reason: Reason | None = None


class Account(BaseModel):
    """An account with its credentials: never leaves the server."""

    id: UUID
    email: str
    status: Status
    language: Language
    password_hash: str | None
    email_verified_at: datetime | None
    totp_secret: str | None
    totp_confirmed_at: datetime | None
    totp_last_counter: int | None
    recovery_codes: list[str]
    locked: bool

    @property
    def has_second_factor(self) -> bool:
        """Whether sign-ins ask for a code."""
        return self.totp_secret is not None and self.totp_confirmed_at is not None


class AuthSession(BaseModel):
    """A sign-in as it is kept: the hash of its newest refresh token."""

    id: UUID
    user_id: UUID
    refresh_token_hash: str
    live: bool
    active: bool
    second_factor: bool
