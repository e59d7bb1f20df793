"""Sixfold on a free loopback port before an upstream that records what it gets and answers what the test says.

The worker runs in a thread with a loop of its own; tests of signals start a process. Tests talk by raw sockets.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop

PATIENCE = 5.0  # seconds; only a failure lasts that long
HELLO = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 5\r\n\r\nhello"

POLICY = """
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
upstream = "{upstream}"
{gateway}
[authentication]
issuer = "dev"
[[routes]]
match = "* /open/**"
public = true
[[routes]]
match = "GET|POST /orders"
require = "orders:read"
[[routes]]
match = "GET /orders/{{id}}"
require = "orders:read"
[[routes]]
match = "DELETE /orders/{{id}}"
require = "orders:delete"
{more}
"""


def until(ask: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Ask again until the answer is true; the last answer is returned either way."""
    deadline = time.monotonic() + patience
    while not (answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.005)  # between two looks
    return answer


# ---------------------------------------------------------------------- the client


@dataclass
class Answer:
    """One response as it was on the wire.

    Arguments:
        headers: as sent, names in lower case.
        raw: all bytes of it.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    raw: bytes = b""

    def __getitem__(self, name: str) -> str:
        values = self.all(name)
        assert len(values) == 1, f"{name}: {values}"
        return values[0]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    def json(self) -> Any:
        import json

        return json.loads(self.body)


class Client:
    """A raw connection to Sixfold."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(PATIENCE)
        self.buffer = bytearray()

    def send(self, data: bytes) -> Client:
        self.socket.sendall(data)
        return self

    def more(self) -> bool:
        """Read once; False at the end."""
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionError:
            return False
        self.buffer += data
        return bool(data)

    def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            if not self.more():
                raise EOFError(f"closed after {bytes(self.buffer[:200])!r}")
        return self.exactly(self.buffer.index(mark) + len(mark))[: -len(mark)]

    def exactly(self, number: int) -> bytes:
        while len(self.buffer) < number:
            if not self.more():
                raise EOFError(f"closed after {len(self.buffer)} of {number} bytes")
        taken = bytes(self.buffer[:number])
        del self.buffer[:number]
        return taken

    def head(self) -> Answer:
        """Read status and headers."""
        text = self.until(b"\r\n\r\n")
        lines = text.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 ([1-5][0-9]{2}) [ -~]*", lines[0])
        assert match, lines[0]
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(": ")
            assert colon and name == name.lower(), line
            headers.append((name, value))
        return Answer(int(match[1]), headers, b"", text + b"\r\n\r\n")

    def answer(self, method: str = "GET") -> Answer:
        """Read a whole response; its framing must be sound."""
        answer = self.head()
        lengths, codings = answer.all("content-length"), answer.all("transfer-encoding")
        assert len(lengths) + len(codings) <= 1, answer.headers
        if method == "HEAD" or answer.status in (204, 304) or answer.status < 200:
            return answer
        if codings:
            assert codings == ["chunked"]
            while size := int(self.until(b"\r\n"), 16):
                answer.body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            assert self.exactly(2) == b"\r\n"
        elif lengths:
            answer.body = self.exactly(int(lengths[0]))
        else:
            while self.more():
                pass
            answer.body = self.exactly(len(self.buffer))
        return answer

    def rest(self) -> bytes:
        """Read until the other side closes; fails if it never does."""
        while self.more():
            pass
        return self.exactly(len(self.buffer))

    def is_closed(self) -> bool:
        """Wait for the end; nothing more may come."""
        return self.rest() == b""

    def get(self, target: str = "/open/x", headers: str = "", method: str = "GET") -> Answer:
        self.send(f"{method} {target} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n".encode("latin-1"))
        return self.answer(method)

    def close(self) -> None:
        self.socket.close()


# ---------------------------------------------------------------------- the upstream


