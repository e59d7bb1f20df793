"""Real servers: each a process of its own on a free loopback port, ended by its own pid, never by name."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
START = 30.0  # seconds a server may take until it listens
STOP = 15.0  # seconds a server may take to end after SIGTERM

KINTO_INI = """
[app:main]
use = egg:kinto
kinto.includes = kinto.plugins.history kinto.plugins.flush
kinto.storage_backend = kinto.core.storage.memory
kinto.cache_backend = kinto.core.cache.memory
kinto.permission_backend = kinto.core.permission.memory
kinto.bucket_create_principals = system.Everyone
kinto.bucket_read_principals = system.Everyone
kinto.bucket_write_principals = system.Everyone
kinto.userid_hmac_secret = for-tests-only
kinto.project_name = kinto
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = {port}
"""


@dataclass
class Server:
    """A running process.

    Arguments:
        url: `http://127.0.0.1:port`.
        log: file that holds what it printed.
        admin: address of Sixfold's admin listener.
    """

    url: str
    log: Path
    process: subprocess.Popen[bytes]
    admin: str = ""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def printed(self) -> str:
        return self.log.read_text(errors="replace")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(server: Server, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START
    while not ready():
        if server.process.poll() is not None:
            pytest.fail(f"the server ended with {server.process.returncode}:\n{server.printed()}")
        if time.monotonic() > deadline:
            pytest.fail(f"the server is not ready after {START} s:\n{server.printed()}")
        time.sleep(0.02)  # between two looks


@contextmanager
def running(command: list[str], port: int, folder: Path, environ: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run a command until the block ends.

    Arguments:
        command: arguments for this Python interpreter.
        port: that it listens on.
        folder: working directory, where its output is kept as well.
        environ: added to the environment.
    """
    log = folder / f"output-{port}.txt"
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1", **(environ or {})}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    server = Server(f"http://127.0.0.1:{port}", log, process)
    try:
        wait(server, lambda: listens(server.port))
        yield server
    finally:
        process.terminate()
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def kinto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Kinto with its data in memory; it lets everybody in, so that what is refused was refused before it."""
    folder, port = tmp_path_factory.mktemp("kinto"), free_port()
    ini = folder / "kinto.ini"
    ini.write_text(KINTO_INI.format(port=port))
    with running(["-m", "pyramid.scripts.pserve", str(ini)], port, folder) as server:
        yield server


@pytest.fixture(scope="session")
def kinto_document(kinto: Server) -> dict[str, Any]:
    """Kinto's own description of its API, Swagger 2.0."""
    with urllib.request.urlopen(f"{kinto.url}/v1/__api__") as answer:
        document: dict[str, Any] = json.load(answer)
    return document


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Start `apps/<name>.py`: a small application on uvicorn, called with port and folder."""
    with ExitStack() as stack:

        def start(name: str) -> Server:
            folder, port = tmp_path_factory.mktemp(name), free_port()
            command = [str(HERE / "apps" / f"{name}.py"), str(port), str(folder)]
            return stack.enter_context(running(command, port, folder))

        yield start


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with a state folder of its own: where developer keys and decisions are kept."""
    return {"SIXFOLD_STATE": str(tmp_path_factory.mktemp("state")), "NO_COLOR": "1"}


@pytest.fixture(scope="session")
def token(state: dict[str, str]) -> Callable[..., str]:
    """Return an access token signed with the developer keys; arguments as for `DevKeys.mint`."""
    from sixfold.layers.authentication.dev import DevKeys
    from sixfold.state_folder import state_folder

    keys = DevKeys.load_or_create(state_folder(state) / "dev")

    def mint(*scopes: str, **more: Any) -> str:
        return keys.mint(scopes=scopes, now=time.time_ns() // 1000, **more)

    return mint


@pytest.fixture(scope="module")
def serving(state: dict[str, str]) -> Iterator[Callable[..., Server]]:
    """Start `sixfold serve` or `sixfold protect`; listening addresses are chosen here.

    Arguments of the factory:
        arguments: of the command line, without addresses.
        folder: working directory.
        environ: added to the environment.
    """
    with ExitStack() as stack:

        def start(*arguments: str, folder: Path, environ: Mapping[str, str] | None = None) -> Server:
            port, admin = free_port(), f"127.0.0.1:{free_port()}"
            addresses = {
                "SIXFOLD_GATEWAY__LISTEN": f"127.0.0.1:{port}",
                "SIXFOLD_GATEWAY__ADMIN": admin,
            }
            command = ["-m", "sixfold", *arguments]
            if arguments[0] == "protect":
                command += ["--listen", f"127.0.0.1:{port}", "--admin", admin]
            environment = {**state, **addresses, **(environ or {})}
            server = stack.enter_context(running(command, port, folder, environment))
            server.admin = admin
            wait(server, lambda: "Guarding" in server.printed())
            return server

        yield start


@pytest.fixture(scope="module")
def sixfold(tmp_path_factory: pytest.TempPathFactory, serving: Callable[..., Server]) -> Callable[..., Server]:
    """Start `sixfold serve` over a policy text.

    Arguments of the factory:
        policy: text of `sixfold.toml`.
        upstream: URL.
        files: further files beside the policy, by name.
    """

    def start(policy: str, upstream: str, files: Mapping[str, str] | None = None) -> Server:
        folder = tmp_path_factory.mktemp("sixfold")
        for name, text in {"sixfold.toml": policy, **(files or {})}.items():
            (folder / name).write_text(text)
        environ = {"SIXFOLD_GATEWAY__UPSTREAM": upstream}
        return serving("serve", "--config", "sixfold.toml", folder=folder, environ=environ)

    return start


@dataclass
class Answer:
    """What came back.

    Arguments:
        headers: names in lower case; of a doubled header the last.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def call(
    url: str,
    method: str = "GET",
    *,
    token: str = "",
    headers: Mapping[str, str] | None = None,
    body: Any = None,
) -> Answer:
    """Send one request with nothing but what is said; a `body` that is not bytes is sent as JSON."""
    sent = dict(headers or {})
    if token:
        sent["Authorization"] = f"Bearer {token}"
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        sent.setdefault("Content-Type", "application/json")
    request = urllib.request.Request(url, method=method, headers=sent, data=body)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            status, fields, content = answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            status, fields, content = refused.code, refused.headers, refused.read()
    return Answer(status, {name.lower(): value for name, value in fields.items()}, content)


@pytest.fixture(scope="session", name="call")
def call_fixture() -> Callable[..., Answer]:
    """Return `call`."""
    return call


@pytest.fixture(scope="session", name="run")
def run_fixture(state: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command of Sixfold to its end."""

    def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sixfold", *arguments],
            cwd=cwd,
            env={**os.environ, **state},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
