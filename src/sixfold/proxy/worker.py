"""One worker process: policy, listeners, reload, drain. No request passes anything here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sixfold.engine import Engine, State
from sixfold.layers.authentication import ApiKeyError, ApiKeyStore, DevKeys, KeyRings
from sixfold.layers.gateway.identity_header import Signer
from sixfold.policy import PolicyError, Problem
from sixfold.policy.model import Policy
from sixfold.proxy.admin import Admin
from sixfold.proxy.edge import TICK, Edge
from sixfold.proxy.listener import Listener, bind
from sixfold.proxy.tls import Channel, channel
from sixfold.rehearsal import rehearse
from sixfold.state_folder import announce, signing_key
from sixfold.store.memory import MemoryStore
from sixfold.watch import Watch

_LOG: Final = logging.getLogger("sixfold.proxy")
_FLUSH: Final = 0.2  # seconds between two batches of log lines
_LOOK: Final = 1.0  # seconds between two looks at the files

Load = Callable[[], Policy]


def developer_keys(policy: Policy, folder: Path) -> DevKeys | None:
    """Return this user's developer keys if the policy takes them."""
    return DevKeys.load_or_create(folder / "dev") if policy.document.authentication.issuer == "dev" else None


def make_state(policy: Policy, folder: Path, hosts: frozenset[str] | None) -> State:
    """Return the state that a fresh process starts with.

    Arguments:
        folder: the user's state folder.
        hosts: served when the policy names none.

    Raises:
        ValueError: keys that cannot be used.
    """
    document = policy.document
    dev = developer_keys(policy, folder)
    return State(
        limits=MemoryStore(document.rate_limiting.max_keys),
        keys=KeyRings.for_policy(policy, allow_http=document.encryption.mode == "dev", dev=dev),
        api_keys=ApiKeyStore.for_policy(policy),
        signer=Signer(signing_key(folder / "gateway-identity.pem")) if document.gateway.identity else None,
        hosts=hosts,
    )


class Worker:
    """Serves one policy until it is told to stop.

    Arguments:
        load: returns the policy; called again for each reload.
        folder: the user's state folder.
        watch: is told what was decided.
        files: what to watch for changes, besides certificates; empty: no reload.
        reuse_port: share the port with other workers.
    """

    def __init__(
        self, load: Load, *, folder: Path, watch: Watch, files: Callable[[Policy], list[Path]], reuse_port: bool = False
    ) -> None:
        self._load = load
        self._folder = folder
        self._files = files
        self._reuse_port = reuse_port
        self.watch = watch
        self.started = time.time()
        self.last_reload: dict[str, Any] = {"result": "none yet"}
        self.address = ""
        self.admin_address = ""
        self._announced: Path | None = None
        self._seen: dict[Path, tuple[int, int]] = {}
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
            self.state = make_state(policy, self._folder, self.channel.hosts)
        except ValueError as problem:
            raise PolicyError(Problem(str(problem))) from problem
        engine = Engine(policy, self.state)
        rehearse(policy, self.state)
        table = policy.document.gateway
        self.edge = Edge(engine, self.watch)
        self._edges = [self.edge]
        self._listeners = [Listener(self.edge, bind(table.listen, reuse_port=self._reuse_port), self.channel.context)]
        plain = policy.document.encryption.plain_listen
        if plain is not None:
            edge = Edge(engine, self.watch, plain=True)
            self._edges.append(edge)
            self._listeners.append(Listener(edge, bind(plain, reuse_port=self._reuse_port), None))
        self.plain_address = _name(self._listeners[-1].socket.getsockname(), plain) if plain is not None else ""
        self.address = _name(self._listeners[0].socket.getsockname(), table.listen)
        self.admin = Admin(self.watch, self.status, lambda: not self.edge.draining)
        if table.admin is not None:
            self.admin_address = await self.admin.start(table.admin)
        self.watch.metrics.gauges = self._gauges
        self._seen = self._look()
        self._announced = announce(
            self._folder, {"admin": self.admin_address, "listen": self.address, "policy": policy.file}
        )
        for listener in self._listeners:
            listener.start()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._ask_reload)
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

    def stop(self) -> None:
        """Ask `run` to drain and return."""
        self._stop.set()

    def _ask_reload(self) -> None:
        self._reload_asked = True

    # ------------------------------------------------------------------ time

    async def _tick(self) -> None:
        flushed = looked = 0.0
        while True:
            for edge in self._edges:
                edge.tick()
            now = self.edge.now
            if self.watch.log is not None and now - flushed >= _FLUSH:
                flushed = now
                self.watch.log.flush()
            if now - looked >= _LOOK:
                looked = now
                self._housekeeping()
            await asyncio.sleep(TICK)

    def _housekeeping(self) -> None:
        micros = time.time_ns() // 1000
        for issuer in self.state.keys.due(micros):
            self.edge.spawn(self._refresh(issuer, micros))
        self._look_at_api_keys()
        seen = self._look()
        if self._reload_asked or seen != self._seen:
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
        try:
            policy = self._load()
            fresh: Channel = channel(policy, self._folder)
            state = self._carry_over(policy, fresh)
            engine = Engine(policy, state)
            rehearse(policy, state)
        except (PolicyError, ValueError, OSError) as problem:
            self.last_reload = {"result": "refused", "at": time.time(), "problems": str(problem).splitlines()}
            for line in str(problem).splitlines():
                _LOG.error("reload refused, the last good policy goes on: %s", line)
            return False
        before = self.edge.engine.policy
        self.state = state
        for edge in self._edges:
            edge.adopt(engine)
        self._swap_context(fresh)
        self.channel = fresh
        self._seen = self._look()
        self.last_reload = {"result": "taken", "at": time.time()}
        _LOG.info("policy %s replaces %s", policy.version, before.version)
        if policy.document.gateway.listen != before.document.gateway.listen:
            _LOG.warning("`[gateway] listen` has changed: that takes a restart")
        return True

    def _carry_over(self, policy: Policy, fresh: Channel) -> State:
        """Return the state for a new policy: counters go on, keys of unchanged issuers stay."""
        store = ApiKeyStore.for_policy(policy, self.state.api_keys)
        signer = self.state.signer
        if signer is None and policy.document.gateway.identity:
            signer = Signer(signing_key(self._folder / "gateway-identity.pem"))
        dev = developer_keys(policy, self._folder)
        return replace(
            self.state, keys=self.state.keys.adopt(policy, dev=dev), api_keys=store, signer=signer, hosts=fresh.hosts
        )

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
        while any(edge.connections for edge in self._edges) and time.monotonic() < end:
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
