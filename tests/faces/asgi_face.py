"""The ASGI middleware, called as a server calls it, around an application that records."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

from sixfold.middleware.asgi import SixfoldMiddleware
from sixfold.policy import Policy
from sixfold.watch import Record, Watch

from .book import Answer, Call, Entry
from .outcome import Headers, Outcome, Seen
from .stage import Stage


class _App:
    """Records what it gets and answers as the case says.

    Arguments:
        answer: of the case.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.seen: Seen | None = None
        self.called = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        target = scope["raw_path"].decode() + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
        headers = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
        self.seen = Seen(target, headers, body, scope["client"][0], scope["sixfold"].identity.subject)
        self.called.set()
        await self.free.wait()
        pairs = [(name.encode(), value.encode()) for name, value in self.answer.headers.items()]
        await send({"type": "http.response.start", "status": self.answer.status, "headers": pairs})
        await send({"type": "http.response.body", "body": self.answer.body.encode(), "more_body": False})


class AsgiFace:
    """Plays cases through `SixfoldMiddleware`.

    Arguments:
        stage: policies and keys; its state folder is in `$SIXFOLD_STATE`.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.close()

    def play(self, entry: Entry) -> Outcome:
        """Play a case."""
        return self._runner.run(self._play(entry))

    async def _play(self, entry: Entry) -> Outcome:
        case, policy = entry.case, self._stage.policy(entry)
        app = _App(case.answer)
        records: list[Record] = []
        middleware = SixfoldMiddleware(app, policy=policy, watch=Watch(tail=records.append))
        try:
            for call in case.before:
                for _ in range(call.times):
                    await self._ask(middleware, policy, call)
            for _ in range(case.repeat):
                await self._ask(middleware, policy, case)
            held = [await self._hold(middleware, policy, case, app) for _ in range(case.held)]
            app.free.set()
            records.clear()
            app.seen = None
            status, headers, body = await self._ask(middleware, policy, case)
            outcome = _outcome(status, headers, body, records, app.seen)
            for task in held:
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)
            return outcome
        finally:
            await middleware.stop()

    async def _hold(self, middleware: SixfoldMiddleware, policy: Policy, call: Call, app: _App) -> asyncio.Task[Any]:
        """Send a request whose answer does not come."""
        app.called.clear()
        app.free = asyncio.Event()
        task = asyncio.create_task(self._ask(middleware, policy, call))
        await asyncio.wait_for(app.called.wait(), 5)
        return task

    async def _ask(self, middleware: SixfoldMiddleware, policy: Policy, call: Call) -> tuple[int, Headers, bytes]:
        body = call.content
        half = len(body) // 2 if call.chunked else len(body)
        pieces = [body[:half], body[half:]] if call.chunked else [body]
        messages = [
            {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
            for index, piece in enumerate(pieces)
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await middleware(self._scope(policy, call), receive, send)
        head = sent[0]
        headers = [(name.decode().lower(), value.decode("latin-1")) for name, value in head["headers"]]
        return head["status"], headers, b"".join(message["body"] for message in sent[1:])

    def _scope(self, policy: Policy, call: Call) -> dict[str, Any]:
        path, _, query = call.target.partition("?")
        headers = [(name.lower().encode(), value.encode()) for name, value in self._stage.headers(policy, call)]
        if call.chunked:
            headers.append((b"transfer-encoding", b"chunked"))
        elif call.content:
            headers.append((b"content-length", b"%d" % len(call.content)))
        return {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": call.method,
            "scheme": "https" if self._stage.speaks_tls(policy, call) else "http",
            "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": headers, "client": (call.peer, 50_000), "server": ("127.0.0.1", 8000),
        }  # fmt: skip


def _outcome(status: int, headers: Headers, body: bytes, records: list[Record], seen: Seen | None) -> Outcome:
    said = [record.refusal for record in records if record.refusal.mode == "enforce"]
    told = [record.refusal.code for record in records if record.refusal.mode != "enforce"]
    return Outcome(status, headers, body, said[-1] if said else None, told, seen)
