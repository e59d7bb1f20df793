"""One HTTP request and its answer. Runs the flow, calls the application by Permit only, tells what happened once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from sixfold.decision import Refusal, Reply, Rule
from sixfold.engine import Engine
from sixfold.flow import Permit, drive_async, failed
from sixfold.middleware.translate import Scope, inward
from sixfold.needs import TOO_LARGE, Body, KeySet, Need, Unavailable
from sixfold.request import Pair, Request

if TYPE_CHECKING:
    from sixfold.watch import Watch

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

_LOG: Final = logging.getLogger("sixfold.middleware")
_GONE: Final = {"type": "http.disconnect"}
_APPLICATION: Final = Rule("application")
_FILE_SENDING: Final = frozenset(("http.response.pathsend", "http.response.zerocopysend"))


def tell_bug(problem: BaseException) -> None:
    """Tell the log about a failure of our own; the request is refused elsewhere."""
    _LOG.error("a bug while judging a request", exc_info=problem)


async def fetch_fact(engine: Engine, request: Request, need: Need) -> Any:
    """Fetch what is no part of the request: an issuer's keys. A failure is an answer too."""
    if type(need) is not KeySet:
        return Unavailable("no shared store is configured")
    try:
        return await engine.state.keys.refresh(need.issuer, need.kid, request.now)
    except Exception as problem:
        tell_bug(problem)
        return Unavailable(type(problem).__name__)


