"""Bearer tokens: Loom's own issuer and its keys, and the reading of tokens from it or from a Supabase project."""

from loom.providers.tokens.issuer import TokenIssuer, load_or_create_keys
from loom.providers.tokens.jwks import RemoteKeys
from loom.providers.tokens.verifier import TokenVerifier

__all__ = ["RemoteKeys", "TokenIssuer", "TokenVerifier", "load_or_create_keys"]