@dataclass
class Seen:
    """One request as the upstream got it.

    Arguments:
        raw: every byte.
        body: decoded.
        connection: counts the connections, from 0.
    """

    raw: bytes
    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def get(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, f"{name}: {values}"
        return values[0] if values else None


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Upstream:
    """A server in a thread.

    Arguments:
        answers: to the next requests, in order; then `answer` again and again. b"" closes without an answer.
        handler: serves a whole connection instead.
    """

    answer: bytes = HELLO
    answers: list[bytes] = field(default_factory=list)
    handler: Handler | None = None
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    bytes_in: int = 0
    port: int = 0
    context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.writers: set[asyncio.StreamWriter] = set()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.listening = threading.Event()
        self.thread = threading.Thread(target=self._run, name="upstream")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Upstream:
        self.thread.start()
        assert self.listening.wait(PATIENCE)
        return self

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()

    def call(self, function: Callable[[], Any]) -> Any:
        """Run a function in the server's thread."""
        done: Future[Any] = Future()
        self.loop.call_soon_threadsafe(lambda: done.set_result(function()))
        return done.result(PATIENCE)

    def close_all(self) -> None:
        """Close every connection."""
        self.call(lambda: [writer.close() for writer in self.writers])

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._serve())
        self.loop.close()

    async def _serve(self) -> None:
        self.end = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, ssl=self.context, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        self.listening.set()
        await self.end.wait()
        server.close()
        await _turns()
        for writer in self.writers:
            writer.transport.abort()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await _turns()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        self.writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        try:
            if self.handler is not None:
                await self.handler(reader, writer)
            else:
                await self._talk(reader, writer, number)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            self.seen.append(await self.read(reader, number))
            answer = self.answers.pop(0) if self.answers else self.answer
            if not answer:
                return
            writer.write(answer)
            await writer.drain()

    async def read(self, reader: asyncio.StreamReader, number: int = 0) -> Seen:
        """Read one request; what is not strict HTTP/1.1 fails the connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines[1:])]
        lengths = [value for name, value in headers if name == "content-length"]
        raw, body = head, b""
        if lengths:
            body = await reader.readexactly(int(lengths[0]))
            raw += body
        elif ("transfer-encoding", "chunked") in headers:
            size = -1
            while size:
                line = await reader.readuntil(b"\r\n")
                size = int(line, 16)
                piece = await reader.readexactly(size + 2)
                raw += line + piece
                body += piece[:-2]
        self.bytes_in += len(raw)
        return Seen(raw, lines[0], headers, body, number)


async def _turns() -> None:
    """Let what is half open become open, and what is half closed become closed."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def make_upstream() -> Iterator[Callable[..., Upstream]]:
    """Start upstreams; arguments as for `Upstream`."""
    with ExitStack() as stack:

        def start(**more: Any) -> Upstream:
            upstream = Upstream(**more).start()
            stack.callback(upstream.stop)
            return upstream

        yield start


@pytest.fixture
def upstream(make_upstream: Callable[..., Upstream]) -> Upstream:
    return make_upstream()


# ---------------------------------------------------------------------- Sixfold, in a thread


class _Loop(uvloop.Loop):
    """Signals belong to the main thread, which is the test's."""

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:
        pass


