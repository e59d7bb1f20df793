"""Behind a real server: transports, streams, background work, context variables, exceptions."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, Request, UploadFile
from starlette.responses import PlainTextResponse, StreamingResponse

from sixfold.middleware.asgi import SixfoldMiddleware
from sixfold.middleware.fastapi import Identity, Sixfold, limit, public, require

current: ContextVar[str] = ContextVar("current", default="nothing")


class Work:
    """What the application does besides answering."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.may_end = threading.Event()
        self.seen: list[str] = []


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def client(policy_file, serve, work):
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {"started": "yes"}

    app = FastAPI(lifespan=lifespan)
    Sixfold(policy_file("[gateway]\nmax_body = 100000\n")).protect(app)

    @app.get("/stream")
    @public
    async def stream() -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            for number in range(50):
                yield b"line %d\n" % number

        return StreamingResponse(lines(), media_type="text/plain")

    @app.get("/background")
    @public
    @limit("1 concurrent-requests", per="global")
    async def background(tasks: BackgroundTasks) -> str:
        def later() -> None:
            work.may_end.wait(10)
            work.seen.append(current.get())
            work.done.set()

        current.set("set by the endpoint")
        tasks.add_task(later)
        return "answered"

    @app.get("/state")
    @public
    async def state(request: Request) -> str:
        return request.state.started

    @app.get("/raises")
    @public
    async def raises() -> None:
        raise LookupError("of the application")

    @app.post("/upload", dependencies=[require("files")])
    async def upload(file: UploadFile, me: Identity) -> dict[str, Any]:
        return {"size": len(await file.read()), "by": me.subject}

    @app.put("/raw", dependencies=[require("files")])
    async def raw(request: Request) -> int:
        return sum([len(piece) async for piece in request.stream()])

    @app.get("/v1/{name}")
    @public
    async def named(name: str, request: Request) -> dict[str, str]:
        return {"name": name, "query": request.url.query}

    return serve(app)


def test_streams(client):
    """UX-11: a stream arrives whole, with our headers."""
    with client.stream("GET", "/stream") as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "ratelimit" in answer.headers
        body = b"".join(answer.iter_raw())
    assert body.count(b"line") == 50


def test_background_work(client, work):
    """UX-11: background work runs after the answer, in the endpoint's context, and holds no place of a limit."""
    assert client.get("/background").json() == "answered"
    assert client.get("/background").status_code == 200
    work.may_end.set()
    assert work.done.wait(10)
    assert work.seen[0] == "set by the endpoint"


def test_lifespan_state(client):
    """UX-11: what the application's lifespan put into the state reaches its endpoints."""
    assert client.get("/state").json() == "yes"


def test_exceptions(client):
    """UX-08: an exception of the application is its own 500, with our headers."""
    answer = client.get("/raises")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "ratelimit" in answer.headers


def test_uploads(client, bearer):
    """UX-12: uploads pass for those who may, and the cap holds for sized and for chunked bodies."""
    headers = bearer("carl", scopes=["files"])
    files = {"file": ("a.bin", b"x" * 50_000)}
    assert client.post("/upload", files=files, headers=headers).json() == {"size": 50_000, "by": "carl"}
    assert client.post("/upload", files=files).status_code == 401
    assert client.post("/upload", files={"file": ("a", b"x" * 200_000)}, headers=headers).status_code == 413
    assert client.put("/raw", content=iter([b"x" * 40_000] * 2), headers=headers).json() == 80_000
    answer = client.put("/raw", content=iter([b"x" * 40_000] * 3), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_paths_and_queries(client):
    """PATH-01: what the application's router sees is what was matched."""
    assert client.get("/v1/a%20b", params={"q": "x y"}).json() == {"name": "a b", "query": "q=x%20y"}
    for target in ("/v1/a%2fb", "/v1/%2e%2e/x", "/v1/a;b", "/v1//"):
        assert client.get(target).status_code in (400, 404), target


def speak(client: Any, text: bytes) -> bytes:
    """Send bytes as they are."""
    host, port = client.base_url.host, client.base_url.port
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"GET /state HTTP/1.1\r\nHost: localhost\r\n", b"200"),
        (b"GET /state HTTP/1.1\r\nHost: a\r\nHost: b\r\n", b"400"),
        (b"GET /state HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n", b"400"),
        (b"GET /state HTTP/1.1\r\nHost: localhost\r\nX-Long: %b\r\n" % (b"x" * 9000), b"431"),
        (b"PROPFIND /state HTTP/1.1\r\nHost: localhost\r\n", b"501"),
        (b"TRACE /state HTTP/1.1\r\nHost: localhost\r\n", b"405"),
        (b"GET /../state HTTP/1.1\r\nHost: localhost\r\n", b"400"),
        (b"GET /state HTTP/1.1\r\nHost: localhost\r\nSixfold_Identity: x\r\n", b"200"),
    ],
)
def test_requests_as_bytes(client, lines, status):
    """PATH-01, H1-13: what cannot be read in one way is refused behind a server as well."""
    answer = speak(client, lines + b"Connection: close\r\n\r\n")
    assert answer.split(b" ", 2)[1] == status


def test_any_asgi_application(policy_file, serve, bearer):
    """API-01: `SixfoldMiddleware` protects any ASGI application; routes come from the file."""

    async def hello(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await PlainTextResponse(scope["sixfold"].identity.subject or "nobody")(scope, receive, send)

    rows = '[[routes]]\nmatch = "GET /open"\npublic = true\n[[routes]]\nmatch = "GET /mine"\nrequire = "a"\n'
    client = serve(SixfoldMiddleware(hello, policy_file(rows)))
    assert client.get("/open").text == "nobody"
    assert client.get("/mine").status_code == 401
    assert client.get("/mine", headers=bearer("dora", scopes=["a"])).text == "dora"
    assert client.get("/other").status_code == 404


@pytest.mark.parametrize("lifespan", ["on", "off"])
def test_with_and_without_lifespan(policy_file, serve, lifespan):
    """UX-12: a server that sends no lifespan starts us with its first request."""
    app = FastAPI()
    Sixfold(policy_file()).protect(app)
    app.get("/x")(public(lambda: "x"))
    client = serve(app, lifespan=lifespan)
    assert client.get("/x").json() == "x"
    assert client.get("/y").status_code == 404


def test_a_policy_that_cannot_be_used(policy_file, serve, caplog):
    """UX-06: without a usable policy nothing is served: 500 for every request, the reason in the log."""
    app = FastAPI()
    Sixfold(policy_file(whole="[authentication]\nisuer = 1\n")).protect(app)
    app.get("/x")(public(lambda: "x"))
    client = serve(app, lifespan="off")
    for _ in range(2):
        answer = client.get("/x")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert "did you mean `issuer`" in caplog.text


def test_a_policy_that_cannot_be_used_stops_the_server(policy_file, caplog):
    """UX-06: with lifespan the server does not come up at all, and the application cleans up what it began."""
    import asyncio

    ended = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            ended.append(True)

    app = FastAPI(lifespan=lifespan)
    Sixfold(policy_file(whole="[authentication]\nisuer = 1\n")).protect(app)
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="none"))
    with caplog.at_level("INFO"), pytest.raises(SystemExit):
        asyncio.run(server.serve())
    assert "did you mean `issuer`" in caplog.text
    assert ended == [True]
