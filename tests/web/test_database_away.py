"""While PostgreSQL is away requests answer 503, and when it is back they work, without a restart."""

from __future__ import annotations

from uuid import uuid4

import httpx

from loom.core.settings import Settings
from loom.db.database import Database
from loom.features.identity.service import create_user
from loom.web.app import create_app
from tests.support.proxy import door


async def test_requests_answer_503_while_the_database_is_away(settings: Settings, api_url: str) -> None:
    async with door(api_url) as way, await Database.open(way.url, max_size=3, timeout=1.0) as database:
        app = create_app(settings.model_copy(update={"metrics": True}), database)
        made = await create_user(database, email=f"{uuid4().hex}@people.test", role="client")
        token = app.state.issuer.access_token(made.user_id, uuid4(), second_factor=False)
        headers = {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://loom.test", headers=headers) as http:
            assert (await http.get("/v1/me")).status_code == 200
            await way.shut()
            for answer in (
                await http.get("/v1/me"),
                await http.patch("/v1/me", json={"first_name": "Noa"}),
                await http.post("/v1/auth/sign-in", json={"email": made.email, "password": "whatever it is"}),
                await http.get("/ready"),
            ):
                assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
                assert int(answer.headers["retry-after"]) >= 1
            assert (await http.get("/health")).status_code == 200
            # Of the books nothing can be told; what the process has counted can.
            assert "loom_http_requests_total" in (await http.get("/metrics")).text
            await way.open()
            assert (await http.get("/ready")).status_code == 200
            me = (await http.get("/v1/me")).json()
            assert me["first_name"] is None
            assert (await http.patch("/v1/me", json={"first_name": "Noa"})).json()["first_name"] == "Noa"
