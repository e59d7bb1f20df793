"""One request and its answer. Runs the flow, forwards by Permit only, and tells what happened exactly once."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from sixfold.decision import Refusal, Reply, Rule
from sixfold.flow import Flow, Permit, failed
from sixfold.needs import TOO_LARGE, Body, KeySet, Need, Unavailable
from sixfold.proxy.http1 import UNTIL_CLOSE, ResponseHead
from sixfold.request import Pair, Request, encode

if TYPE_CHECKING:
    from sixfold.proxy.downstream import Downstream
    from sixfold.proxy.edge import Edge
    from sixfold.proxy.upstream import Upstream

_STATUS: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}  # fmt: skip
_UPSTREAM_RULE: Final = Rule("gateway.upstream")
_DIGESTS: Final = frozenset((b"content-md5", b"digest", b"content-digest", b"repr-digest"))
_CHUNKED: Final = b"transfer-encoding: chunked\r\n\r\n"
_REPEATABLE: Final = frozenset(("GET", "HEAD", "OPTIONS"))
_IDLE_WINDOW: Final = 64 * 1024  # bytes of body kept while an upstream connection is being opened


def status_line(status: int) -> bytes:
    """Return the status line of an answer."""
    return _STATUS.get(status) or b"HTTP/1.1 %d \r\n" % status


class Exchange:
    """One request and its answer.

    Arguments:
        downstream: the client's connection.
        request: canonical.
    """

    # Most exchanges change few of these, so they stand on the class until they do.
    permit: Permit | None = None
    upstream: Upstream | None = None
    answered = False  # the head of the answer was written
    over = False
    request_sent = False
    status = 0
    sent = 0  # bytes of body sent to the client
    code = ""
    deadline = 0.0
    _flow: Flow | None = None
    _collecting = -1
    _sending = False  # the request's body goes to the upstream as it comes
    _chunking = False  # the answer's body goes to the client in chunks
    _body_size = 0
    _held: ResponseHead | None = None
    _judge = -1
    _length: int | None = None
    _retried = False

    def __init__(self, downstream: Downstream, request: Request) -> None:
        edge = downstream.edge
        self.downstream = downstream
        self.edge: Edge = edge
        self.engine = edge.engine
        self.request = request
        self._body: list[bytes] = []

    # ------------------------------------------------------------------ deciding

    def start(self) -> None:
        """Run the flow until it ends or needs something."""
        self._flow = self.engine.check(self.request)
        self._advance(None)

    def _advance(self, answer: Any) -> None:
        flow = self._flow
        assert flow is not None  # noqa: S101
        try:
            need = flow.send(answer)
        except StopIteration as end:
            decision = end.value
        except BaseException as problem:
            self.edge.bug(problem)
            decision = failed(problem)
        else:
            self._fetch(need)
            return
        self._flow = None
        if type(decision) is Permit:
            self.permit = decision
            if decision.told:
                self.edge.watch.told(decision)
            self._forward(decision)
        else:
            self.refuse(decision)

    def _fetch(self, need: Need) -> None:
        if type(need) is Body:
            self._collecting = need.limit
            if self._body_size > need.limit:
                self._collected(TOO_LARGE)
            elif self.downstream.reader is None:
                self._collected(b"".join(self._body))
            else:
                self.downstream.resume_reading()
                self.downstream.wants_body()
            return
        self.edge.spawn(self._fetch_later(need))

    async def _fetch_later(self, need: Need) -> None:
        try:
            answer = await self._keys(need) if type(need) is KeySet else Unavailable("no shared store is configured")
        except Exception as problem:
            self.edge.bug(problem)
            answer = Unavailable(type(problem).__name__)
        if not self.over:
            self._advance(answer)

    async def _keys(self, need: KeySet) -> Any:
        return await self.engine.state.keys.refresh(need.issuer, need.kid, self.request.now)

    def _collected(self, answer: Any) -> None:
        self._collecting = -1
        self._advance(answer)  # what was collected stays: it is forwarded if validation leaves it as it is

    # ------------------------------------------------------------------ the request's body

    def bring(self, data: bytes) -> None:
        """Take a body that came whole, together with its head."""
        self._body.append(data)
        self._body_size = len(data)

    def body(self, data: bytes) -> None:
        """Take a piece of the request's body."""
        self._body_size += len(data)
        if self._collecting >= 0:
            if self._body_size > self._collecting:
                self._collected(TOO_LARGE)
            else:
                self._body.append(data)
            return
        permit = self.permit
        if permit is not None and self._body_size > permit.door.max_body:
            self.fail(self.engine.gateway.too_large(permit.door))
        elif self.upstream is not None and self._sending:
            self.upstream.transport.write(self._framed(data))
        else:
            self._body.append(data)
            if self._body_size > _IDLE_WINDOW:
                self.downstream.pause_reading()

    def body_end(self) -> None:
        """The request's body is complete."""
        if self._collecting >= 0:
            self._collected(b"".join(self._body))
        elif self.upstream is not None and self._sending:
            if self.request.length is None:
                self.upstream.transport.write(b"0\r\n\r\n")
            self._sent_whole()

    def _framed(self, data: bytes) -> bytes:
        return data if self.request.length is not None else b"%x\r\n%b\r\n" % (len(data), data)

    def _sent_whole(self) -> None:
        self.request_sent = True
        self.deadline = self.edge.now + self._timeout()

    def _timeout(self) -> float:
        permit = self.permit
        return permit.door.timeout if permit is not None else self.edge.table.upstream_timeout

    # ------------------------------------------------------------------ forwarding

    def _forward(self, permit: Permit) -> None:
        """Send a permitted request on its way: on a connection that is free now, or when the pool has one."""
        if self.downstream.reader is not None:
            self.downstream.wants_body()
        edge, request = self.edge, self.request
        pools = edge.pools if self.engine is edge.engine else edge.retired[self.engine]
        pool = pools[permit.door.operation.upstream]
        connection = pool.take(self, request.length == 0 and request.method in _REPEATABLE)
        if connection is not None:
            self.connected(connection)
        else:
            self.deadline = edge.now + edge.table.connect_timeout + 1

    def connected(self, connection: Upstream) -> None:
        """Send the request on a connection that the pool handed over."""
        permit = self.permit
        assert permit is not None  # noqa: S101
        request = self.request
        self.upstream = connection
        connection.exchange = self
        head = self._head(permit)
        if request.length == 0:
            end = b"\r\n" if request.method in _REPEATABLE else b"content-length: 0\r\n\r\n"
            connection.transport.write(head + end)
            self.request_sent = True
            self.deadline = self.edge.now + permit.door.timeout
        elif permit.body is not None:
            connection.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(permit.body), permit.body))
            self._sent_whole()
        else:
            self._stream(connection, head)

    def _stream(self, connection: Upstream, head: bytes) -> None:
        """Send head and what is there of the body; the rest follows as it comes."""
        length = self.request.length
        head += _CHUNKED if length is None else b"content-length: %d\r\n\r\n" % length
        pieces, self._body = self._body, []
        connection.transport.write(b"".join([head, *map(self._framed, pieces)]))
        self._sending = True
        self.deadline = 0.0  # the client's own deadlines hold until its body is here
        if self.downstream.reader is None:
            self.body_end()
        else:
            self.downstream.resume_reading()

    def _head(self, permit: Permit) -> bytes:
        """Return request line and header lines, rebuilt; the part that repeats on a connection is kept encoded."""
        request, gateway = self.request, self.engine.gateway
        stale = permit.body is not None and not request.fields.first.keys().isdisjoint(_DIGESTS)
        if permit.door.request_edits is not None or stale:
            pairs = gateway.forward(request, permit.door, permit.identity)
            if stale:  # digests of bytes that are not sent
                pairs = [pair for pair in pairs if pair[0] not in _DIGESTS]
            return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b" % (
                request.method.encode(),
                permit.target,
                request.host.encode(),
                encode(pairs),
            )
        memo = request.fields.memo.get("lines")
        if memo is None or memo[0] is not gateway or memo[1] is not request.peer:
            lines = b" HTTP/1.1\r\nhost: %b\r\n%b" % (request.host.encode(), encode(gateway.kept(request)))
            memo = request.fields.memo["lines"] = (gateway, request.peer, lines)
        identity = gateway.identity_value(permit.identity, request.now)
        method = request.method.encode()
        if identity is None:
            return b"%b %b%b" % (method, permit.target, memo[2])
        return b"%b %b%bsixfold-identity: %b\r\n" % (method, permit.target, memo[2], identity)

    def blocked(self, *, blocked: bool) -> None:
        """The upstream has stopped taking the request's body, or goes on: only it is to blame for that wait."""
        if not self.answered:
            self.deadline = self.edge.now + self._timeout() if blocked or self.request_sent else 0.0
        if blocked:
            self.downstream.pause_reading()
        else:
            self.downstream.resume_reading()

    # ------------------------------------------------------------------ what can go wrong behind

    def connect_failed(self, reason: str) -> None:
        """No connection to the upstream."""
        if not self.over:
            self.fail(_upstream("upstream-unreachable", reason, "start the upstream, or mend `[gateway] upstream`"))

    def upstream_lost(self, *, retry: bool) -> None:
        """The connection ended before the answer did; once, a safe call is sent again on another one."""
        self.upstream = None
        permit = self.permit
        if self.over or permit is None:
            return
        repeatable = self.request.method in _REPEATABLE and self.request.length == 0
        if retry and repeatable and not self._retried and not self.answered:
            self._retried = True
            self.request_sent = False
            self._forward(permit)
        else:
            self.fail(_upstream("upstream-malformed", "the connection ended before the answer did", _SEE_UPSTREAM))

    def upstream_broken(self, refusal: Refusal) -> None:
        """The upstream does not speak HTTP/1.1 well."""
        self.upstream = None
        self.fail(Refusal(refusal.code, _UPSTREAM_RULE, reason=refusal.reason, remedy=_SEE_UPSTREAM))

    def crashed(self, problem: BaseException) -> None:
        """A bug of ours while an answer was on its way: nothing more of it is sent."""
        self.edge.bug(problem)
        self.upstream = None
        self.fail(failed(problem))

    def timed_out(self) -> None:
        """The deadline of the exchange has passed."""
        if self.upstream is None and self.permit is not None:
            busy = _upstream("upstream-busy", "no free connection in time", "raise `[gateway] upstream_connections`")
            busy.headers = ((b"retry-after", b"1"),)
            self.fail(busy)
        else:
            self.fail(_upstream("upstream-timeout", "no answer in time", "raise `timeout` for this route"))

    # ------------------------------------------------------------------ answering

    def answer_whole(self, head: ResponseHead, body: bytes) -> None:
        """Take an answer that came in one piece: nearly all do."""
        self.upstream = None
        permit = self.permit
        if self.over or permit is None:
            return
        status = head.status
        if self.engine.answer_mode != "off" or status == 204:
            self.answer(head, len(body), body, complete=True)
            return
        downstream = self.downstream
        lines = permit.finish_lines(head.pairs, head.memo)
        self.answered = True
        self.status = status
        self.sent = len(body)
        if downstream.reader is not None:
            downstream.settle(self)
        end = b"\r\n" if downstream.keep else b"connection: close\r\n\r\n"
        downstream.transport.write(b"".join((_STATUS.get(status) or status_line(status), lines, end, body)))
        self._done()

    def answer(self, head: ResponseHead, length: int | None, body: bytes, *, complete: bool) -> None:
        """Take status, headers and the first piece of the body from the upstream."""
        if complete:
            self.upstream = None
        permit = self.permit
        if self.over or permit is None:
            return
        self.deadline = self.edge.now + self._timeout()
        if self.engine.answer_mode != "off" and not self._bodiless(head.status):
            validation = self.engine.validation
            limit = validation.reads_answer(permit.door.operation, head.status, _content_type(head.pairs))
            if limit is not None:
                self._hold(head, length, body, limit, complete=complete)
                return
        self._write_head(permit, head, length, body, complete=complete)

    def _write_head(
        self, permit: Permit, head: ResponseHead, length: int | None, body: bytes, *, complete: bool
    ) -> None:
        downstream = self.downstream
        pairs = head.pairs
        status = head.status
        no_body = self._bodiless(status)
        if status == 204:  # RFC 9110 section 8.6
            pairs = [pair for pair in pairs if pair[0] != b"content-length"]
        if no_body or (length is not None and length >= 0):
            tail = b"\r\n"  # the upstream's own Content-Length goes on: it was checked
        elif downstream.chunks:
            tail = _CHUNKED
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if complete:
                body += b"0\r\n\r\n"
        else:
            tail = b"\r\n"
            downstream.keep = False
        self._chunking = downstream.chunks and (length is None or length == UNTIL_CLOSE) and not no_body
        headers = permit.finish_lines(pairs, head.memo if pairs is head.pairs else {})
        self.answered = True
        self.status = status
        self.sent += len(body)
        if complete:
            downstream.settle(self)
            close = b"" if downstream.keep else b"connection: close\r\n"
            downstream.write(b"".join((status_line(status), headers, close, tail, body)))
            self._done()
        else:
            close = b"" if downstream.keep else b"connection: close\r\n"
            downstream.write(b"".join((status_line(status), headers, close, tail, body)))

    def _bodiless(self, status: int) -> bool:
        """Return whether an answer ends with its head, whatever its headers say."""
        return self.request.method == "HEAD" or status == 204 or status == 304

    def answer_body(self, data: bytes, *, complete: bool) -> None:
        """Take a further piece of the body from the upstream."""
        if complete:
            self.upstream = None
        if self.over:
            return
        if self._held is not None:
            self._hold_more(data, complete=complete)
            return
        self.deadline = self.edge.now + self._timeout()
        self.sent += len(data)
        if self._chunking:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if complete:
                data += b"0\r\n\r\n"
        if complete:
            self.downstream.settle(self)
        if data:
            self.downstream.write(data)
        if complete:
            self._done()

    # ------------------------------------------------------------------ response contracts

    def _hold(self, head: ResponseHead, length: int | None, body: bytes, limit: int, *, complete: bool) -> None:
        """Keep an answer back until it was checked."""
        self._held = head
        self._length = length
        self._judge = limit
        self._body = [body]
        self._body_size = len(body)
        if complete:
            self._judged()

    def _hold_more(self, data: bytes, *, complete: bool) -> None:
        self._body.append(data)
        self._body_size += len(data)
        if complete or self._body_size > self._judge:
            self._judged()

    def _judged(self) -> None:
        permit, head = self.permit, self._held
        assert permit is not None and head is not None  # noqa: S101, PT018
        self._held = None
        length = self._length
        body, self._body = b"".join(self._body), []
        engine = self.engine
        refusal: Refusal | None
        if self._body_size > self._judge:
            rule = engine.policy.rule("validation.max_response")
            refusal = Refusal(
                "response-contract", rule, reason="an answer too large to be checked", mode=engine.answer_mode
            )
        else:
            kind = _content_type(head.pairs)
            refusal = engine.validation.answer(permit.door.operation, head.status, kind, body)
        if refusal is not None:
            self.edge.watch.answer_told(permit, refusal)
            if refusal.mode == "enforce":
                self.fail(refusal)
                return
        complete = self.upstream is None
        if complete and (length is None or length == UNTIL_CLOSE):
            length = len(body)
            pairs = [*head.pairs, (b"content-length", b"%d" % length)]
            head = ResponseHead(head.status, pairs, head.keep_alive, length)
        self._write_head(permit, head, length, body, complete=complete)

    # ------------------------------------------------------------------ ending

    def refuse(self, decision: Refusal | Reply) -> None:
        """Answer by ourselves."""
        downstream = self.downstream
        if type(decision) is Refusal:
            self.code = decision.code
            self.edge.watch.refused(self.request, decision)
            if decision.close:
                downstream.keep = False
        status, headers, body = self.engine.render(decision, self.request)
        self.status = status
        downstream.settle(self)
        head = self.request.method == "HEAD"
        downstream.write(own_answer(status, headers, body, self.edge.date, keep=downstream.keep, head=head))
        self.answered = True
        self.sent = 0 if head else len(body)
        self._done(decision)

    def fail(self, refusal: Refusal) -> None:
        """End an exchange that was permitted: by a refusal if nothing was answered yet, else by closing."""
        if self.over:
            return
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.discard()
        if self.answered:
            self.code = refusal.code
            self.edge.watch.refused(self.request, refusal)
            self.downstream.abort()
            return
        self.refuse(refusal)

    def abandoned(self) -> None:
        """The client is gone."""
        if self.over:
            return
        self.status = self.status or 499
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.discard()
        self._done()

    def _done(self, decision: Refusal | Reply | None = None) -> None:
        self.over = True
        flow, self._flow = self._flow, None
        if flow is not None:  # it still waits for the body: what it holds is given back now
            flow.close()
        permit = self.permit
        if permit is not None:
            permit.close()
        self.edge.watch.served(self, decision)
        self.downstream.exchange_over(self)


_SEE_UPSTREAM: Final = "see the upstream's own log"


def _upstream(code: str, reason: str, remedy: str) -> Refusal:
    return Refusal(code, _UPSTREAM_RULE, reason=reason, remedy=remedy)


def _content_type(pairs: list[Pair]) -> bytes:
    return next((value for name, value in pairs if name == b"content-type"), b"")


def own_answer(status: int, headers: list[Pair], body: bytes, date: bytes, *, keep: bool, head: bool = False) -> bytes:
    """Return the bytes of an answer that Sixfold gives itself."""
    closing = not keep and not any(name == b"connection" for name, _ in headers)
    length = b"" if status == 204 else b"content-length: %d\r\n" % len(body)
    return b"".join(
        (
            status_line(status), encode(headers), b"date: ", date, b"\r\n", length,
            b"connection: close\r\n\r\n" if closing else b"\r\n", b"" if head else body,
        )
    )  # fmt: skip