class Exchange:
    """One HTTP request and its answer.

    Arguments:
        app: what is protected.
        engine: judges it.
        watch: is told about it.
        request: canonical.
        scope, receive, send: of the server.
        first: a message that was received already, or None.
    """

    permit: Permit | None = None
    status = 0
    sent = 0  # bytes of body
    code = ""
    _answered = False  # the head of the answer was sent
    _over = False  # watch was told; nothing more is sent
    _replay: bytes | None = None  # the body, read already
    _got = 0  # bytes of body that the application received
    _cap = 0
    _held: Message | None = None  # the head of an answer that is being checked
    _judge = 0
    _size = 0
    _pieces: list[bytes]  # of a body that is being checked

    def __init__(
        self,
        app: App,
        engine: Engine,
        watch: Watch,
        request: Request,
        scope: Scope,
        receive: Receive,
        send: Send,
        first: Message | None = None,
    ) -> None:
        self._app = app
        self.engine = engine
        self.watch = watch
        self.request = request
        self._scope = scope
        self._receive = receive
        self._send = send
        self._first = first

    async def run(self) -> None:
        """Judge, and let the application answer."""
        decision = await drive_async(self.engine.check(self.request), self._fetch, tell_bug)
        if type(decision) is not Permit:
            await self.refuse(decision)
            return
        self.permit = decision
        if decision.told:
            self.watch.told(decision)
        try:
            await self._app(self._prepare(decision), self.receive, self.send)
        except Exception:
            if not self.code:  # else it stumbled over the end that we made
                if not self._answered:
                    await self.refuse(_fallen())
                raise
        finally:
            if not self._over:
                self.status = self.status or 499  # the caller went away, or the server will say that nothing came
                self._done()

    def _prepare(self, permit: Permit) -> Scope:
        """Return the scope for the application, once the body it may read is known."""
        if permit.body is not None:
            self._replay = permit.body
        length = self.request.length
        self._cap = permit.door.max_body if length is None else length
        scope = inward(self._scope, permit)
        if self.engine.answer_mode != "off":
            extensions = scope.get("extensions") or {}
            scope["extensions"] = {name: value for name, value in extensions.items() if name not in _FILE_SENDING}
        return scope

    # ------------------------------------------------------------------ what the flow lacks

    async def _fetch(self, need: Need) -> Any:
        if type(need) is Body:
            return await self._collect(need.limit)
        return await fetch_fact(self.engine, self.request, need)

    async def _collect(self, limit: int) -> Any:
        """Return the whole body, which the application gets to read afterwards."""
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.engine.policy.document.gateway.body_timeout):
                while True:
                    message = await self._next()
                    if message["type"] != "http.request":
                        return Unavailable("the caller went away before the body was there")
                    piece = message.get("body", b"")
                    size += len(piece)
                    if size > limit:
                        return TOO_LARGE
                    pieces.append(piece)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            return Unavailable("the body did not arrive in time")
        self._replay = body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return body

    async def _next(self) -> Message:
        first, self._first = self._first, None
        return first if first is not None else await self._receive()

    # ------------------------------------------------------------------ what the application receives

    async def receive(self) -> Message:
        """Hand the body on, counted whatever its framing (UX-12); beyond the cap the application hears a disconnect."""
        replay, self._replay = self._replay, None
        if replay is not None:
            self._cap = 0
            return {"type": "http.request", "body": replay, "more_body": False}
        if self.code:
            return dict(_GONE)
        message = await self._next()
        body = message.get("body")
        if body:
            self._got += len(body)
            if self._got > self._cap:
                assert self.permit is not None  # noqa: S101 (narrowing)
                await self._fail(self.engine.gateway.too_large(self.permit.door))
                return dict(_GONE)
        return message

    # ------------------------------------------------------------------ what the application sends

    async def send(self, message: Message) -> None:
        """Take the answer from the application and send it with the answer's side of the layers."""
        if self._over:
            return
        kind = message["type"]
        if kind == "http.response.start":
            message = {**message, "headers": [(name.lower(), value) for name, value in message.get("headers", ())]}
            if self.engine.answer_mode == "off" or not self._judges(message):
                await self._write_head(message)
        elif kind != "http.response.body":
            await self._send(message)
            if kind == "http.response.pathsend":
                self._done()
        elif self._held is not None:
            await self._hold(message)
        else:
            self.sent += len(message.get("body", b""))
            await self._send(message)
            if not message.get("more_body", False):
                self._done()

    async def _write_head(self, message: Message) -> None:
        assert self.permit is not None  # noqa: S101 (narrowing)
        try:
            message["headers"] = self.permit.finish(message["headers"])
        except BaseException as problem:
            refusal = failed(problem)
            tell_bug(problem)
            await self._fail(refusal)
            return
        self._answered = True
        self.status = message["status"]
        await self._send(message)

    # ------------------------------------------------------------------ response contracts

    def _judges(self, head: Message) -> bool:
        """Return whether an answer is kept back until it was checked."""
        assert self.permit is not None  # noqa: S101 (narrowing)
        operation, kind = self.permit.door.operation, _content_type(head["headers"])
        limit = self.engine.validation.reads_answer(operation, head["status"], kind)
        if limit is None:
            return False
        self._held, self._judge, self._pieces = head, limit, []
        return True

    async def _hold(self, message: Message) -> None:
        """Keep an answer back until it was checked."""
        piece = message.get("body", b"")
        self._pieces.append(piece)
        self._size += len(piece)
        more = message.get("more_body", False)
        if not more or self._size > self._judge:
            await self._judged(more=more)

    async def _judged(self, *, more: bool) -> None:
        permit, head = self.permit, self._held
        assert permit is not None  # noqa: S101 (narrowing)
        assert head is not None  # noqa: S101 (narrowing)
        self._held = None
        body, self._pieces = b"".join(self._pieces), []
        engine = self.engine
        if self._size > self._judge:
            rule, reason = engine.policy.rule("validation.max_response"), "an answer too large to be checked"
            mode = engine.answer_mode
            refusal: Refusal | None = Refusal("response-contract", rule, reason=reason, mode=mode)
        else:
            kind = _content_type(head["headers"])
            refusal = engine.validation.answer(permit.door.operation, head["status"], kind, body)
        if refusal is not None:
            self.watch.answer_told(permit, refusal)
            if refusal.mode == "enforce":
                await self._fail(refusal)
                return
        await self._write_head(head)
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    # ------------------------------------------------------------------ ending

    async def _fail(self, refusal: Refusal) -> None:
        """End an exchange that was permitted: by a refusal if nothing was answered yet, else by silence."""
        if self._answered:
            self.code = refusal.code
            self.watch.refused(self.request, refusal)
            self._done(refusal)
        else:
            await self.refuse(refusal)

    async def refuse(self, decision: Refusal | Reply) -> None:
        """Answer by ourselves."""
        if type(decision) is Refusal:
            self.code = decision.code
            self.watch.refused(self.request, decision)
        status, headers, body = self.engine.render(decision, self.request)
        close = type(decision) is Refusal and decision.close
        self._answered = True
        self.status = status
        self.sent = await send_answer(self._scope, self._send, status, headers, body, close=close)
        self._done(decision)

    def _done(self, decision: Refusal | Reply | None = None) -> None:
        if self._over:
            return
        self._over = True
        if self.permit is not None:
            self.permit.close()
        self.watch.served(self, decision)


async def send_answer(
    scope: Scope, send: Send, status: int, headers: list[Pair], body: bytes, *, close: bool = False
) -> int:
    """Send an answer of our own; returns the bytes of body sent."""
    shown = b"" if scope.get("method") == "HEAD" else body
    if status != 204:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    if close and scope.get("http_version", "1.1").startswith("1"):
        headers = [*(pair for pair in headers if pair[0] != b"connection"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": shown, "more_body": False})
    return len(shown)


def _fallen() -> Refusal:
    return Refusal(
        "application-failed", _APPLICATION, reason="the application raised an exception before it answered",
        remedy="see the traceback in the server's log",
    )  # fmt: skip


def _content_type(headers: list[Pair]) -> bytes | None:
    return next((value for name, value in headers if name == b"content-type"), None)
