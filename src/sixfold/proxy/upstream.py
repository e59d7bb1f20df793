"""Connections to what stands behind: a pool per upstream, kept alive, verified over TLS, never reused in doubt."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, cast
from urllib.parse import urlsplit

from sixfold.proxy.http1 import (
    UNTIL_CLOSE,
    BodyReader,
    Broken,
    ChunkedBody,
    FieldReader,
    ResponseHead,
    SizedBody,
    UntilClose,
    response_head,
    response_length,
)

if TYPE_CHECKING:
    from sixfold.proxy.exchange import Exchange

_MAX_HEAD: Final = 64 * 1024
_BODILESS: Final = frozenset(("GET", "HEAD", "OPTIONS", "DELETE"))  # some servers never read a body on these
_MAX_INTERIM: Final = 8  # 1xx answers before the real one
_IDLE: Final = 4.0  # seconds; common servers close theirs after five
_IDLE_UNSAFE: Final = 1.0  # a call that cannot be repeated takes only a connection that was busy just now


class Target(NamedTuple):
    """Where an upstream listens.

    Arguments:
        host, port: TCP; or `path`, a Unix socket.
        tls: speak TLS and verify `host`.
        authority: for `Host` when the client sent none.
    """

    host: str
    port: int
    path: str
    tls: bool
    authority: str


def parse_target(url: str) -> Target:
    """Read `http://host:port`, `https://host`, `unix:/path`.

    Raises:
        ValueError: anything else; a path, query or user does not belong into an upstream.
    """
    if url.startswith("unix:"):
        return Target("", 0, url.removeprefix("unix:").removeprefix("//"), tls=False, authority="localhost")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        # the text itself stays out of the message: it may hold a password
        raise ValueError("`upstream` is not understood; write http://host:port, https://host or unix:/path")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("`upstream` holds a path; name only the server, and the path as `base_path` or in the routes")
    tls = parts.scheme == "https"
    return Target(parts.hostname, parts.port or (443 if tls else 80), "", tls, parts.netloc)


class Upstream(asyncio.Protocol):
    """One connection to an upstream; carries one exchange at a time."""

    __slots__ = (
        "_block", "_buffer", "_fields", "_interim", "_last", "_reader", "alive", "exchange", "idle_since",
        "keep", "pool", "reused", "transport",
    )  # fmt: skip

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.exchange: Exchange | None = None
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.alive = True
        self.reused = False
        self.keep = True
        self.idle_since = 0.0
        self._buffer = b""
        self._reader: BodyReader | None = None
        self._interim = 0
        self._fields = FieldReader("upstream-malformed", text=True)
        self._block = b""
        self._last: ResponseHead | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read an answer."""
        exchange = self.exchange
        if exchange is None:  # bytes nobody asked for: this connection is out of step
            self.discard()
            return
        try:
            if self._reader is None:
                self._head(exchange, self._buffer + data if self._buffer else data)
            else:
                self._body(exchange, data)
        except Broken as problem:
            self.discard()
            exchange.upstream_broken(problem.refusal)
        except BaseException as problem:
            self.discard()
            exchange.crashed(problem)

    def _head(self, exchange: Exchange, data: bytes) -> None:
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > _MAX_HEAD:
                    raise Broken("upstream-malformed", "an endless header section")
                self._buffer = data
                return
            block = data[: end + 4]
            head = self._last if block == self._block and self._last is not None else self._learn(block)
            if head.status >= 200:
                break
            self._interim += 1
            if head.status == 101 or self._interim > _MAX_INTERIM:
                raise Broken("upstream-malformed", "an upgrade nobody asked for, or a storm of interim answers")
            data = data[end + 4 :]
        self._buffer = b""
        self._interim = 0
        if not head.keep_alive:
            self.keep = False
        length = response_length(head, exchange.request.method)
        body = data[end + 4 :]
        if length is not None and 0 <= length <= len(body):  # the whole answer in one piece, the common case
            if len(body) > length:
                self.keep = False
                body = body[:length]
            self._release(exchange)
            exchange.answer_whole(head, body)
            return
        if length is None:
            self._reader = ChunkedBody("upstream-malformed")
        elif length == UNTIL_CLOSE:
            self._reader = UntilClose()
            self.keep = False
        else:
            self._reader = SizedBody(length)
        piece, rest = self._reader.feed(body)
        done = self._reader.done
        if done:
            self._end(exchange, rest)
        exchange.answer(head, length, piece, complete=done)

    def _learn(self, block: bytes) -> ResponseHead:
        """Read a head; upstreams repeat theirs, at least within a second, so the last one is kept."""
        head = response_head(block, self._fields)
        self._block, self._last = block, head
        return head

    def _body(self, exchange: Exchange, data: bytes) -> None:
        assert self._reader is not None  # noqa: S101
        piece, rest = self._reader.feed(data)
        if self._reader.done:
            self._end(exchange, rest)
            exchange.answer_body(piece, complete=True)
        elif piece:
            exchange.answer_body(piece, complete=False)

    def _end(self, exchange: Exchange, rest: bytes) -> None:
        if rest:
            self.keep = False
        self._reader = None
        self._release(exchange)

    def _release(self, exchange: Exchange) -> None:
        """Leave the exchange; go back to the pool, unless the request was not sent whole (H1-10, H1-12)."""
        self.exchange = None
        if self.keep and exchange.request_sent and (exchange.request.length == 0 or self._body_was_read(exchange)):
            self.pool.give_back(self)
        else:
            self.discard()

    def _body_was_read(self, exchange: Exchange) -> bool:
        """Return whether the upstream has surely read the request's body, and cannot take it for the next request."""
        return exchange.request.method not in _BODILESS and self.transport.get_write_buffer_size() == 0

    def discard(self) -> None:
        """Close without further use."""
        self.exchange = None
        if self.alive:
            self.alive = False
            self.pool.lost(self)
            self.transport.abort()

    def eof_received(self) -> bool | None:
        """The upstream will send no more; `connection_lost` follows."""
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """End an answer that was framed by closing; fail any other."""
        if self.alive:
            self.alive = False
            self.pool.lost(self)
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            return
        if isinstance(self._reader, UntilClose) and exc is None:
            exchange.answer_body(b"", complete=True)
        else:
            exchange.upstream_lost(retry=self.reused and self._reader is None and not self._buffer)

    def pause_writing(self) -> None:
        """The upstream reads slowly: stop reading from the client."""
        if self.exchange is not None:
            self.exchange.blocked(blocked=True)

    def resume_writing(self) -> None:
        """Go on reading from the client."""
        if self.exchange is not None:
            self.exchange.blocked(blocked=False)


