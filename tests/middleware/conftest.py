"""Applications protected by a policy file, called in this process or through a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from sixfold.layers.authentication import DevKeys

POLICY = """
[encryption]
mode = "dev"

[authentication]
issuer = "dev"

[authorization]
default = "deny"
roles.editor = ["orders:write"]

[rate_limiting]
default   = "1000/minute per client"
anonymous = "1000/minute per address"
"""


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep developer keys, variables and policy files of this machine out of the tests."""
    monkeypatch.setenv("SIXFOLD_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("SIXFOLD_CONFIG", raising=False)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def policy_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a policy file; `extra` is added to the usual one."""

    def write(extra: str = "", *, whole: str | None = None) -> Path:
        path = tmp_path / "sixfold.toml"
        path.write_text(POLICY + extra if whole is None else whole)
        return path

    return write


@pytest.fixture
def bearer(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Return the header with a real developer token."""

    def header(subject: str = "alice", **claims: Any) -> dict[str, str]:
        keys = DevKeys.load_or_create(tmp_path / "state" / "dev")
        return {"authorization": f"Bearer {keys.mint(subject, now=time.time_ns() // 1000, **claims)}"}

    return header


class Server(uvicorn.Server):
    """Tells when it listens, instead of being asked again and again."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()


@pytest.fixture
def serve() -> Iterator[Callable[..., httpx2.Client]]:
    """Run an application under uvicorn on a free loopback port; returns a client."""
    with ExitStack() as stack:

        def start(app: Any, **settings: Any) -> httpx2.Client:
            config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="none", **settings)
            server = Server(config)
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()
            assert server.ready.wait(10)

            def end() -> None:
                server.should_exit = True
                thread.join(10)

            stack.callback(end)
            port = server.servers[0].sockets[0].getsockname()[1]
            return stack.enter_context(httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10))

        yield start


@pytest.fixture
def call() -> Callable[..., Any]:
    """Call an ASGI application directly: returns the messages it sends."""

    async def asgi(
        app: Any,
        method: str = "GET",
        path: str = "/",
        *,
        headers: list[tuple[bytes, bytes]] | None = None,
        messages: list[dict[str, Any]] | None = None,
        **scope: Any,
    ) -> list[dict[str, Any]]:
        pending = list(messages or [{"type": "http.request", "body": b"", "more_body": False}])
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return pending.pop(0) if pending else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        whole = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "headers": [(b"host", b"localhost"), *(headers or [])],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
            **scope,
        }  # fmt: skip
        await app(whole, receive, send)
        return sent

    return asgi
