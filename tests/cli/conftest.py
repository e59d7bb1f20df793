"""The command line as people use it: most commands in this process, servers as processes of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 15.0  # seconds; only a failure lasts that long
SCOPED = {"security": [{"token": ["orders:read"]}]}
OK = {"responses": {"200": {"description": "ok"}}}
DOCUMENT: dict[str, Any] = {
    "info": {"title": "Orders", "version": "1"},
    "openapi": "3.1.0",  # not the first key: some servers sort them
    "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    "paths": {
        "/health": {"get": OK},
        "/orders": {"get": {**OK, **SCOPED}, "post": OK},
        "/orders/{id}": {
            "get": {
                **OK,
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            }
        },
        "/slow": {"get": OK},
    },
}


@dataclass
class Out:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project; the state folder lies elsewhere."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("SIXFOLD_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("SIXFOLD_CONFIG", raising=False)
    monkeypatch.setattr(sys, "argv", ["sixfold"])
    return project


@pytest.fixture
def sixfold(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Out]:
    """Run a command in this process."""

    def run(*arguments: str) -> Out:
        from sixfold.cli import main

        capsys.readouterr()
        code = main(arguments)
        printed = capsys.readouterr()
        return Out(code, printed.out, printed.err)

    return run


@pytest.fixture
def write(folder: Path) -> Callable[..., Path]:
    """Write a file of the project; a policy by default."""

    def put(text: str, name: str = "sixfold.toml") -> Path:
        (folder / name).write_text(text)
        return folder / name

    return put


# ---------------------------------------------------------------------- an API


@dataclass
class Api:
    """An API that answers whoever asks.

    Arguments:
        asked: paths, in the order they came.
        release: lets `/slow` answer.
    """

    port: int = 0
    asked: list[str] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def serving_api() -> Iterator[Callable[..., Api]]:
    """Start an API that has its OpenAPI document at a path, "" for none."""
    with ExitStack() as stack:

        def start(place: str = "/openapi.json", document: Mapping[str, Any] | bytes = DOCUMENT) -> Api:
            api = Api()
            content = document if isinstance(document, bytes) else json.dumps(document).encode()

            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    api.asked.append(self.path)
                    if self.path == "/slow":
                        api.release.wait(PATIENCE)
                    described = self.path == place
                    known = described or self.path in ("/", "/health", "/orders", "/slow")
                    body = content if described else b"[]"
                    self.send_response(200 if known else 404)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *_: Any) -> None:
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            api.port = server.server_port
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()

            def stop() -> None:
                api.release.set()
                server.shutdown()
                server.server_close()

            stack.callback(stop)
            return api

        yield start


@pytest.fixture
def api(serving_api: Callable[..., Api]) -> Api:
    return serving_api()


# ---------------------------------------------------------------------- servers


def until(ask: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Ask again until the answer is true; the last answer is returned either way."""
    deadline = time.monotonic() + patience
    while not (answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.01)  # between two looks
    return answer


@dataclass
class Server:
    """`sixfold serve` or `protect` as a process."""

    process: subprocess.Popen[bytes]
    errors: Path
    output: Path

    def said(self) -> str:
        return self.errors.read_text(errors="replace")

    def found(self, pattern: str) -> str:
        match = until(lambda: re.search(pattern, self.said()))
        assert match, self.said()
        return str(match[1])

    @property
    def url(self) -> str:
        return self.found(r"Guarding (https?://[\d.]+:\d+)")

    @property
    def admin(self) -> str:
        return self.found(r"admin http://([\d.]+:\d+)")

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@pytest.fixture
def starting(folder: Path) -> Iterator[Callable[..., Server]]:
    """Start a command that serves; waits until it does, unless told not to."""
    with ExitStack() as stack:
        count = iter(range(100))

        def start(*arguments: str, wait: bool = True, env: Mapping[str, str] | None = None) -> Server:
            number = next(count)
            errors, output = folder.parent / f"err{number}", folder.parent / f"out{number}"
            with errors.open("wb") as err, output.open("wb") as out:
                process = subprocess.Popen(
                    [sys.executable, "-m", "sixfold", *arguments],
                    cwd=folder,
                    env={**os.environ, **(env or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                )
            stack.callback(_end, process)
            server = Server(process, errors, output)
            if wait:
                assert until(lambda: "Guarding" in server.said() or process.poll() is not None)
                assert process.poll() is None, server.said()
            return server

        yield start


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


@pytest.fixture
def get() -> Callable[..., Any]:
    """Ask for a URL; returns status, headers and JSON."""

    def ask(url: str, headers: Mapping[str, str] | None = None) -> tuple[int, Mapping[str, str], Any]:
        request = urllib.request.Request(url, headers=dict(headers or {}))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE) as answer:
                return answer.status, answer.headers, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.headers, json.loads(refused.read() or b"null")

    return ask


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Any]:
    return until