class Pool:
    """Connections to one upstream.

    Arguments:
        target: where it listens.
        limit: most connections at once; further exchanges wait.
        connect_timeout: seconds.
        context: for TLS.
    """

    def __init__(self, target: Target, *, limit: int, connect_timeout: float, context: ssl.SSLContext | None) -> None:
        self.target = target
        self.idle: list[Upstream] = []
        self.waiting: deque[Exchange] = deque()
        self.open = 0
        self.now = 0.0  # coarse, set by the sweeper
        self.closed = False
        self._limit = limit
        self._timeout = connect_timeout
        self._context = context
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, exchange: Exchange, repeatable: bool) -> Upstream | None:
        """Return an idle connection; else open one or queue the exchange, which is told by `connected`.

        Arguments:
            repeatable: the call may be sent again if the connection turns out to be gone.
        """
        idle = self.idle
        oldest = self.now - (_IDLE if repeatable else _IDLE_UNSAFE)
        while idle:
            connection = idle.pop()
            if connection.alive and connection.idle_since >= oldest:
                connection.reused = True
                return connection
            connection.discard()
        if self.open >= self._limit:
            self.waiting.append(exchange)
            return None
        self._start(exchange)
        return None

    def _start(self, exchange: Exchange) -> None:
        self.open += 1
        task = asyncio.get_running_loop().create_task(self._connect(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        target = self.target
        connection = Upstream(self)
        try:
            async with asyncio.timeout(self._timeout):
                if target.path:
                    await loop.create_unix_connection(lambda: connection, target.path)
                else:
                    await loop.create_connection(
                        lambda: connection,
                        target.host,
                        target.port,
                        ssl=self._context if target.tls else None,
                        server_hostname=target.host if target.tls else None,
                    )
        except (OSError, TimeoutError) as problem:
            if connection.alive:
                connection.alive = False
                self.open -= 1
                self._next()
            exchange.connect_failed(_reason(problem))
            return
        if exchange.over:
            self.give_back(connection)
        else:
            exchange.connected(connection)

    def give_back(self, connection: Upstream) -> None:
        """Take back a connection that is ready for the next exchange."""
        while self.waiting:
            exchange = self.waiting.popleft()
            if not exchange.over:
                connection.reused = True
                exchange.connected(connection)
                return
        if self.closed:
            connection.discard()
            return
        connection.idle_since = self.now
        self.idle.append(connection)

    def lost(self, connection: Upstream) -> None:
        """Forget a connection that is gone."""
        self.open -= 1
        if connection in self.idle:
            self.idle.remove(connection)
        self._next()

    def _next(self) -> None:
        """Let the next waiting exchange connect."""
        while self.waiting and self.open < self._limit:
            exchange = self.waiting.popleft()
            if not exchange.over:
                self._start(exchange)
                return

    def sweep(self, now: float) -> None:
        """Close what was idle for too long, and forget who waits for nothing any longer."""
        self.now = now
        if self.waiting:
            self.waiting = deque([one for one in self.waiting if not one.over])
        for connection in [one for one in self.idle if one.idle_since < now - _IDLE]:
            connection.discard()

    def close(self) -> None:
        """Close all idle connections, and those in use when they are."""
        self.closed = True
        for connection in list(self.idle):
            connection.discard()


def _reason(problem: Exception) -> str:
    if isinstance(problem, TimeoutError):
        return "no connection in time"
    if isinstance(problem, ssl.SSLError):
        return f"TLS: {getattr(problem, 'verify_message', '') or problem.reason or type(problem).__name__}"
    return f"connection refused or unreachable ({type(problem).__name__})"
