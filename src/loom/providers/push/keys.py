"""The key pair by which push services know this installation (VAPID, RFC 8292)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from loom.providers.files import make_private_folder, write_new_file

if TYPE_CHECKING:
    from pathlib import Path

KEY_FILE = "vapid.pem"


def load_vapid_key(folder: Path) -> ec.EllipticCurvePrivateKey:
    """The private key in `folder`, made on first use. Losing it makes every subscription useless, so back it up.

    ValueError where the file holds something else than a P-256 private key.
    """
    path = make_private_folder(folder) / KEY_FILE
    if not path.exists():
        fresh = ec.generate_private_key(ec.SECP256R1())
        # Of two processes that start at once, one writes; both then read what was written.
        write_new_file(
            path,
            fresh.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ValueError(f"{path} holds no P-256 private key")
    return key


def public_point(key: ec.EllipticCurvePublicKey) -> str:
    """A public key as browsers want it: base64url without padding of the uncompressed point."""
    raw = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return encode_base64url(raw)


def encode_base64url(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes:
    """The bytes of a base64url text with or without padding; ValueError where it is none."""
    return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), altchars=b"-_", validate=True)
