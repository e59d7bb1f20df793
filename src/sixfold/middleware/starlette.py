"""Starlette: marks on endpoints, the route table read at start, one ASGI layer around everything.

sixfold = Sixfold()
sixfold.protect(app)
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal

from starlette.requests import HTTPConnection

from sixfold.decision import Mode
from sixfold.flow import Permit
from sixfold.identity import Identity
from sixfold.middleware.driver import Driver
from sixfold.middleware.marks import Mark, Words, limited, lost, place, required
from sixfold.middleware.routes import Discovery
from sixfold.middleware.setup import Setup
from sixfold.middleware.table import build, shown
from sixfold.policy import Policy, PolicyError, Problem
from sixfold.watch import Watch

__all__ = ["Identity", "Sixfold", "identity", "limit", "public", "require"]

OnStoreFailure = Literal["local", "deny", "allow"]


class _Mark(Mark):
    def __init__(self, words: Words) -> None:
        self.words = words


def require(*names: str, any: str | Iterable[str] = (), when: str | Iterable[str] = ()) -> Mark:  # noqa: A002
    """Mark an endpoint: who may call it.

    Arguments:
        names: scopes, permissions or `@roles` that must all be granted; none at all: any signed-in caller.
        any: of these at least one.
        when: conditions that must hold, such as `"path.user_id == token.sub"`.
    """
    return _Mark(required(names, any, when))


def limit(
    rate: str,
    *,
    per: str = "",
    cost: int = 0,
    mode: Mode = "enforce",
    name: str | None = None,
    on_store_failure: OnStoreFailure = "local",
) -> Mark:
    """Mark an endpoint: how often it may be called.

    Arguments:
        rate: `"60/minute"`, `"1000/minute burst 2000"`, `"5 concurrent-requests"`, several joined by `;`.
        per: "user", "client", "tenant", "address", "key", "route" or "global"; "" is client, or address for an
            unknown caller.
        cost: how much one call weighs, for all limits.
        mode: enforce, shadow or off.
        name: stands in the `RateLimit` headers.
        on_store_failure: what holds while the store cannot be reached.

    Raises:
        ValueError: no rate; the message says what to write.
    """
    return _Mark(limited(rate, per, cost, mode, name, on_store_failure))


public: Final[Mark] = _Mark(Words(access="public"))
"""Mark an endpoint: anybody may call it."""


def permit_of(connection: HTTPConnection) -> Permit:
    """Return the proof that every layer agreed to this request.

    Raises:
        RuntimeError: the application is not protected, or runs without its protection.
    """
    permit = connection.scope.get("sixfold")
    if type(permit) is not Permit:
        raise RuntimeError("nobody judged this request: call `Sixfold().protect(app)` on the application")
    return permit


def identity(connection: HTTPConnection) -> Identity:
    """Return who calls; false for nobody."""
    return permit_of(connection).identity


class Sixfold:
    """Protects one application.

    Arguments:
        config: policy file; None looks at `$SIXFOLD_CONFIG`, then for `sixfold.toml` in the working directory;
            `SIXFOLD_*` variables win over the file.
        dev: the developer's policy and keys stand in for what is missing; for this machine only. Without it an
            application without a configuration refuses to start.
        watch: is told what was decided; None makes one.
    """

    def __init__(self, config: Path | str | None = None, *, dev: bool = False, watch: Watch | None = None) -> None:
        self._setup = Setup(config, os.environ, dev=dev)
        self._watch = watch
        self._app: Any = None
        self.loud = dev
        self.driver: Driver | None = None

    def protect(self, app: Any) -> None:
        """Put one pure ASGI layer around an application, outside of all its other middleware.

        The route table is read when the application starts, so routes may be added until then.

        Raises:
            RuntimeError: another application is protected by this object already, or this one is running.
        """
        if self._app is not None:
            raise RuntimeError("one `Sixfold` protects one application; make another one")
        if app.middleware_stack is not None:
            raise RuntimeError("the application is running already; protect it where it is made")
        self._app = app
        stack = app.build_middleware_stack

        def protected() -> Driver:
            # Outside of the layer that turns exceptions into answers, so that those get our headers too (UX-08).
            self.driver = Driver(stack(), self, self._watch)
            return self.driver

        app.build_middleware_stack = protected

    # ------------------------------------------------------------------ what the driver asks

    def policy(self) -> Policy:
        """Return the policy of the application: its routes and marks, refined by the file.

        Raises:
            PolicyError: it cannot be used; a mark that no route carries is among the reasons (UX-05).
        """
        found = self.discover(self._app)
        astray = lost(found.said, found.endpoints)
        if astray:
            raise PolicyError(*(_astray(endpoint) for endpoint in astray))
        return build(self._setup.loaded(), found.found)

    def files(self, policy: Policy) -> list[Path]:
        """Return the files that decide."""
        return self._setup.files(policy)

    def discover(self, app: Any) -> Discovery:
        """Return the routes of an application."""
        return Discovery(app)


def _astray(endpoint: Any) -> Problem:
    file, line = place(endpoint)
    name = getattr(endpoint, "__qualname__", type(endpoint).__qualname__)
    text = (
        "carries a mark that does not reach its route: another decorator stands between them; put the two side by side"
    )
    return Problem(text, f"`{name}`", shown(file), line)
