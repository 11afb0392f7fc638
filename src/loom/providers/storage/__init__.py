"""Files: on disk by default, in an S3-compatible bucket where one is set."""

from __future__ import annotations

from loom.providers.storage.objects import FileStorage, open_storage
from loom.providers.storage.signing import LinkSigner

__all__ = ["FileStorage", "LinkSigner", "open_storage"]
