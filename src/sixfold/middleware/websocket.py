"""One WebSocket: judged at the handshake like a GET of its path (UX-12), closed when its caller expires.

A refusal is the HTTP answer it would have been where the server can send one (`websocket.http.response`), else close
code 1008 (RFC 6455 section 7.4.1).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from sixfold.decision import Refusal, Reply
from sixfold.engine import Engine
from sixfold.flow import Permit, drive_async
from sixfold.middleware.exchange import App, Message, Receive, Send, fetch_fact, tell_bug
from sixfold.middleware.translate import Scope, inward
from sixfold.needs import Body, Need
from sixfold.request import Request

if TYPE_CHECKING:
    from sixfold.watch import Watch

_POLICY_VIOLATION: Final = 1008
_DENIAL: Final = "websocket.http.response"


class Handshake:
    """One WebSocket, from its handshake to its end.

    Arguments:
        app: what is protected.
        engine: judges it.
        watch: is told about it.
        request: canonical.
        scope, receive, send: of the server.
    """

    __slots__ = (
        "_app", "_deadline", "_expired", "_receive", "_scope", "_send", "code", "engine", "permit", "request", "sent",
        "status", "watch",
    )  # fmt: skip

    def __init__(
        self, app: App, engine: Engine, watch: Watch, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._app = app
        self.engine = engine
        self.watch = watch
        self.request = request
        self._scope = scope
        self._receive = receive
        self._send = send
        self.permit: Permit | None = None
        self.status = 0
        self.sent = 0
        self.code = ""
        self._deadline = 0.0  # of the monotonic clock; 0 for never
        self._expired = False

    async def run(self) -> None:
        """Judge, and let the application speak."""
        decision = await drive_async(self.engine.check(self.request), self._fetch, tell_bug)
        if type(decision) is not Permit:
            await self.refuse(decision)
            return
        self.permit = decision
        if decision.told:
            self.watch.told(decision)
        if expires := decision.identity.expires:
            self._deadline = time.monotonic() + (expires - self.request.now) / 1_000_000
        try:
            await self._app(inward(self._scope, decision), self.receive, self.send)
        except Exception:
            if not self._expired:  # else it stumbled over the end that we made
                raise
        finally:
            decision.close()
            self.status = self.status or 403  # never accepted
            self.watch.served(self, None)

    async def _fetch(self, need: Need) -> Any:
        return b"" if type(need) is Body else await fetch_fact(self.engine, self.request, need)

    async def receive(self) -> Message:
        """Hand messages on until the caller's credential expires."""
        if not self._deadline or self._expired:
            return await self._receive()
        try:
            async with asyncio.timeout(max(self._deadline - time.monotonic(), 0)):
                return await self._receive()
        except TimeoutError:
            await self._expire()
            return {"type": "websocket.disconnect", "code": _POLICY_VIOLATION, "reason": "token-expired"}

    async def send(self, message: Message) -> None:
        """Take messages of the application; the answer to the handshake gets the answer's side of the layers."""
        if self._deadline and not self._expired and time.monotonic() >= self._deadline:
            await self._expire()
        if self._expired:
            raise OSError("the connection was closed: the caller's credential has expired")
        kind = message["type"]
        if kind in ("websocket.accept", "websocket.http.response.start"):
            self.status = message.get("status", 101)
            message = self._finished(message)
        await self._send(message)

    def _finished(self, message: Message) -> Message:
        assert self.permit is not None  # noqa: S101 (narrowing)
        headers = [(name.lower(), value) for name, value in message.get("headers", ())]
        return {**message, "headers": self.permit.finish(headers)}

    async def _expire(self) -> None:
        """Close a connection whose caller may not go on (WS-01)."""
        self._expired = True
        self.code = "token-expired"
        await self._send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "token-expired"})

    async def refuse(self, decision: Refusal | Reply) -> None:
        """Answer the handshake by ourselves."""
        if type(decision) is Refusal:
            self.code = decision.code
            self.watch.refused(self.request, decision)
        self.status, headers, body = self.engine.render(decision, self.request)
        await deny(self._scope, self._receive, self._send, self.status, headers, body, reason=self.code)
        self.watch.served(self, decision)


async def deny(
    scope: Scope, receive: Receive, send: Send, status: int, headers: list[Any], body: bytes, *, reason: str
) -> None:
    """Answer a handshake with a refusal."""
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    if _DENIAL in (scope.get("extensions") or {}):
        headers = [*headers, (b"content-length", b"%d" % len(body))]
        await send({"type": f"{_DENIAL}.start", "status": status, "headers": headers})
        await send({"type": f"{_DENIAL}.body", "body": body, "more_body": False})
    else:
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})
