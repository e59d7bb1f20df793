"""The proxy: a worker per policy on a loop of its own, real sockets on both sides, an upstream that records."""

from __future__ import annotations

import asyncio
import base64
import json
import queue
import re
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from http.client import HTTPResponse
from typing import Any

import uvloop

from sixfold.policy import Policy
from sixfold.proxy.worker import Worker
from sixfold.watch import Record, Watch

from .book import Answer, Call, Entry
from .outcome import Headers, Outcome, Seen
from .stage import Stage

PATIENCE = 10.0  # seconds; only a failure lasts that long
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


class _Loop(uvloop.Loop):
    """Signals belong to the main thread, which is the test's."""

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:
        pass


class Thread:
    """A loop in a thread, for all workers and the upstream."""

    def __init__(self) -> None:
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._run, name="faces", daemon=True)
        self._thread.start()
        self.loop = self._started.result(PATIENCE)

    def _run(self) -> None:
        async def live() -> None:
            self._end = asyncio.Event()
            self._started.set_result(asyncio.get_running_loop())
            await self._end.wait()

        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(live())

    def run(self, work: Awaitable[Any]) -> Any:
        """Run a coroutine on the loop and return what it returns."""

        async def wait() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(wait(), self.loop).result(PATIENCE)

    def call(self, function: Callable[[], Any]) -> Any:
        """Call a function on the loop and return what it returns."""

        async def ask() -> Any:
            return function()

        return self.run(ask())

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(PATIENCE)


class Upstream:
    """Records what it gets and answers what it is told.

    Arguments:
        thread: whose loop it lives on.
    """

    def __init__(self, thread: Thread) -> None:
        self.answer = Answer()
        self.seen: queue.SimpleQueue[Seen] = queue.SimpleQueue()
        self._waits: list[asyncio.Event] = []  # of answers that are held back
        self.holding = False
        self._server: asyncio.Server = thread.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()

    def release(self) -> None:
        """Give the answers that were held back."""
        for wait in self._waits:
            wait.set()
        self._waits.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                seen = _read(head, await _body(reader, head))
                wait = asyncio.Event()
                if self.holding:
                    self._waits.append(wait)
                else:
                    wait.set()
                self.seen.put(seen)
                await wait.wait()
                writer.write(_response(self.answer, head.startswith(b"HEAD ")))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    if b"\r\ntransfer-encoding: chunked\r\n" in head.lower():
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return body
    length = _LENGTH.search(head)
    return await reader.readexactly(int(length[1])) if length else b""


def _read(head: bytes, body: bytes) -> Seen:
    line, *rest = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (one.partition(":") for one in rest)]
    told = dict(headers)
    caller = _claims(told["sixfold-identity"])["sub"] if "sixfold-identity" in told else ""
    return Seen(line.split(" ")[1], headers, body, told.get("x-forwarded-for", ""), caller)


def _claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def _response(answer: Answer, head: bool) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
    body = answer.body.encode()
    length = f"content-length: {len(body)}\r\n" if answer.status not in (204, 304) else ""
    return f"HTTP/1.1 {answer.status} Said\r\n{lines}{length}\r\n".encode() + (b"" if head or not length else body)


class ProxyFace:
    """Plays cases through workers over sockets.

    Arguments:
        stage: policies and keys.
        thread: where workers live.
        upstream: what stands behind.
    """

    def __init__(self, stage: Stage, thread: Thread, upstream: Upstream) -> None:
        self._stage = stage
        self._thread = thread
        self._upstream = upstream
        self._workers: dict[str, tuple[Worker, Any]] = {}
        self._records: list[Record] = []
        self._context = ssl.create_default_context(cafile=str(stage.authority))

    def close(self) -> None:
        async def end() -> None:
            for worker, _ in self._workers.values():
                worker.stop()
            await asyncio.gather(*(task for _, task in self._workers.values()))

        self._thread.run(end())

    def play(self, entry: Entry) -> Outcome:
        """Play a case."""
        case, policy = entry.case, self._stage.policy(entry)
        worker = self._worker(policy)
        engine = self._stage.engine(policy)
        self._thread.call(lambda: worker.edge.adopt(engine))
        self._upstream.answer = case.answer
        for call in case.before:
            for _ in range(call.times):
                self._ask(worker, policy, call)
        for _ in range(case.repeat):
            self._ask(worker, policy, case)
        self._upstream.holding = True
        held = [self._hold(worker, policy, case) for _ in range(case.held)]
        self._upstream.holding = False
        self._forget()
        status, headers, body = self._ask(worker, policy, case)
        outcome = self._outcome(status, headers, body)
        self._thread.call(self._upstream.release)
        for connection in held:
            connection.close()
        return outcome

    def _worker(self, policy: Policy) -> Worker:
        key = policy.version + policy.file
        if key not in self._workers:

            async def start() -> tuple[Worker, Any]:
                watch = Watch(tail=self._records.append)
                worker = Worker(lambda: policy, folder=self._stage.state, watch=watch, files=lambda _: [])
                await worker.start()
                return worker, asyncio.ensure_future(worker.run())

            self._workers[key] = self._thread.run(start())
        return self._workers[key][0]

    def _forget(self) -> None:
        self._records.clear()
        while not self._upstream.seen.empty():
            self._upstream.seen.get()

    def _outcome(self, status: int, headers: Headers, body: bytes) -> Outcome:
        said = [record.refusal for record in self._records if record.refusal.mode == "enforce"]
        told = [record.refusal.code for record in self._records if record.refusal.mode != "enforce"]
        seen = None if self._upstream.seen.empty() else self._upstream.seen.get()
        return Outcome(status, headers, body, said[-1] if said else None, told, seen)

    # ------------------------------------------------------------------ the client

    def _ask(self, worker: Worker, policy: Policy, call: Call) -> tuple[int, Headers, bytes]:
        connection = self._connect(worker, policy, call)
        try:
            connection.sendall(self._bytes(policy, call))
            answer = HTTPResponse(connection, method=call.method)
            answer.begin()
            headers = [(name.lower(), value) for name, value in answer.getheaders()]
            body = answer.read()
            answer.close()
            return answer.status, headers, body
        finally:
            connection.close()

    def _hold(self, worker: Worker, policy: Policy, call: Call) -> socket.socket:
        """Send a request whose answer does not come; returns once the API has it."""
        self._forget()
        connection = self._connect(worker, policy, call)
        connection.sendall(self._bytes(policy, call))
        self._upstream.seen.get(timeout=PATIENCE)
        return connection

    def _connect(self, worker: Worker, policy: Policy, call: Call) -> socket.socket:
        tls = self._stage.speaks_tls(policy, call)
        plain = worker.plain_address and not tls
        host, _, port = (worker.plain_address if plain else worker.address).rpartition(":")
        connection = socket.create_connection((host, int(port)), PATIENCE, source_address=(call.peer, 0))
        return self._context.wrap_socket(connection, server_hostname="localhost") if tls else connection

    def _bytes(self, policy: Policy, call: Call) -> bytes:
        lines = [f"{name}: {value}\r\n" for name, value in self._stage.headers(policy, call)]
        body = call.content
        if call.chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        elif body:
            lines.append(f"Content-Length: {len(body)}\r\n")
        return f"{call.method} {call.target} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body
