"""One worker process: policy, listeners, reload, drain. No request passes anything here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sixfold.assembly import assemble
from sixfold.engine import Engine
from sixfold.layers.authentication import ApiKeyError
from sixfold.policy import PolicyError, Problem
from sixfold.policy.model import Policy
from sixfold.proxy.admin import Admin
from sixfold.proxy.edge import TICK, Edge
from sixfold.proxy.listener import Listener, bind
from sixfold.proxy.tls import Channel, channel
from sixfold.state_folder import announce
from sixfold.watch import Watch

_LOG: Final = logging.getLogger("sixfold.proxy")
_LOOK: Final = 0.5  # seconds between two looks at the files

Load = Callable[[], Policy]


class Worker:
    """Serves one policy until it is told to stop.

    Arguments:
        load: returns the policy; called again for each reload.
        folder: the user's state folder.
        watch: is told what was decided.
        files: what to watch for changes, besides certificates; empty: no reload.
    """

    def __init__(self, load: Load, *, folder: Path, watch: Watch, files: Callable[[Policy], list[Path]]) -> None:
        self._load = load
        self._folder = folder
        self._files = files
        self.watch = watch
        self.started = time.time()
        self.last_reload: dict[str, Any] = {"result": "none yet"}
        self.address = ""
        self.plain_address = ""
        self.admin_address = ""
        self._announced: Path | None = None
        self._seen: dict[Path, tuple[int, int]] = {}  # the files as they were read
        self._glimpse: dict[Path, tuple[int, int]] = {}  # the files at the last look
        self._edges: list[Edge] = []
        self._listeners: list[Listener] = []
        self._stop = asyncio.Event()
        self._reload_asked = False
        self._key_trouble = ""

    async def start(self) -> None:
        """Load, check, bind. Everything that can be wrong shows here, before the first request.

        Raises:
            PolicyError: the policy cannot be used.
            OSError: an address cannot be had.
        """
        policy = self._load()
        try:
            self.channel = channel(policy, self._folder)
        except ValueError as problem:
            raise PolicyError(Problem(str(problem))) from problem
        engine = assemble(policy, self._folder, hosts=self.channel.hosts, signed=True)
        self.state = engine.state
        try:
            await self._bind(engine)
        except BaseException as problem:
            for listener in self._listeners:
                listener.stop()
            if isinstance(problem, ValueError):
                raise PolicyError(Problem(str(problem))) from problem
            raise
        self.watch.metrics.gauges = self._gauges
        self._seen = self._look()
        self._announced = announce(
            self._folder, {"admin": self.admin_address, "listen": self.address, "policy": policy.file}
        )
        for listener in self._listeners:
            listener.start()

    async def _bind(self, engine: Engine) -> None:
        """Take every address; a ValueError says which of them is none, and where it stands."""
        policy = engine.policy
        self.edge = self._listen(Edge(engine, self.watch), "gateway.listen", policy.document.gateway.listen)
        self.address = _name(self._listeners[0].socket.getsockname(), policy.document.gateway.listen)
        plain = policy.document.encryption.plain_listen
        if plain is not None:
            self._listen(Edge(engine, self.watch, plain=True), "encryption.plain_listen", plain)
            self.plain_address = _name(self._listeners[1].socket.getsockname(), plain)
        self.admin = Admin(self.watch, self.status, lambda: not self.edge.draining)
        admin = policy.document.gateway.admin
        if admin is not None:
            try:
                self.admin_address = await self.admin.start(admin)
            except ValueError as problem:
                raise ValueError(f"{policy.rule('gateway.admin')}: {problem}") from None

    def _listen(self, edge: Edge, key: str, address: str) -> Edge:
        try:
            listening = bind(address)
        except ValueError as problem:
            raise ValueError(f"{edge.engine.policy.rule(key)}: {problem}") from None
        self._edges.append(edge)
        self._listeners.append(Listener(edge, listening, None if edge.plain else self.channel.context))
        return edge

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Arguments:
            ready: called once signals are heeded, for whoever waits to send one.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._ask_reload)
        ready()
        ticker = loop.create_task(self._tick())
        try:
            await self._stop.wait()
            await self._drain()
        finally:
            ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticker
            self._close()
            await self.admin.stop()
            await asyncio.sleep(0.01)  # what was aborted lets go of its sockets in the loop's next rounds

    def stop(self) -> None:
        """Ask `run` to drain and return."""
        self._stop.set()

    def _ask_reload(self) -> None:
        self._reload_asked = True

    # ------------------------------------------------------------------ time

    async def _tick(self) -> None:
        looked = 0.0
        while True:
            try:
                for edge in self._edges:
                    edge.tick()
                if self.watch.log is not None:
                    self.watch.log.flush()
                if self.edge.now - looked >= _LOOK:
                    looked = self.edge.now
                    self._housekeeping()
            except Exception as problem:
                self.edge.bug(problem)
            await asyncio.sleep(TICK)

    def _housekeeping(self) -> None:
        micros = time.time_ns() // 1000
        for issuer in self.state.keys.due(micros):
            self.edge.spawn(self._refresh(issuer, micros))
        self._look_at_api_keys()
        seen = self._look()
        settled = seen == self._glimpse  # a file that is still being written may be a policy too, and not the one meant
        self._glimpse = seen
        if self._reload_asked or (settled and seen != self._seen):
            self._reload_asked = False
            self._seen = seen
            self.reload()

    def _look_at_api_keys(self) -> None:
        """Take a changed key file; one that is broken is told once, and the keys held stay in force."""
        if self.state.api_keys is None:
            return
        try:
            self.state.api_keys.reload_if_changed()
            self._key_trouble = ""
        except ApiKeyError as problem:
            if str(problem) != self._key_trouble:
                self._key_trouble = str(problem)
                _LOG.error("API keys not reloaded, the ones held stay in force: %s", problem)

    async def _refresh(self, issuer: str, now: int) -> None:
        await self.state.keys.refresh(issuer, "", now)

    def _look(self) -> dict[Path, tuple[int, int]]:
        """Return size and change time of every file that decides."""
        policy = getattr(self, "edge", None) and self.edge.engine.policy
        paths = [*self.channel.files, *(self._files(policy) if policy else [])]
        found = {}
        for path in paths:
            try:
                status = path.stat()
                found[path] = (status.st_mtime_ns, status.st_size)
            except OSError:
                found[path] = (0, 0)
        return found

    # ------------------------------------------------------------------ reload

    def reload(self) -> bool:
        """Compile aside, rehearse, swap at once; keep the last good policy otherwise (RLD-01, RLD-02)."""
        seen = self._look()
        try:
            policy = self._load()
            fresh: Channel = channel(policy, self._folder)
            engine = assemble(policy, self._folder, self.state, hosts=fresh.hosts, signed=True)
            before = self.edge.engine.policy
            for edge in self._edges:
                edge.adopt(engine)
        except (PolicyError, ValueError, OSError) as problem:
            return self._refuse_reload(str(problem).splitlines())
        except Exception as problem:
            self.edge.bug(problem)
            return self._refuse_reload([f"a bug in sixfold ({type(problem).__name__})"])
        self.state = engine.state
        self._swap_context(fresh)
        self.channel = fresh
        # what has changed since we began to read is looked at again
        self._seen = {path: seen.get(path, now) for path, now in self._look().items()}
        self.last_reload = {"result": "taken", "at": time.time()}
        _LOG.info("policy %s replaces %s", policy.version, before.version)
        if policy.document.gateway.listen != before.document.gateway.listen:
            _LOG.warning("`[gateway] listen` has changed: that takes a restart")
        return True

    def _refuse_reload(self, problems: list[str]) -> bool:
        self.last_reload = {"result": "refused", "at": time.time(), "problems": problems}
        for line in problems:
            _LOG.error("reload refused, the last good policy goes on: %s", line)
        return False

    def _swap_context(self, fresh: Channel) -> None:
        """Let the next handshakes use the new certificate; those under way end with the old one (TLS-07)."""
        if (fresh.context is None) != (self.channel.context is None):
            _LOG.warning("`[encryption] mode` has changed between TLS and plain: that takes a restart")
            return
        self._listeners[0].context = fresh.context

    # ------------------------------------------------------------------ end

    async def _drain(self) -> None:
        """Stop accepting, finish what runs, then leave."""
        for listener in self._listeners:
            listener.stop()
        for edge in self._edges:
            edge.drain()
        end = time.monotonic() + self.edge.table.drain_timeout
        while time.monotonic() < end and (  # noqa: ASYNC110 (many connections end, each in its own time)
            any(edge.connections for edge in self._edges) or any(listener.opening for listener in self._listeners)
        ):
            await asyncio.sleep(0.02)

    def _close(self) -> None:
        for edge in self._edges:
            edge.close()
        if self.watch.log is not None:
            self.watch.log.close()
        if self._announced is not None:
            self._announced.unlink(missing_ok=True)

    # ------------------------------------------------------------------ what the admin listener shows

    def status(self) -> dict[str, Any]:
        """Return version of the policy, addresses, connections, age of keys, last reload."""
        policy = self.edge.engine.policy
        now = time.time_ns() // 1000
        return {
            "policy": {"version": policy.version, "file": policy.file, "operations": len(policy.operations)},
            "listen": self.address,
            "admin": self.admin_address,
            "uptime_seconds": round(time.time() - self.started, 1),
            "connections": len(self.edge.connections),
            "draining": self.edge.draining,
            "reload": self.last_reload,
            "issuers": [
                {
                    "issuer": ring.source.issuer,
                    "keys": len(ring.keys),
                    "age_seconds": (now - ring.fetched_at) // 1_000_000 if ring.fetched_at else None,
                    "failure": ring.failure,
                }
                for ring in self.state.keys
            ],
        }

    def _gauges(self) -> list[tuple[str, str, dict[str, str], float]]:
        now = time.time_ns() // 1000
        gauges: list[tuple[str, str, dict[str, str], float]] = [
            ("sixfold_connections", "Open client connections.", {}, float(len(self.edge.connections))),
            ("sixfold_policy_info", "The policy in force.", {"version": self.edge.engine.policy.version}, 1.0),
        ]
        gauges += [
            (
                "sixfold_jwks_age_seconds", "Age of an issuer's keys.", {"issuer": ring.source.issuer},
                (now - ring.fetched_at) / 1_000_000,
            )
            for ring in self.state.keys
            if ring.fetched_at
        ]  # fmt: skip
        return gauges


def _name(socket_name: Any, configured: str) -> str:
    if not isinstance(socket_name, tuple):
        return configured
    return f"[{socket_name[0]}]:{socket_name[1]}" if ":" in socket_name[0] else f"{socket_name[0]}:{socket_name[1]}"
