"""The client's side, one protocol object per connection: strict framing, answers in order, a deadline per wait."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, cast

from sixfold.decision import Refusal
from sixfold.proxy.exchange import Exchange, own_answer
from sixfold.proxy.http1 import (
    GOOD_LINE,
    RULE,
    BodyReader,
    Broken,
    ChunkedBody,
    FieldReader,
    SizedBody,
    bare_newline,
    request_length,
    request_line,
)
from sixfold.request import Fields, Peer

if TYPE_CHECKING:
    from sixfold.proxy.edge import Edge

_MAX_PIPELINED: Final = 64 * 1024
_MAX_DISCARD: Final = 64 * 1024
_TURN: Final = 32  # pipelined requests answered at once; then it is the turn of other connections
_LAST_CALL: Final = 1.0  # seconds in which an idle client may still send a request once we drain
_LINGER: Final = 2.0  # seconds in which a client may still read our last answer
_FORGET: Final = 1.0  # seconds after which an idle connection's last header section is dropped
_RATE_GRACE: Final = 5.0  # seconds before the minimum rate of a body is measured
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Downstream(asyncio.Protocol):
    """A client's connection.

    Arguments:
        edge: what all connections of a worker share.
        peer: who is at the other end.
    """

    __slots__ = (
        "_block", "_body_bytes", "_body_since", "_buffer", "_consuming", "_expects", "_field_reader", "_fields",
        "_half_closed", "_keep", "_length", "_paused", "_plain", "_retired", "_writing_since", "chunks", "closing",
        "deadline", "edge", "exchange", "keep", "peer", "reader", "transport",
    )  # fmt: skip

    def __init__(self, edge: Edge, peer: Peer) -> None:
        self.edge = edge
        self.peer = peer
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.exchange: Exchange | None = None
        self.reader: BodyReader | None = None  # of a request body that is not complete yet
        self.keep = True  # the connection may serve another request
        self.chunks = True  # the client understands chunked answers
        self.closing = False
        self.deadline = edge.now + edge.table.header_timeout
        self._buffer = b""
        self._consuming = False
        self._paused = False
        self._expects = False
        self._half_closed = False
        self._retired = False
        self._body_bytes = 0
        self._body_since = 0.0
        self._writing_since = 0.0
        # The last header section: clients repeat theirs on a connection, so it is read once (as HPACK would).
        self._block = b""
        self._fields: Fields | None = None
        self._field_reader = FieldReader()
        self._length: int | None = 0
        self._keep = True
        self._plain = edge.plain

    # ------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self.edge.opened(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client."""
        if self.closing:
            self._body_bytes += len(data)
            if self._body_bytes > _MAX_DISCARD:
                self.transport.abort()
            return
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        elif self.exchange is None and self.reader is None and not self._writing_since:
            end = data.find(b"\r\n\r\n") + 4
            if end > 3:  # a whole head, the common case
                try:
                    data = self._head(data, b"") if end == len(data) else self._head(data[:end], data[end:])
                except Broken as problem:
                    self._broken(problem.refusal)
                    return
                if not data:
                    return
        self._consume(data)

    def eof_received(self) -> bool:
        """The client sends no more; answers that are pending are still delivered (TLS knows no half-closed state)."""
        if self.exchange is None or self.reader is not None or self.peer.tls:
            return False
        self._half_closed = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.closing = True
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.abandoned()
        if not self._retired:
            self._retired = True
            self.edge.closed(self)

    def pause_writing(self) -> None:
        """The client reads slowly: stop reading from the upstream (SLOW-03)."""
        self._writing_since = self.edge.now
        if self.exchange is not None and self.exchange.upstream is not None:
            self.exchange.upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading from the upstream."""
        self._writing_since = 0.0
        if self.exchange is None:
            self._go_on()
        elif self.exchange.upstream is not None:
            self.exchange.upstream.transport.resume_reading()

    # ------------------------------------------------------------------ reading

    def _consume(self, data: bytes) -> None:
        self._consuming = True
        turns = 0
        try:
            while data and not self.closing:
                reader = self.reader
                if reader is not None:
                    body, data = reader.feed(data)
                    self._body(reader, body)
                elif self.exchange is None and not self._writing_since:
                    end = data.find(b"\r\n\r\n")
                    if end < 0:
                        self._wait_for_head(data)
                        break
                    turns += 1
                    if turns > _TURN and not self._half_closed:
                        self._buffer = data
                        self.pause_reading()
                        asyncio.get_running_loop().call_soon(self._go_on)
                        break
                    data = self._head(data[: end + 4], data[end + 4 :])
                else:  # a pipelined request waits for the answer before it (H1-16), and until that is read (SLOW-03)
                    self._buffer = data
                    if len(data) > _MAX_PIPELINED:
                        self.pause_reading()
                    break
        except Broken as problem:
            self._broken(problem.refusal)
        finally:
            self._consuming = False

    def _wait_for_head(self, data: bytes) -> None:
        """Keep an unfinished head, as long as it can still become a good one (SLOW-01, SLOW-06)."""
        table = self.edge.table
        if not self._buffer and self.deadline > self.edge.now + table.header_timeout:
            self.deadline = self.edge.now + table.header_timeout
        line_end = data.find(b"\r\n")
        if (len(data) if line_end < 0 else line_end) > table.max_target + 32:
            raise Broken("target-too-long", "an over-long request line")
        if len(data) > table.max_header_section:
            raise Broken("headers-too-large", "an over-long header section")
        if bare_newline(data):
            raise Broken("malformed-request", "a bare CR or LF, or a NUL, in the header section")
        self._buffer = data

    def _head(self, head: bytes, rest: bytes) -> bytes:
        """Read one request head and start its exchange.

        Arguments:
            rest: what came after the head; a body that is whole goes along with it.

        Returns:
            what is left of `rest`.
        """
        edge = self.edge
        if len(head) > edge.table.max_header_section:
            raise Broken("headers-too-large", "an over-long header section")
        match = GOOD_LINE.match(head)
        if match is not None:
            method, target = match.groups()
            version = b"1.1"
            block = head[match.end() - 2 :]
        else:
            line_end = head.find(b"\r\n")
            method, target, version = request_line(head[:line_end])
            block = head[line_end:]
        if block != self._block or version != b"1.1":
            refusal = self._new_section(block, version)
            if refusal is not None:
                self._unread(refusal)
                return b""
        fields = self._fields
        assert fields is not None  # noqa: S101
        length = self._length
        self.keep = self._keep and not edge.draining
        request = edge.engine.canonicaliser.request(method, target, fields, self.peer, time.time_ns() // 1000, length)
        if type(request) is Refusal:
            self._unread(request, head=method == b"HEAD")
            return b""
        if self._plain:
            self._unread(edge.plain_refusal())
            return b""
        exchange = self.exchange = Exchange(self, request)
        self.deadline = 0.0
        if length is not None and length <= len(rest):
            if length:
                exchange.bring(rest[:length])
                rest = rest[length:]
        else:
            self.reader = _reader(length)
            self._body_bytes = 0
            self._body_since = edge.now
            self.deadline = edge.now + edge.table.body_timeout
        exchange.start()
        return rest

    def _new_section(self, block: bytes, version: bytes) -> Refusal | None:
        reader = self._field_reader
        pairs = reader.read(block)
        fields = self.edge.engine.canonicaliser.fields(pairs, size=len(block), underscores=reader.underscores)
        if type(fields) is Refusal:
            return fields
        first = fields.first
        if version == b"1.1" and b"host" not in first:
            raise Broken("malformed-request", "HTTP/1.1 without `Host`")
        self._length = request_length(first, version)
        expect = first.get(b"expect")
        if expect is not None and expect.lower() != b"100-continue":
            raise Broken("expectation-failed", "an expectation other than 100-continue")
        self._expects = expect is not None and version == b"1.1"
        self._keep = version == b"1.1"
        if b"connection" in first:
            tokens = [token.strip().lower() for value in fields.all(b"connection") for token in value.split(b",")]
            self._keep = self._keep and b"close" not in tokens
        self.chunks = version == b"1.1"
        self._fields = fields
        self._block = block if version == b"1.1" else b""
        return None

    def _body(self, reader: BodyReader, body: bytes) -> None:
        self._body_bytes += len(body)
        exchange = self.exchange
        if exchange is None:  # of a request that was refused already
            if self._body_bytes > _MAX_DISCARD:
                self._close()
        elif body:
            exchange.body(body)
        if reader.done and self.reader is reader:
            self.reader = None
            exchange = self.exchange
            if exchange is not None:
                self.deadline = 0.0
                exchange.body_end()
            elif not self.closing:
                self._idle()

    def wants_body(self) -> None:
        """Somebody wants the body: tell a client that waits for `100 Continue` (H1-11)."""
        if self._expects and self.reader is not None and self._body_bytes == 0:
            self._expects = False
            self._block = b""
            self.transport.write(_CONTINUE)

    def pause_reading(self) -> None:
        """Stop reading from the client."""
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading from the client."""
        if self._paused and not self.transport.is_closing():
            self._paused = False
            self.transport.resume_reading()

    # ------------------------------------------------------------------ answering

    def write(self, data: bytes) -> None:
        """Send bytes to the client."""
        self.transport.write(data)

    def settle(self, exchange: Exchange) -> None:
        """Decide, before the last bytes of an answer, whether the connection goes on.

        What is left of the request's body is read and dropped if it is short; else the connection is closed.
        """
        reader = self.reader
        if reader is None or not self.keep:
            return
        if self._expects or not isinstance(reader, SizedBody) or reader.left > _MAX_DISCARD:
            self.keep = False

    def exchange_over(self, exchange: Exchange) -> None:
        """An exchange has ended: serve the next request, or close."""
        if self.exchange is not exchange:
            return
        self.exchange = None
        if not self.keep or self.edge.draining:
            self._close()
            return
        self._body_bytes = 0
        if self.reader is not None:
            self.resume_reading()
            return
        self.deadline = self.edge.now + self.edge.table.idle_timeout
        if self._buffer or self._paused or self._half_closed:
            self._go_on()

    def _idle(self) -> None:
        self.deadline = self.edge.now + self.edge.table.idle_timeout
        self._go_on()

    def _go_on(self) -> None:
        """Serve what was pipelined, if it is its turn."""
        if self._consuming or self._writing_since or self.closing:
            return
        self.resume_reading()
        if self._buffer:
            data, self._buffer = self._buffer, b""
            self._consume(data)
        if self._half_closed and (self.exchange is None or self.reader is not None):
            self._close()

    def _unread(self, refusal: Refusal, *, head: bool = False) -> None:
        """Answer bytes that are no canonical request, and close: what follows them could be read in two ways."""
        self.keep = False
        status, headers, body = self.edge.engine.render(refusal, None, tls=self.peer.tls)
        self.edge.watch.unread(self.peer, refusal)
        self.write(own_answer(status, headers, body, self.edge.date, keep=False, head=head))
        self._close(linger=True)

    def _broken(self, refusal: Refusal) -> None:
        """The bytes are not HTTP, or do not come: answer if an answer can still be understood, then close."""
        self.keep = False
        if self.exchange is not None:
            self.exchange.fail(refusal)
        else:
            self._unread(refusal)

    def _close(self, *, linger: bool = False) -> None:
        """Close, but let the client read what was sent: a reset would destroy it.

        Arguments:
            linger: the client may still be sending.
        """
        if self.closing:
            return
        self.closing = True
        self._body_bytes = 0
        self.resume_reading()
        if not (linger or self.reader is not None) or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.deadline = self.edge.now + _LINGER

    def abort(self) -> None:
        """Close at once."""
        self.closing = True
        self.transport.abort()

    # ------------------------------------------------------------------ time

    def sweep(self, now: float) -> None:
        """End what has waited for too long.

        Arguments:
            now: loop time in seconds.
        """
        table = self.edge.table
        if self._fields is not None and self.exchange is None and now > self.deadline - table.idle_timeout + _FORGET:
            self._forget()
        if self._writing_since and now - self._writing_since > table.write_timeout:
            self.abort()
            return
        exchange = self.exchange
        if exchange is not None and exchange.deadline and now > exchange.deadline:
            exchange.timed_out()
            return
        if self.reader is not None and exchange is not None and self._too_slow(now):
            self._broken(_slow("a body below the minimum rate"))
            return
        if self.deadline and now > self.deadline:
            if self.closing or (exchange is None and not self._buffer):
                self.transport.abort() if self.closing else self._close()
            else:
                self._broken(_slow("the request did not arrive whole in time"))

    def _too_slow(self, now: float) -> bool:
        elapsed = now - self._body_since - _RATE_GRACE
        return elapsed > 0 and not self._paused and self._body_bytes < elapsed * self.edge.table.min_body_rate

    def renew(self) -> None:
        """Read the next header section anew: what was derived from the last one belongs to the policy before."""
        self._block = b""

    def _forget(self) -> None:
        """Drop what was kept of the last request: ten thousand idle connections need no memory for it (SLOW-09)."""
        self._block = b""
        self._fields = None
        self._field_reader.forget()
        self.peer.memo.clear()

    def drain(self) -> None:
        """Close after the answer that is pending; who is idle may have a request on its way, and is given a moment."""
        self.keep = False
        if self.exchange is None and self.reader is None and not self._buffer:
            self.deadline = min(self.deadline, self.edge.now + _LAST_CALL)


def _slow(reason: str) -> Refusal:
    return Refusal("request-timeout", RULE, reason=reason, remedy="send faster, or raise the timeouts", close=True)


def _reader(length: int | None) -> BodyReader | None:
    if length == 0:
        return None
    return ChunkedBody() if length is None else SizedBody(length)