class Guard:
    """A worker in a thread.

    Arguments:
        folder: holds policy, state and log.
        context: of clients, for TLS.
    """

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        self.config = folder / "sixfold.toml"
        self.config.write_text(text)
        self.log = folder / "access.log"
        self.context: ssl.SSLContext | None = None
        self.clients: list[Client] = []
        self._started: Future[None] = Future()
        self.thread = threading.Thread(target=self._run, name="sixfold")

    def start(self) -> Guard:
        self.thread.start()
        self._started.result(PATIENCE)
        return self

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        with suppress(RuntimeError):  # it has ended by itself
            self.loop.call_soon_threadsafe(self.worker.stop)
        self.thread.join(PATIENCE + 5)
        assert not self.thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        from sixfold.cli.policies import sources
        from sixfold.policy import read_policy
        from sixfold.proxy.worker import Worker
        from sixfold.watch import AccessLog, Watch

        self.loop = asyncio.get_running_loop()
        try:
            self.worker = Worker(
                lambda: read_policy(self.config, {}),
                folder=self.folder,
                watch=Watch(AccessLog(str(self.log))),
                files=sources,
            )
            await self.worker.start()
        except BaseException as problem:
            self._started.set_exception(problem)
            return
        self._started.set_result(None)
        await self.worker.run()

    def call(self, function: Callable[[], Any]) -> Any:
        """Run a function in the worker's thread."""
        done: Future[Any] = Future()

        def run() -> None:
            try:
                done.set_result(function())
            except BaseException as problem:
                done.set_exception(problem)

        self.loop.call_soon_threadsafe(run)
        return done.result(PATIENCE)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.worker.address.rpartition(":")
        return host, int(port)

    @property
    def admin(self) -> tuple[str, int]:
        host, _, port = self.worker.admin_address.rpartition(":")
        return host, int(port)

    def client(self, data: bytes = b"", context: ssl.SSLContext | None = None, name: str = "localhost") -> Client:
        """Connect, and send."""
        return self.connect(self.address, data, context or self.context, name)

    def connect(
        self,
        address: tuple[str, int],
        data: bytes = b"",
        context: ssl.SSLContext | None = None,
        name: str = "localhost",
    ) -> Client:
        connection = socket.create_connection(address, PATIENCE)
        if context is not None:
            try:
                connection = context.wrap_socket(connection, server_hostname=name)
            except BaseException:
                connection.close()
                raise
        client = Client(connection)
        self.clients.append(client)
        return client.send(data) if data else client

    def get(self, target: str = "/open/x", headers: str = "", method: str = "GET") -> Answer:
        """Ask once on a connection of its own."""
        with closing(self.client()) as client:
            return client.get(target, headers, method)

    def ask_admin(self, target: str, host: str = "127.0.0.1") -> Answer:
        with closing(self.connect(self.admin)) as client:
            client.send(f"GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
            return client.answer()

    def lines(self, number: int = 0) -> list[dict[str, Any]]:
        """Return the access log once it has so many lines."""
        import json

        until(lambda: len(self.log.read_bytes().splitlines()) >= number)
        return [json.loads(line) for line in self.log.read_bytes().splitlines()]

    def mint(self, *scopes: str, **more: Any) -> str:
        """Return an `Authorization` line."""
        from sixfold.layers.authentication import DevKeys

        keys = DevKeys.load_or_create(self.folder / "dev")
        return f"authorization: Bearer {keys.mint(scopes=scopes, now=time.time_ns() // 1000, **more)}\r\n"


@pytest.fixture
def guarding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Guard]]:
    """Start Sixfold before an upstream.

    Arguments of the factory:
        upstream: an `Upstream` or a URL.
        gateway: lines for the `[gateway]` table.
        more: text after the routes.
        policy: a whole text instead; `{upstream}` is filled in.
    """
    with ExitStack() as stack:

        def start(
            upstream: Any,
            gateway: str = "",
            more: str = "",
            policy: str = POLICY,
            files: Mapping[str, bytes] | None = None,
        ) -> Guard:
            folder = tmp_path_factory.mktemp("sixfold")
            for name, content in (files or {}).items():
                (folder / name).write_bytes(content)
            url = upstream if isinstance(upstream, str) else upstream.url
            guard = Guard(folder, policy.format(upstream=url, gateway=gateway, more=more))
            stack.callback(guard.stop)
            return guard.start()

        yield start


@pytest.fixture
def guard(guarding: Callable[..., Guard], upstream: Upstream) -> Guard:
    return guarding(upstream)


@pytest.fixture(scope="session")
def policy_text() -> str:
    return POLICY


@pytest.fixture(scope="session", name="until")
def until_fixture() -> Callable[..., Any]:
    return until


# ---------------------------------------------------------------------- Sixfold, as a process


@dataclass
class Served:
    """`sixfold serve` as a process.

    Arguments:
        folder: holds policy, state and what it printed.
    """

    folder: Path
    process: subprocess.Popen[bytes]
    port: int
    admin: int

    def printed(self) -> str:
        return (self.folder / "stderr.txt").read_text(errors="replace")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def client(self, data: bytes = b"") -> Client:
        client = Client(socket.create_connection(("127.0.0.1", self.port), PATIENCE))
        return client.send(data) if data else client

    def resident(self) -> int:
        """Return the memory it holds, in bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Run `sixfold serve`; arguments as for `guarding`."""
    with ExitStack() as stack:

        def start(upstream: Any, gateway: str = "", more: str = "", policy: str = POLICY) -> Served:
            url = upstream if isinstance(upstream, str) else upstream.url
            config = tmp_path / "sixfold.toml"
            config.write_text(policy.format(upstream=url, gateway=gateway, more=more))
            errors = (tmp_path / "stderr.txt").open("wb")
            output = (tmp_path / "stdout.txt").open("wb")
            with errors, output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "sixfold", "serve", "--config", "sixfold.toml"],
                    cwd=tmp_path,
                    env={**os.environ, "SIXFOLD_STATE": str(tmp_path), "PYTHONUNBUFFERED": "1"},
                    stdout=output,
                    stderr=errors,
                )
            stack.callback(_end, process)
            served = Served(tmp_path, process, 0, 0)

            def guarding() -> bool:
                assert process.poll() is None, served.printed()
                found = re.search(r"Guarding https?://[\d.]+:(\d+).*admin http://[\d.]+:(\d+)", served.printed())
                if found:
                    served.port, served.admin = int(found[1]), int(found[2])
                return found is not None

            assert until(guarding, 30), served.printed()
            return served

        yield start


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
