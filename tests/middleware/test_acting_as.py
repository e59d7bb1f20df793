from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import sixfold
from sixfold.middleware import testing
from sixfold.middleware.acting import current
from sixfold.middleware.fastapi import Identity, OptionalIdentity, Sixfold, limit, public, require

acting = testing.acting_as


@pytest.fixture
def app(policy_file) -> FastAPI:
    app = FastAPI()
    Sixfold(policy_file()).protect(app)

    @app.get("/me")
    @require()
    def me(me: Identity) -> dict[str, Any]:
        return {
            "subject": me.subject, "client": me.client_id, "scopes": sorted(me.scopes), "roles": sorted(me.roles),
            "tenant": me.tenant, "plan": me.claims.get("plan"), "auth_time": me.auth_time, "acr": me.acr,
        }  # fmt: skip

    @app.get("/open")
    @public
    def open_(me: OptionalIdentity) -> str:
        return me.subject if me else "nobody"

    @app.get("/once")
    @require("a")
    @limit("1/hour", per="user")
    def once() -> str:
        return "once"

    @app.post("/orders")
    @require("@editor")
    def orders() -> str:
        return "written"

    @app.post("/rights")
    @require("orders:write")
    def rights() -> str:
        return "written"

    return app


@pytest.fixture
def client(app):
    with TestClient(app) as client:
        yield client


def test_who_acts(client):
    """API-07: the imagined caller is what endpoints see, with everything that was said of it."""
    claims = {"plan": "pro", "auth_time": 1, "acr": "high"}
    with sixfold.acting_as("alice", scopes="b a", roles=["editor"], tenant="t1", client_id="app", claims=claims):
        assert client.get("/me").json() == {
            "subject": "alice", "client": "app", "scopes": ["a", "b"], "roles": ["editor"], "tenant": "t1",
            "plan": "pro", "auth_time": 1, "acr": "high",
        }  # fmt: skip
        assert client.get("/open").json() == "alice"
    assert client.get("/me").status_code == 401
    assert client.get("/open").json() == "nobody"


def test_blocks_nest(client):
    """API-07: the inner block counts, and ends."""
    with sixfold.acting_as("alice"):
        with sixfold.acting_as("bob"):
            assert client.get("/open").json() == "bob"
        assert client.get("/open").json() == "alice"


def test_other_layers_run(client):
    """API-07: authentication alone is replaced: scopes, roles, limits, routes and sizes hold."""
    with sixfold.acting_as("alice", scopes=["b"]):
        assert client.get("/once").status_code == 403
        assert client.get("/nowhere").status_code == 404
        assert client.post("/orders").status_code == 403
        assert client.post("/orders", content=b"x" * 2_000_000).status_code == 413
    with sixfold.acting_as("carl", scopes=["a"]):
        assert [client.get("/once").status_code for _ in range(2)] == [200, 429]
    with sixfold.acting_as("dora", roles=["editor"]):
        assert client.post("/orders").status_code == 200
        assert client.post("/rights").status_code == 200  # what the role grants


def test_a_bad_token_is_not_looked_at(client):
    """API-07: inside the block nobody looks at tokens; outside everything is as it was."""
    with sixfold.acting_as("alice"):
        assert client.get("/me", headers={"authorization": "Bearer nonsense"}).status_code == 200
    assert client.get("/me", headers={"authorization": "Bearer nonsense"}).status_code == 401


def test_ends_with_an_exception(client):
    """API-07: a block that fails ends as well."""
    with pytest.raises(LookupError), sixfold.acting_as("alice"):
        raise LookupError
    assert current.get() is None


def test_tasks_do_not_share(app):
    """API-07: two callers at once, each in its own task, stay apart."""

    async def call(name: str) -> str:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            with sixfold.acting_as(name):
                await asyncio.sleep(0)
                return (await client.get("/open")).json()

    async def both() -> list[str]:
        return list(await asyncio.gather(call("alice"), call("bob")))

    assert asyncio.run(both()) == ["alice", "bob"]


def test_somebody_must_act():
    """API-07: nobody cannot act."""
    with pytest.raises(ValueError, match="subject"), sixfold.acting_as(""):
        pass


def test_fixture(client, acting):
    """API-07: the pytest fixture lets the rest of a test act."""
    assert client.get("/open").json() == "nobody"
    acting("erin", scopes="a")
    assert client.get("/open").json() == "erin"
    acting("fred")
    assert client.get("/open").json() == "fred"


def test_no_configuration_reaches_it(app, monkeypatch):
    """API-07: no variable and no header makes somebody of nobody."""
    monkeypatch.setenv("SIXFOLD_ACTING_AS", "alice")
    with TestClient(app) as client:
        assert client.get("/me", headers={"sixfold-acting-as": "alice", "x-sixfold-user": "alice"}).status_code == 401
