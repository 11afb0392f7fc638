"""From a bearer token to the one claim that Loom trusts: who it is."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeGuard, cast
from uuid import UUID

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey

from loom.core.errors import AppError
from loom.providers.tokens.issuer import ALGORITHM
from loom.providers.tokens.jwks import RemoteKeys

MAX_TOKEN_LENGTH = 8192
ASYMMETRIC = ["ES256", "RS256", "EdDSA", "Ed25519"]
LEEWAY_SECONDS = 10
REMEMBERED = 4096

KeyFinder = Callable[[str | None], Awaitable[KeySet | OctKey]]


class Proof(NamedTuple):
    """What a good token says."""

    subject: UUID | None
    """The user; None for a project's anonymous token."""
    expires: float
    """When the token ends, in seconds since 1970."""
    sign_in: UUID | None
    """The sign-in that it was issued for, where it names one."""


class TokenVerifier:
    """Checks signature, algorithm, issuer, audience and times, and gives the subject.

    Tokens that were found good are remembered until they expire: a signature costs more than the query behind it.
    """

    def __init__(self, keys: KeyFinder, algorithms: list[str], *, issuer: str | None, audience: str) -> None:
        self._keys = keys
        self._algorithms = algorithms
        self._issuer = issuer
        self._audience = audience
        self._good: OrderedDict[str, Proof] = OrderedDict()

    @classmethod
    def own(cls, keys: KeySet, *, issuer: str, audience: str) -> TokenVerifier:
        """For tokens of Loom's own issuer."""

        async def find(_: str | None) -> KeySet:
            return keys

        return cls(find, [ALGORITHM], issuer=issuer, audience=audience)

    @classmethod
    def shared_secret(cls, secret: str, *, issuer: str | None, audience: str) -> TokenVerifier:
        """For tokens of a Supabase project that signs with its JWT secret."""
        key = OctKey.import_key(secret)

        async def find(_: str | None) -> OctKey:
            return key

        return cls(find, ["HS256"], issuer=issuer, audience=audience)

    @classmethod
    def remote(cls, keys: RemoteKeys, *, issuer: str | None, audience: str) -> TokenVerifier:
        """For tokens of a Supabase project (or any other issuer) that publishes its keys."""
        return cls(keys.keys_for, ASYMMETRIC, issuer=issuer, audience=audience)

    async def subject(self, token: str) -> UUID | None:
        """The user's id; None for a project's anonymous token. Raises 401 with the code that says what is wrong."""
        return (await self.proof(token)).subject

    async def proof(self, token: str) -> Proof:
        """The same with when the token ends, and for which sign-in it was issued."""
        known = self._good.get(token)
        now = time.time()
        if known is not None:
            if known.expires > now:
                self._good.move_to_end(token)
                return known
            del self._good[token]
        proof = self._good[token] = self._read(await self._claims(token), now)
        if len(self._good) > REMEMBERED:
            self._good.popitem(last=False)
        return proof

    async def _claims(self, token: str) -> Mapping[str, Any]:
        if len(token) > MAX_TOKEN_LENGTH:
            raise _invalid()
        try:
            header = jws.extract_compact(token.encode("ascii")).headers()
            kid = header.get("kid")
            keys = await self._keys(kid if isinstance(kid, str) else None)
            return cast("Mapping[str, Any]", jwt.decode(token, keys, algorithms=self._algorithms).claims)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError) as bad:
            raise _invalid() from bad

    def _read(self, claims: Mapping[str, Any], now: float) -> Proof:
        """Subject, expiry and sign-in. The role is read only to refuse or to lessen, never to grant."""
        role = claims.get("role")
        if role in {"service_role", "supabase_admin"}:
            raise AppError(
                status=401,
                code="service_token_refused",
                detail="Service-role tokens are not accepted over HTTP.",
            )
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise _invalid()
        expires, starts = claims.get("exp"), claims.get("nbf", 0)
        if not _is_number(expires) or not _is_number(starts) or starts > now + LEEWAY_SECONDS:
            raise _invalid()
        if expires <= now:
            raise AppError(status=401, code="token_expired", detail="The token has expired; refresh it.")
        if role == "anon" and "sub" not in claims:
            return Proof(None, float(expires), None)
        audience: object = claims.get("aud")
        if audience != self._audience and not (isinstance(audience, list) and self._audience in audience):
            raise _invalid()
        subject = _uuid(claims.get("sub"))
        if subject is None:
            raise _invalid()
        return Proof(subject, float(expires), _uuid(claims.get("session_id")))


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(cast("str", value))
    except (ValueError, TypeError, AttributeError):
        return None


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _invalid() -> AppError:
    return AppError(status=401, code="token_invalid", detail="The token is not one that this server accepts.")
