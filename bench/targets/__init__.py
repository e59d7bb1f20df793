"""What is measured: one module per opponent, each with a tuple TARGETS."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.credentials import Credentials

GET, VARIED, POST, TLS, MIDDLEWARE, IDLE = "get", "get-varied", "post", "get-tls", "middleware", "idle"
SCENARIOS = (GET, VARIED, POST, TLS, MIDDLEWARE, IDLE)

# A limit that is counted on every request and never reached: requests per minute and subject.
LIMIT = 30_000_000
HSTS = "max-age=31536000"

JWT, SCOPE, SUBJECT_LIMIT, HSTS_HEADER, SCHEMA = "jwt", "scope", "limit", "hsts", "schema"
GATEWAY_LAYERS = (JWT, SCOPE, SUBJECT_LIMIT, HSTS_HEADER)


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a target is given to start with."""

    folder: Path
    port: int
    tls_port: int
    upstream: int
    credentials: Credentials


@dataclasses.dataclass(frozen=True)
class Launch:
    """How a target is started."""

    argv: list[str]
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cwd: Path | None = None


@dataclasses.dataclass(frozen=True)
class Target:
    """One process under test. `missing` tells why it cannot run here; `launch` writes its configuration."""

    name: str
    does: str
    scenarios: frozenset[str]
    layers: tuple[str, ...]
    missing: Callable[[], str | None]
    launch: Callable[[Setting], Launch]


def every() -> tuple[Target, ...]:
    """All targets, in the order of the tables."""
    from bench.targets import envoy, express, fastapi, haproxy, middleware, nginx, sixfold

    modules = (nginx, sixfold, haproxy, envoy, express, fastapi, middleware)
    return tuple(target for module in modules for target in module.TARGETS)
