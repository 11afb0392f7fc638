"""What the routes of Loom's own issuer share."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from loom.core.errors import Conflict
from loom.features.identity.service.sign_in import SignInContext
from loom.http import AppServices


async def own_issuer(request: Request, app: AppServices) -> SignInContext:
    """Loom's own issuer. Raises 409 `external_issuer` where accounts live elsewhere."""
    if app.issuer is None:
        raise Conflict("external_issuer", "Accounts live with another issuer.", "Sign in there and send its tokens.")
    agent = re.sub(r"[^\x20-\x7e]", "", request.headers.get("user-agent", ""))[:200]
    return SignInContext(app.issuer, app.settings.refresh_token_days, agent or None)


OwnIssuer = Annotated[SignInContext, Depends(own_issuer)]
