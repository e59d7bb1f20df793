"""What all connections of a worker share: the engine in force, pools to the upstreams, the coarse clock, counters."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from sixfold.decision import Refusal, Rule
from sixfold.engine import Engine
from sixfold.layers.encryption.check import plain_http
from sixfold.layers.encryption.tls import client_context
from sixfold.policy.document import Gateway
from sixfold.policy.model import Policy
from sixfold.proxy.downstream import Downstream
from sixfold.proxy.upstream import Pool, parse_target
from sixfold.watch import Watch

TICK: Final = 0.25  # seconds between two looks at the deadlines
_LOG: Final = logging.getLogger("sixfold.proxy")


class Edge:
    """Shared by all connections.

    Arguments:
        engine: in force from now on; `adopt` swaps it.
        watch: is told what was decided.
        plain: this listener answers in clear, and only with a refusal.
    """

    def __init__(self, engine: Engine, watch: Watch, *, plain: bool = False) -> None:
        self.watch = watch
        self.plain = plain
        self.connections: set[Downstream] = set()
        self.crowds: dict[str, int] = {}  # connections by `crowd`
        self.draining = False
        self.now = time.monotonic()
        self.date = b""
        self.room: Callable[[], None] | None = None  # called when a connection has ended
        self.pools: dict[str | None, Pool] = {}  # None: the policy's upstream
        self.retired: WeakKeyDictionary[Engine, dict[str | None, Pool]] = WeakKeyDictionary()  # of engines before
        self._tasks: set[asyncio.Task[Any]] = set()
        self.engine: Engine
        self.table: Gateway
        self.adopt(engine)
        self._tick_date()

    def adopt(self, engine: Engine) -> None:
        """Judge by this engine from the next request on; requests under way end under the old one.

        Raises:
            ValueError: an upstream that cannot be used, with the place in the policy; then nothing has changed.
        """
        table = engine.policy.document.gateway
        pools = self._make_pools(engine, table)
        old, self.pools = self.pools, pools
        if old:
            self.retired[self.engine] = old  # what was permitted goes where the permit says
        self.engine = engine
        self.table = table
        for connection in self.connections:
            connection.renew()
        for key, pool in old.items():
            if pools.get(key) is not pool:
                pool.close()

    def _make_pools(self, engine: Engine, table: Gateway) -> dict[str | None, Pool]:
        """Return a pool per upstream; those that stay the same are kept with their connections."""
        policy = engine.policy
        context: ssl.SSLContext | None = None
        pools: dict[str | None, Pool] = {}
        places: dict[str | None, Rule] = {None: policy.rule("gateway.upstream")}
        places.update({one.upstream: one.rule for one in policy.operations if one.upstream})
        for key, place in places.items():
            try:
                target = parse_target(key or table.upstream)
            except ValueError as problem:
                raise ValueError(f"{place}: {problem}") from None
            if target.tls and context is None:
                context = _upstream_context(policy, table.upstream_ca)
            kept = self.pools.get(key)
            if kept is not None and kept.target == target and not target.tls:
                pools[key] = kept
                continue
            pools[key] = Pool(
                target, limit=table.upstream_connections, connect_timeout=table.connect_timeout, context=context
            )
            pools[key].now = self.now
        return pools

    def plain_refusal(self) -> Refusal:
        """Return the answer of the port that speaks no TLS (TLS-10)."""
        return plain_http(self.engine.policy.rule("encryption.plain_listen"))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside the protocol callbacks."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def bug(self, problem: BaseException) -> None:
        """Tell the log about a failure of our own; the request is refused elsewhere."""
        _LOG.error("a bug while judging a request", exc_info=problem)

    # ------------------------------------------------------------------ connections

    def opened(self, connection: Downstream) -> None:
        """Count a new connection."""
        self.connections.add(connection)
        name = crowd(connection.peer.address)
        self.crowds[name] = self.crowds.get(name, 0) + 1
        if self.draining:
            connection.drain()

    def closed(self, connection: Downstream) -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        name = crowd(connection.peer.address)
        left = self.crowds.get(name, 1) - 1
        if left:
            self.crowds[name] = left
        else:
            self.crowds.pop(name, None)
        if self.room is not None:
            self.room()

    # ------------------------------------------------------------------ time

    def tick(self) -> None:
        """Look at all deadlines; called every `TICK` seconds. No request pays for a timer of its own."""
        now = self.now = time.monotonic()
        for connection in [*self.connections]:
            connection.sweep(now)
        for pool in self.pools.values():
            pool.sweep(now)
        self._tick_date()

    def _tick_date(self) -> None:
        self.date = formatdate(usegmt=True).encode()

    def drain(self) -> None:
        """Let what runs end, take nothing new."""
        self.draining = True
        for connection in [*self.connections]:
            connection.drain()

    def close(self) -> None:
        """End everything now."""
        for connection in [*self.connections]:
            connection.abort()
        for pool in self.pools.values():
            pool.close()


def _upstream_context(policy: Policy, authority: str | None) -> ssl.SSLContext:
    try:
        return client_context(Path(policy.folder, authority) if authority else None)
    except (OSError, ValueError) as problem:  # ssl.SSLError is an OSError
        raise ValueError(f"{policy.rule('gateway.upstream_ca')}: the file cannot be used: {problem}") from None


def crowd(address: str) -> str:
    """Return under which name connections of an address are counted: IPv6 by /64, which is one subscriber (SLOW-05)."""
    return socket.inet_pton(socket.AF_INET6, address)[:8].hex() if ":" in address else address
