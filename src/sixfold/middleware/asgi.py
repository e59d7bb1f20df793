"""Any ASGI application: `SixfoldMiddleware(app)`. Routes come from the policy file and its OpenAPI documents alone."""

from __future__ import annotations

import os
from pathlib import Path

from sixfold.middleware.driver import Driver
from sixfold.middleware.exchange import App
from sixfold.middleware.setup import Setup
from sixfold.policy import Policy, compile_policy
from sixfold.watch import Watch

__all__ = ["SixfoldMiddleware"]


class _File:
    """A policy file, compiled as it stands."""

    def __init__(self, setup: Setup, *, loud: bool) -> None:
        self._setup = setup
        self.files = setup.files
        self.loud = loud

    def policy(self) -> Policy:
        return compile_policy(self._setup.loaded())


class _Fixed:
    """A policy that was compiled elsewhere; it never changes."""

    loud = False

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def policy(self) -> Policy:
        return self._policy

    def files(self, policy: Policy) -> list[Path]:
        return []


class SixfoldMiddleware(Driver):
    """Protects any ASGI application.

    Arguments:
        app: an ASGI 3 application.
        config: policy file; None looks at `$SIXFOLD_CONFIG`, then for `sixfold.toml` in the working directory.
        policy: compiled already, instead of a file.
        dev: the developer's policy and keys stand in for what is missing; for this machine only.
        watch: is told what was decided; None makes one.
    """

    def __init__(
        self, app: App, config: Path | str | None = None, *, policy: Policy | None = None, dev: bool = False,
        watch: Watch | None = None,
    ) -> None:  # fmt: skip
        source = _Fixed(policy) if policy is not None else _File(Setup(config, os.environ, dev=dev), loud=dev)
        super().__init__(app, source, watch)
