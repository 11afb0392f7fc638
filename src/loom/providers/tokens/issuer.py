"""Loom's own issuer: signing keys made at first start, and short-lived access tokens."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

ALGORITHM = "ES256"


def load_or_create_keys(folder: Path) -> KeySet:
    """The signing keys in `folder`, made if there are none. The first one signs; all of them verify.

    Two processes that start at once end with the same key: the file appears whole, by the first one to link it.
    """
    path = folder / "token-signing-keys.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, private=True)
        key.ensure_kid()
        handle, draft = tempfile.mkstemp(dir=folder, prefix=".token-signing-keys")
        try:
            with os.fdopen(handle, "w") as out:
                json.dump({"keys": [key.as_dict(private=True)]}, out)
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was first; its key is the one
        finally:
            Path(draft).unlink()
    stored: Any = json.loads(path.read_text())
    return KeySet.import_key_set(stored)


class TokenIssuer:
    """Signs access tokens that carry what PostgREST and Supabase's client libraries expect."""

    def __init__(self, keys: KeySet, issuer: str, audience: str, lifetime_seconds: int) -> None:
        self.keys = keys
        self.issuer = issuer
        self.audience = audience
        self.lifetime_seconds = lifetime_seconds
        self._signing_key = keys.keys[0]

    def access_token(self, user_id: UUID, session_id: UUID, *, second_factor: bool) -> str:
        """A signed token for the user. The role is always `authenticated`: what somebody may do is not in tokens."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": str(user_id),
            "role": "authenticated",
            "session_id": str(session_id),
            "aal": "aal2" if second_factor else "aal1",
            "iat": now,
            "exp": now + self.lifetime_seconds,
        }
        return jwt.encode({"alg": ALGORITHM, "kid": self._signing_key.kid}, claims, self._signing_key)

    def jwks(self) -> dict[str, Any]:
        """The public halves, for `/.well-known/jwks.json`."""
        return {"keys": [key.as_dict(private=False) for key in self.keys.keys]}
