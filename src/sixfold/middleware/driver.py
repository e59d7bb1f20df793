"""The ASGI layer: which engine is in force, who answers which kind of scope, and what happens beside the requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from pathlib import Path
from typing import Any, Final, Protocol

from sixfold.assembly import assemble
from sixfold.decision import Refusal, Rule
from sixfold.engine import Engine
from sixfold.layers.authentication import ApiKeyError
from sixfold.layers.gateway.hygiene import SECURITY
from sixfold.middleware import acting
from sixfold.middleware.exchange import App, Exchange, Message, Receive, Send, send_answer
from sixfold.middleware.setup import local_only, multiplied, siblings
from sixfold.middleware.translate import Scope, declares_length, read_peer, read_request
from sixfold.middleware.websocket import Handshake, deny
from sixfold.policy import Policy, PolicyError, Problem
from sixfold.state_folder import state_folder
from sixfold.watch import AccessLog, Record, Watch

_LOG: Final = logging.getLogger("sixfold.middleware")
TICK: Final = 0.5  # seconds between two looks at files, keys and the log
_NOT_STARTED: Final = Refusal(
    "internal", Rule("start"), reason="the policy cannot be used", remedy="see the server's log"
)


class Source(Protocol):
    """Where the policy comes from.

    Arguments of the parts:
        policy: reads and compiles; called at start and for each reload.
        files: to be watched for changes.
        loud: refusals are warnings in the log, for development.
    """

    loud: bool

    def policy(self) -> Policy:
        """Return the policy.

        Raises:
            PolicyError: it cannot be used.
        """

    def files(self, policy: Policy) -> list[Path]:
        """Return the files that decide."""


class Driver:
    """Protects an ASGI application.

    Arguments:
        app: any ASGI 3 application.
        source: of the policy.
        watch: is told what was decided; None makes one as the policy's `[log]` says.
    """

    def __init__(self, app: App, source: Source, watch: Watch | None = None) -> None:
        self._app = app
        self._source = source
        self._local_only = False
        self._started = False
        self._trouble: Refusal | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._refreshing: set[asyncio.Task[Any]] = set()
        self._seen: dict[Path, tuple[int, int]] = {}
        self._key_trouble = ""
        self._own_watch = watch is None
        self.watch = watch or Watch(tail=self._tell)
        self.engine: Engine

    # ------------------------------------------------------------------ the three kinds of scope

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI call."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(scope, receive, send)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        elif kind != "http":
            raise RuntimeError(f"a scope of kind `{kind}`, which nobody here can judge")
        elif (engine := self._engine()) is None:
            await send_answer(scope, send, *self._not_started())
        else:
            first: Message | None = None
            undeclared: int | None = 0
            if not declares_length(scope):
                first = await receive()
                undeclared = None if first.get("body") or first.get("more_body") else 0
            peer = read_peer(scope)
            request = read_request(scope, engine, peer, time.time_ns() // 1000, undeclared)
            if isinstance(request, Refusal):
                self.watch.unread(peer, request)
                await send_answer(scope, send, *engine.render(request, None, tls=peer.tls), close=request.close)
                return
            exchange = Exchange(self._app, engine, self.watch, request, scope, receive, send, first)
            if self._local_only and not peer.memo["local"]:
                await exchange.refuse(self._foreigner(engine))
            else:
                await exchange.run()

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        engine = self._engine()
        if engine is None:
            await deny(scope, receive, send, *self._not_started(), reason="internal")
            return
        peer = read_peer(scope)
        request = read_request(scope, engine, peer, time.time_ns() // 1000)
        if isinstance(request, Refusal):
            self.watch.unread(peer, request)
            await deny(scope, receive, send, *engine.render(request, None, tls=peer.tls), reason=request.code)
            return
        handshake = Handshake(self._app, engine, self.watch, request, scope, receive, send)
        if self._local_only and not peer.memo["local"]:
            await handshake.refuse(self._foreigner(engine))
        else:
            await handshake.run()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application start first, so that its route table is complete; then start, or fail the start."""

        async def hear() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.stop()
            return message

        async def say(message: Message) -> None:
            if self._trouble is not None:
                return  # the start has failed already; whatever the application says of it is no news
            if message["type"] == "lifespan.startup.complete":
                try:
                    self.start()
                except PolicyError as problem:
                    await send({"type": "lifespan.startup.failed", "message": f"sixfold: {problem}"})
                    raise  # through the application, so that it cleans up what it has started
            await send(message)

        await self._app(scope, hear, say)

    # ------------------------------------------------------------------ start and stop

    def start(self) -> Engine:
        """Compile the policy and look after it from now on. Once is enough.

        Raises:
            PolicyError: it cannot be used; every request is refused.
        """
        if not self._started:
            self._started = True
            self._trouble = _NOT_STARTED  # until the opposite is proven
            try:
                self._adopt(assemble(self._source.policy(), state_folder(), None))
            except PolicyError as problem:
                _LOG.error("not started, every request is refused: %s", problem)
                raise
            except Exception as problem:
                _LOG.error("not started, every request is refused", exc_info=problem)
                raise PolicyError(Problem(f"{type(problem).__name__} while the policy was read")) from problem
            self._trouble = None
            self._announce(self.engine.policy)
        self._look_after()
        return self.engine

    def _announce(self, policy: Policy) -> None:
        if self._own_watch and "access" in policy.document.log.model_fields_set:
            self.watch.log = _access_log(policy)
        _LOG.info("policy %s: %d operations", policy.version, len(policy.operations))
        for finding in policy.findings:
            if finding.severity == "warning":
                _LOG.warning("%s: %s; %s", finding.rule, finding.text, finding.remedy)
        if warning := multiplied(policy, siblings(os.environ)):
            _LOG.warning(warning)

    def _engine(self) -> Engine | None:
        """Return the engine for a request; a server without lifespan starts with its first one."""
        if self._ticker is None or self._ticker.done():
            if self._trouble is None:
                with contextlib.suppress(PolicyError):
                    self.start()
            if self._trouble is not None:
                return None
        identity = acting.current.get()
        return self.engine if identity is None else acting.supposing(self.engine, identity)

    def _not_started(self) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        assert self._trouble is not None  # noqa: S101 (narrowing)
        kind = (b"content-type", b"application/problem+json; charset=utf-8")
        return self._trouble.status, [kind, *SECURITY], self._trouble.problem()

    def _foreigner(self, engine: Engine) -> Refusal:
        return Refusal(
            "unknown-host", engine.policy.rule("encryption.mode"),
            reason="a caller from another machine; plain HTTP and developer keys are for this machine only",
            remedy='name an issuer and write `[encryption] mode = "behind-proxy"` with `[gateway] trusted_proxies`, or '
            'mode = "tls"',
        )  # fmt: skip

    async def stop(self) -> None:
        """Look after nothing any longer, and write the log's last lines."""
        ticker, self._ticker = self._ticker, None
        if ticker is not None and ticker.get_loop() is asyncio.get_running_loop():
            ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticker
        if self.watch.log is not None:
            self.watch.log.flush()

    # ------------------------------------------------------------------ beside the requests

    def _look_after(self) -> None:
        if self._ticker is None or self._ticker.done():
            self._ticker = asyncio.get_running_loop().create_task(self._tick(), name="sixfold")

    async def _tick(self) -> None:
        while True:
            try:
                await self._housekeeping()
            except Exception as problem:
                _LOG.error("housekeeping failed and will be tried again", exc_info=problem)
            await asyncio.sleep(TICK)

    async def _housekeeping(self) -> None:
        if self.watch.log is not None:
            self.watch.log.flush()
        now = time.time_ns() // 1000
        keys = self.engine.state.keys
        for issuer in keys.due(now):
            task = asyncio.create_task(keys.refresh(issuer, "", now))
            self._refreshing.add(task)
            task.add_done_callback(self._refreshing.discard)
        self._look_at_api_keys()
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            await self.reload()

    def _look_at_api_keys(self) -> None:
        """Take a changed key file; one that is broken is told once, and the keys held stay in force."""
        store = self.engine.state.api_keys
        if store is None:
            return
        try:
            store.reload_if_changed()
            self._key_trouble = ""
        except ApiKeyError as problem:
            if str(problem) != self._key_trouble:
                self._key_trouble = str(problem)
                _LOG.error("API keys not reloaded, the ones held stay in force: %s", problem)

    def _look(self) -> dict[Path, tuple[int, int]]:
        """Return size and change time of every file that decides."""
        found = {}
        for path in self._source.files(self.engine.policy):
            try:
                status = path.stat()
                found[path] = (status.st_mtime_ns, status.st_size)
            except OSError:
                found[path] = (0, 0)
        return found

    async def reload(self) -> bool:
        """Compile aside, rehearse, swap at once; keep the last good policy otherwise (RLD-01, RLD-02)."""
        before = self.engine
        try:
            # In a thread: a large policy takes longer to compile than a request may wait.
            engine = await asyncio.to_thread(lambda: assemble(self._source.policy(), state_folder(), before.state))
        except PolicyError as problem:
            for line in str(problem).splitlines():
                _LOG.error("reload refused, the last good policy goes on: %s", line)
            return False
        self._adopt(engine)
        _LOG.info("policy %s replaces %s", engine.policy.version, before.policy.version)
        return True

    def _adopt(self, engine: Engine) -> None:
        self.engine = engine
        self._local_only = local_only(engine.policy)
        # What changed while it was compiled is seen at the next look.
        self._seen = {path: self._seen.get(path, state) for path, state in self._look().items()}

    # ------------------------------------------------------------------ telling

    def _tell(self, record: Record) -> None:
        level = logging.WARNING if self._source.loud else logging.INFO
        if _LOG.isEnabledFor(level):
            refusal = record.refusal
            verb = "refused" if refusal.mode == "enforce" else "would refuse"
            _LOG.log(
                level, "%s %s %s %s with %d %s by %s: %s; %s", refusal.id, verb, record.method, record.path,
                refusal.status, refusal.code, refusal.rule, refusal.reason, refusal.remedy,
            )  # fmt: skip


def _access_log(policy: Policy) -> AccessLog | None:
    table = policy.document.log
    if table.access == "off":
        return None
    target = table.access if table.access in ("stdout", "stderr") else str(Path(policy.folder, table.access))
    return AccessLog(target, refused_only=table.requests == "refused")
