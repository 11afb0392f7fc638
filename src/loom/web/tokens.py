"""Who issues the tokens that this application accepts, by its settings."""

from __future__ import annotations

from loom.core.settings import Settings
from loom.providers.tokens import RemoteKeys, TokenIssuer, TokenVerifier, load_or_create_keys

OWN_AUDIENCE = "authenticated"


def from_settings(settings: Settings) -> tuple[TokenIssuer | None, TokenVerifier]:
    """Loom's own issuer, or None where a Supabase project (by key set, else by secret) is the issuer."""
    issuer, audience = settings.supabase_issuer, settings.supabase_audience
    if settings.supabase_jwks_url is not None:
        return None, TokenVerifier.remote(RemoteKeys(settings.supabase_jwks_url), issuer=issuer, audience=audience)
    if settings.supabase_jwt_secret is not None:
        secret = settings.supabase_jwt_secret.get_secret_value()
        return None, TokenVerifier.shared_secret(secret, issuer=issuer, audience=audience)
    keys = load_or_create_keys(settings.keys_dir)
    own = TokenIssuer(keys, settings.base_url, OWN_AUDIENCE, settings.access_token_minutes * 60)
    return own, TokenVerifier.own(keys, issuer=own.issuer, audience=own.audience)
