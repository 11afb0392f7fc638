"""From a bearer token to the one claim that Loom trusts: who it is."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeGuard, cast
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


class TokenVerifier:
    """Checks signature, algorithm, issuer, audience and times, and gives the subject.

    Tokens that were found good are remembered until they expire: a signature costs more than the query behind it.
    """

    def __init__(self, keys: KeyFinder, algorithms: list[str], *, issuer: str | None, audience: str) -> None:
        self._keys = keys
        self._algorithms = algorithms
        self._issuer = issuer
        self._audience = audience
        self._good: OrderedDict[str, tuple[UUID | None, float]] = OrderedDict()

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
        return (await self.subject_until(token))[0]

    async def subject_until(self, token: str) -> tuple[UUID | None, float]:
        """The same with the moment at which the token ends, in seconds since 1970."""
        known = self._good.get(token)
        now = time.time()
        if known is not None:
            if known[1] > now:
                self._good.move_to_end(token)
                return known
            del self._good[token]
        subject, expires = self._read(await self._claims(token), now)
        self._good[token] = (subject, expires)
        if len(self._good) > REMEMBERED:
            self._good.popitem(last=False)
        return subject, expires

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

    def _read(self, claims: Mapping[str, Any], now: float) -> tuple[UUID | None, float]:
        """Subject and expiry. The role is read only to refuse or to lessen, never to grant."""
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
            return None, float(expires)
        audience: object = claims.get("aud")
        if audience != self._audience and not (isinstance(audience, list) and self._audience in audience):
            raise _invalid()
        try:
            return UUID(cast("str", claims["sub"])), float(expires)
        except (KeyError, ValueError, TypeError, AttributeError) as bad:
            raise _invalid() from bad


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _invalid() -> AppError:
    return AppError(status=401, code="token_invalid", detail="The token is not one that this server accepts.")
