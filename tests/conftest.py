"""What tests of several rooms share: an engine over a policy text, and requests made by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

NOW = 1_800_000_000_000_000  # microseconds

# Time says nothing about right and wrong here: a busy machine may take long to make an example. A check before landing
# draws the same examples each time; everybody else draws new ones.
settings.register_profile(
    "sixfold", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("sixfold")


@pytest.fixture
def policy(tmp_path: Path) -> Callable[..., Any]:
    """Compile a policy text.

    Arguments of the factory:
        text: of `sixfold.toml`.
        files: further files beside it, by name.
    """
    from sixfold.policy import read_policy

    def compile_text(text: str, files: Mapping[str, str] | None = None) -> Any:
        for name, content in {"sixfold.toml": text, **(files or {})}.items():
            (tmp_path / name).write_text(content)
        return read_policy(tmp_path / "sixfold.toml", {})

    return compile_text


@pytest.fixture
def engine(policy: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Put an engine together; its developer keys are in `tmp_path / "dev"`."""

    def build(text: str, files: Mapping[str, str] | None = None, hosts: frozenset[str] | None = None) -> Any:
        from sixfold.assembly import make_state
        from sixfold.engine import Engine

        compiled = policy(text, files)
        return Engine(compiled, make_state(compiled, tmp_path, hosts=hosts, signed=True))

    return build


@pytest.fixture
def ask() -> Callable[..., Any]:
    """Make a canonical request by an engine's own canonicaliser, or its refusal.

    Arguments of the factory:
        line: `GET /path`.
        headers: names in any case.
        address: of the peer.
    """
    from sixfold.decision import Refusal
    from sixfold.request import Peer

    def make(
        engine: Any,
        line: str,
        headers: Mapping[str, str] | None = None,
        *,
        address: str = "127.0.0.1",
        tls: bool = False,
        length: int | None = 0,
        now: int = NOW,
    ) -> Any:
        method, _, target = line.partition(" ")
        pairs = [(name.lower().encode(), text.encode()) for name, text in (headers or {}).items()]
        if all(name != b"host" for name, _ in pairs):
            pairs.insert(0, (b"host", b"localhost"))
        fields = engine.canonicaliser.fields(pairs)
        if isinstance(fields, Refusal):
            return fields
        peer = Peer(address, tls=tls)
        return engine.canonicaliser.request(method.encode(), target.encode(), fields, peer, now, length)

    return make


@pytest.fixture
def decide() -> Callable[..., Any]:
    """Run the flow of a request to its end; a body that is asked for is handed in, nothing else can be had."""
    from sixfold.flow import drive
    from sixfold.needs import TOO_LARGE, Body, Unavailable

    def run(engine: Any, request: Any, body: bytes = b"") -> Any:
        def fetch(need: Any) -> Any:
            if isinstance(need, Body):
                return body if len(body) <= need.limit else TOO_LARGE
            return Unavailable("a test fetches nothing")

        return drive(engine.check(request), fetch)

    return run


@pytest.fixture
def mint(tmp_path: Path) -> Callable[..., str]:
    """Return a developer token; arguments as for `DevKeys.mint`, scopes first."""
    from sixfold.layers.authentication import DevKeys

    def make(*scopes: str, now: int = NOW, **more: Any) -> str:
        return DevKeys.load_or_create(tmp_path / "dev").mint(scopes=scopes, now=now, **more)

    return make
