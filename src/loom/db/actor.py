"""Who acts: the role and the claims that a transaction runs with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

DbRole = Literal["anon", "authenticated", "service_role"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Only these three exist; a token never names the role."""

    user_id: UUID | None
    db_role: DbRole
    reason: str | None = None

    @staticmethod
    def anonymous() -> Actor:
        """Nobody in particular: sees next to nothing."""
        return Actor(None, "anon")

    @staticmethod
    def user(user_id: UUID) -> Actor:
        """A signed-in user, by the `sub` of a checked token."""
        return Actor(user_id, "authenticated")

    @staticmethod
    def service(reason: str) -> Actor:
        """Loom itself, past the policies; `reason` says why and reaches the database with the claims."""
        return Actor(None, "service_role", reason)

    @property
    def claims(self) -> str:
        """JSON for `request.jwt.claims`."""
        claims: dict[str, str] = {"role": self.db_role}
        if self.user_id is not None:
            claims["sub"] = str(self.user_id)
        if self.reason is not None:
            claims["reason"] = self.reason
        return json.dumps(claims)
