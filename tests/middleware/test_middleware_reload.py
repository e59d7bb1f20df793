from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from sixfold.layers.authentication import ApiKeyError, KeyRings
from sixfold.middleware.asgi import SixfoldMiddleware
from sixfold.middleware.fastapi import Sixfold

OPEN = '[[routes]]\nmatch = "GET /x"\npublic = true\n'
CLOSED = '[[routes]]\nmatch = "GET /x"\nrequire = "a"\n'


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})


def changed(path: Any) -> None:
    """Make sure that the change shows in the file's time, however coarse the clock of the file system is."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 5_000_000_000))


def test_changed_file(policy_file, call):
    """RLD-01: a changed file is taken; requests before it are judged by the old policy, after it by the new one."""
    path = policy_file(OPEN)
    layer = SixfoldMiddleware(app, path)

    async def go() -> list[int]:
        statuses = [(await call(layer, path="/x"))[0]["status"]]
        await layer.stop()  # from here on only the test looks
        policy_file(CLOSED)
        changed(path)
        await layer._housekeeping()
        statuses.append((await call(layer, path="/x"))[0]["status"])
        await layer.stop()
        return statuses

    assert asyncio.run(go()) == [200, 401]


def test_refused_reload(policy_file, call, caplog):
    """RLD-02: a policy that cannot be used, or breaks its own expectations, is refused; the last good one goes on."""
    path = policy_file(OPEN)
    layer = SixfoldMiddleware(app, path)

    async def go() -> None:
        await call(layer, path="/x")
        await layer.stop()  # from here on only the test reloads
        before = layer.engine
        policy_file("[[routes]]\nmatsch = 1\n")
        assert not await layer.reload()
        assert "did you mean `match`" in caplog.text
        policy_file(OPEN + '[[expect]]\nrequest = "GET /x"\nresult = 403\n')
        assert not await layer.reload()
        assert "expected 403, got 200" in caplog.text
        assert layer.engine is before
        policy_file(OPEN + '[[expect]]\nrequest = "GET /x"\nresult = 200\n')
        assert await layer.reload()

    asyncio.run(go())


def test_counters_go_on(policy_file, call):
    """RLD-01: limits are not forgotten by a reload."""
    limited = OPEN + 'limit = "1/hour per global"\n'
    layer = SixfoldMiddleware(app, policy_file(limited))

    async def go() -> list[int]:
        statuses = [(await call(layer, path="/x"))[0]["status"]]
        await layer.stop()
        policy_file(limited + "cost = 1\n")
        assert await layer.reload()
        statuses.append((await call(layer, path="/x"))[0]["status"])
        await layer.stop()
        return statuses

    assert asyncio.run(go()) == [200, 429]


def test_expectations_at_start(policy_file):
    """CFG-06: a policy whose expectations do not hold does not start."""
    protector = Sixfold(policy_file('[[expect]]\nrequest = "GET /nowhere"\nresult = 200\n'))
    application = FastAPI()
    protector.protect(application)
    with pytest.raises(Exception, match="expected 200, got 404"), TestClient(application):
        pass


def test_keys_are_refreshed_beside_the_requests(policy_file, call, monkeypatch):
    """UX-04: keys that are due are fetched in the background."""
    asked: list[str] = []
    layer = SixfoldMiddleware(app, policy_file(OPEN))

    async def refresh(self: Any, issuer: str, kid: str, now: int) -> None:
        asked.append(issuer)

    monkeypatch.setattr(KeyRings, "due", lambda self, now: ["https://i.example"])
    monkeypatch.setattr(KeyRings, "refresh", refresh)

    async def go() -> None:
        await call(layer, path="/x")
        await layer._housekeeping()
        await asyncio.sleep(0)
        await layer.stop()

    asyncio.run(go())
    assert set(asked) == {"https://i.example"}


def test_broken_key_file_is_told_once(policy_file, call, tmp_path, caplog, monkeypatch):
    """RLD-02: an API key file that breaks is told once, and the keys held stay in force."""
    (tmp_path / "keys.toml").write_text("")
    layer = SixfoldMiddleware(app, policy_file('[authentication.api_keys]\nfile = "keys.toml"\n' + OPEN))

    def broken(self: Any) -> None:
        raise ApiKeyError("keys.toml:1: not a table")

    async def go() -> None:
        await call(layer, path="/x")
        monkeypatch.setattr(type(layer.engine.state.api_keys), "reload_if_changed", broken)
        await layer._housekeeping()
        await layer._housekeeping()
        await layer.stop()

    asyncio.run(go())
    assert caplog.text.count("keys.toml:1: not a table") == 1


def test_housekeeping_survives_a_bug(policy_file, call, caplog, monkeypatch):
    """RLD-01: trouble in the housekeeping is logged and tried again; requests go on."""
    layer = SixfoldMiddleware(app, policy_file(OPEN))
    tried = []

    async def broken() -> None:
        tried.append(1)
        if len(tried) == 2:
            raise asyncio.CancelledError
        raise ZeroDivisionError

    monkeypatch.setattr(layer, "_housekeeping", broken)
    monkeypatch.setattr("sixfold.middleware.driver.TICK", 0)

    async def go() -> int:
        status = (await call(layer, path="/x"))[0]["status"]
        ticker = layer._ticker
        assert ticker is not None
        with pytest.raises(asyncio.CancelledError):
            await ticker
        return status

    assert asyncio.run(go()) == 200
    assert "housekeeping failed" in caplog.text


def test_ticker_follows_the_loop(policy_file, call):
    """UX-12: a server (or test client) that changes its event loop gets a new ticker, and the old one is gone."""
    layer = SixfoldMiddleware(app, policy_file(OPEN))
    asyncio.run(call(layer, path="/x"))
    first = layer._ticker
    asyncio.run(call(layer, path="/x"))
    assert first is not None
    assert first.done()
    assert layer._ticker is not first


def test_lifespan_ends_it(policy_file):
    """UX-11: the application's end is ours."""
    application = FastAPI()
    protector = Sixfold(policy_file(OPEN))
    protector.protect(application)
    with TestClient(application) as client:
        client.get("/x")
        driver = protector.driver
        assert driver is not None
        assert driver._ticker is not None
    assert driver._ticker is None


def test_a_start_that_fails_for_another_reason(policy_file, call, caplog, monkeypatch):
    """UX-03: whatever fails at the start, every request is refused, and the log tells why."""
    monkeypatch.setattr("sixfold.middleware.driver.assemble", lambda *_: 1 / 0)
    layer = SixfoldMiddleware(app, policy_file(OPEN))
    for _ in range(2):
        assert asyncio.run(call(layer, path="/x"))[0]["status"] == 500
    assert "ZeroDivisionError" in caplog.text
