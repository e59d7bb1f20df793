from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sixfold.decision import Rule
from sixfold.identity import Identity
from sixfold.layers.rate_limiting import RateLimiting
from sixfold.policy.document import Document, Limit
from sixfold.policy.model import Operation, Policy
from sixfold.request import Fields, Peer, Request
from sixfold.store.memory import MemoryStore

NOW = 1_795_514_400_000_000  # 2026-11-24T10:00:00Z


def build_policy(table: dict[str, Any], *operations: dict[str, Any]) -> Policy:
    rows = operations or ({},)
    return Policy(
        version="0" * 12,
        file="sixfold.toml",
        folder="/",
        document=Document.model_validate({"rate_limiting": table}),
        lines={
            "rate_limiting": 10,
            "rate_limiting.default": 12,
            "rate_limiting.anonymous": 13,
            "rate_limiting.store": 11,
        },
        operations=tuple(
            Operation(
                index=index,
                method=row.get("method", "GET"),
                path=row.get("path", f"/op{index}"),
                rule=Rule(f"[[routes]] {index}", "sixfold.toml", 20 + index),
                contract_rule=Rule("openapi"),
                limits=tuple(
                    Limit(rate=limit) if isinstance(limit, str) else Limit.model_validate(limit)
                    for limit in row.get("limits", ())
                ),
                cost=row.get("cost", 1),
                access=row.get("access", "default"),
                modes=row.get("modes", {}),
            )
            for index, row in enumerate(rows)
        ),
        schemas={},
        titles={},
    )


class Bench:
    """A policy, a store and a clock that is turned by hand."""

    def __init__(
        self, table: dict[str, Any], *operations: dict[str, Any], store: Any = None, local: Any = None
    ) -> None:
        self.policy = build_policy(table, *operations)
        self.store = MemoryStore() if store is None else store
        self.layer = RateLimiting(self.policy, self.store, local)
        self.now = NOW
        self.alice = Identity("alice", issuer="https://issuer.example", client_id="app")

    def request(self, address: str = "192.0.2.1") -> Request:
        return Request("GET", b"/", "/", b"", Fields([]), Peer(address), address, "https", "", 0, self.now)

    def spend(self, identity: Identity, operation: int = 0, address: str = "192.0.2.1") -> Any:
        return self.layer.spend(self.request(address), self.policy.operations[operation], identity)

    def passes(self, identity: Identity, operation: int = 0, address: str = "192.0.2.1") -> bool:
        return self.spend(identity, operation, address).refusal is None

    def admit(self, operation: int = 0, address: str = "192.0.2.1") -> Any:
        return self.layer.admit(self.request(address), self.policy.operations[operation])

    def headers(self, ledger: Any) -> dict[str, str]:
        found: list[tuple[bytes, bytes]] = []
        self.layer.headers(ledger, self.request(), found)
        return {name.decode(): value.decode() for name, value in found}


@pytest.fixture(name="bench")
def bench_fixture() -> Callable[..., Bench]:
    return Bench
