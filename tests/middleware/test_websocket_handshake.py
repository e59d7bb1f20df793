from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

import sixfold
from sixfold.middleware.fastapi import Identity, OptionalIdentity, Sixfold, limit, public, require


@pytest.fixture
def client(policy_file):
    app = FastAPI()
    Sixfold(policy_file()).protect(app)

    @app.websocket("/talk")
    @require("talk")
    async def talk(socket: WebSocket, me: Identity) -> None:
        await socket.accept()
        await socket.send_text(me.subject)
        await socket.send_text(await socket.receive_text())

    @app.websocket("/open")
    @public
    @limit("1 concurrent-requests", per="global")
    async def open_(socket: WebSocket, me: OptionalIdentity) -> None:
        await socket.accept()
        await socket.receive_text()

    @app.websocket("/unmarked")
    async def unmarked(socket: WebSocket) -> None:
        await socket.accept()

    @app.websocket("/declines", dependencies=[public])
    async def declines(socket: WebSocket) -> None:
        await socket.close(4000)

    with TestClient(app) as client:
        yield client


def denied(client: TestClient, path: str, **headers: str) -> int:
    with pytest.raises(WebSocketDenialResponse) as refusal, client.websocket_connect(path, headers=headers):
        pass
    return refusal.value.status_code


def test_handshake_is_judged(client, bearer):
    """UX-12: the same rules for the `websocket` scope, on from the start: 401, 403, 404."""
    assert denied(client, "/talk") == 401
    assert denied(client, "/talk", **bearer()) == 403
    assert denied(client, "/nowhere") == 404
    assert denied(client, "/unmarked", **bearer()) == 403
    with client.websocket_connect("/talk", headers=bearer("eve", scopes=["talk"])) as socket:
        assert socket.receive_text() == "eve"
        socket.send_text("hello")
        assert socket.receive_text() == "hello"


def test_refusal_is_the_http_answer(client):
    """UX-12: where the server can send an answer, the refusal is the one of HTTP."""
    with pytest.raises(WebSocketDenialResponse) as refusal, client.websocket_connect("/talk"):
        pass
    answer = refusal.value
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "credentials-missing"


def test_place_is_held_while_it_is_open(client):
    """WS-03: an open WebSocket holds its place of a concurrency limit, and gives it back."""
    with client.websocket_connect("/open") as socket:
        assert denied(client, "/open") == 429
        socket.send_text("bye")
    with client.websocket_connect("/open") as socket:
        socket.send_text("bye")


def test_answer_of_the_layers(client):
    """UX-08: the accepted handshake carries the limits."""
    with client.websocket_connect("/open") as socket:
        assert b"ratelimit-policy" in dict(socket.extra_headers)
        socket.send_text("bye")


def test_application_declines(client):
    """UX-12: a handshake that the application declines stays declined."""
    with pytest.raises(WebSocketDisconnect) as end, client.websocket_connect("/declines"):
        pass
    assert end.value.code == 4000


def test_acting_as(client):
    """API-07: `acting_as` reaches WebSockets."""
    with sixfold.acting_as("frank", scopes="talk"), client.websocket_connect("/talk") as socket:
        assert socket.receive_text() == "frank"
        socket.send_text("bye")
        assert socket.receive_text() == "bye"


# ---------------------------------------------------------------------- message by message


class Peer:
    """A server's side of a WebSocket."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.pending = [{"type": "websocket.connect"}, *messages]
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if not self.pending:
            await asyncio.Event().wait()
        return self.pending.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


def scope(path: str, headers: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    pairs = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return {
        "type": "websocket", "scheme": "ws", "http_version": "1.1", "path": path, "raw_path": path.encode(),
        "query_string": b"", "headers": [(b"host", b"localhost"), *pairs], "client": ("127.0.0.1", 1), **more,
    }  # fmt: skip


def layer_over(app: Any, policy_file: Any) -> Any:
    from sixfold.middleware.asgi import SixfoldMiddleware

    return SixfoldMiddleware(app, policy_file('[[routes]]\nmatch = "GET /talk"\nrequire = "talk"\n'))


async def listening(scope: Any, receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass
    with pytest.raises(OSError, match="expired"):
        await send({"type": "websocket.send", "text": "too late"})


async def speaking(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "text": "news"})
        await asyncio.sleep(0)


@pytest.mark.parametrize("path", ["/talk", "/nowhere", "/a%2fb"])
def test_refusal_by_close_code(policy_file, path):
    """UX-12: a server that can only close does so with 1008."""
    peer = Peer()
    asyncio.run(layer_over(listening, policy_file)(scope(path), peer.receive, peer.send))
    assert [one["type"] for one in peer.sent] == ["websocket.close"]
    assert peer.sent[0]["code"] == 1008


def test_caller_goes_before_the_refusal(policy_file):
    """UX-12: a caller who is gone gets no answer."""
    peer = Peer()
    peer.pending = [{"type": "websocket.disconnect", "code": 1006}]
    asyncio.run(layer_over(listening, policy_file)(scope("/talk"), peer.receive, peer.send))
    assert peer.sent == []


@pytest.mark.parametrize("app", [listening, speaking])
def test_expiry_while_open(policy_file, bearer, app, monkeypatch):
    """WS-01: a connection is closed with 1008 when its caller's token expires, whoever speaks."""
    from sixfold.layers.authentication import Authentication

    known = Authentication._bearer

    def short(self: Any, header: bytes, now: int) -> Any:
        identity = yield from known(self, header, now)
        identity.expires = now + 30_000  # microseconds: the shortest lifetime a token can have is a second
        return identity

    monkeypatch.setattr(Authentication, "_bearer", short)
    peer = Peer()
    asyncio.run(layer_over(app, policy_file)(scope("/talk", bearer(scopes=["talk"])), peer.receive, peer.send))
    assert peer.sent[0]["type"] == "websocket.accept"
    assert peer.sent[-1] == {"type": "websocket.close", "code": 1008, "reason": "token-expired"}


def test_another_machine(policy_file, bearer):
    """FIRST-05: a handshake from another machine is refused under developer keys."""
    peer = Peer()
    call = scope("/talk", bearer(scopes=["talk"]), client=("203.0.113.9", 1))
    asyncio.run(layer_over(listening, policy_file)(call, peer.receive, peer.send))
    assert peer.sent[0]["reason"] == "unknown-host"


def test_no_policy(policy_file):
    """UX-06: without a usable policy a handshake is refused."""
    from sixfold.middleware.asgi import SixfoldMiddleware

    peer = Peer()
    layer = SixfoldMiddleware(listening, policy_file(whole="[nonsense]"))
    asyncio.run(layer(scope("/talk", extensions={"websocket.http.response": {}}), peer.receive, peer.send))
    assert peer.sent[0]["status"] == 500
