from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sixfold.decision import Refusal, Rule
from sixfold.identity import Identity
from sixfold.layers.authorization import Authorization
from sixfold.policy.document import Document
from sixfold.policy.model import Operation, Policy
from sixfold.request import Fields, Peer, Request


def build_policy(table: dict[str, Any], *operations: dict[str, Any], resource: str | None = None) -> Policy:
    return Policy(
        version="0" * 12,
        file="sixfold.toml",
        folder="/",
        document=Document.model_validate({"authorization": table, "authentication": {"resource": resource}}),
        lines={
            "authorization": 10,
            "authorization.default": 11,
            **{f"authorization.roles.{role}": 12 + place for place, role in enumerate(table.get("roles", {}))},
        },
        operations=tuple(
            Operation(
                index=index,
                method="GET",
                path=row.get("path", f"/op{index}"),
                rule=Rule(f"[[routes]] {index}", "sixfold.toml", 40 + index),
                contract_rule=Rule("openapi"),
                access="require" if "require" in row else row.get("access", "default"),
                require=tuple(frozenset(names) for names in row.get("require", ())),
                when=tuple(row.get("when", ())),
                modes=row.get("modes", {}),
            )
            for index, row in enumerate(operations)
        ),
        schemas={},
        titles={},
    )


def build_request(query: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()) -> Request:
    return Request("GET", b"/", "/", query, Fields(headers), Peer("192.0.2.1"), "192.0.2.1", "https", "", 0, 0)


class Bench:
    """A policy and the question to it."""

    def __init__(self, table: dict[str, Any], *operations: dict[str, Any], resource: str | None = None) -> None:
        self.policy = build_policy(table, *operations, resource=resource)
        self.layer = Authorization(self.policy)

    def ask(
        self,
        identity: Identity,
        operation: int = 0,
        *,
        parameters: Mapping[str, str] | None = None,
        query: bytes = b"",
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> Refusal | None:
        request = build_request(query, headers)
        return self.layer.may(request, self.policy.operations[operation], identity, parameters or {})

    def code(self, identity: Identity, operation: int = 0, **more: Any) -> str:
        refusal = self.ask(identity, operation, **more)
        return refusal.code if refusal else ""


def caller(*scopes: str, roles: tuple[str, ...] = (), **more: Any) -> Identity:
    return Identity(more.pop("subject", "ann"), scopes=frozenset(scopes), roles=frozenset(roles), **more)


@pytest.fixture(name="bench")
def bench_fixture() -> Callable[..., Bench]:
    return Bench


@pytest.fixture(name="caller")
def caller_fixture() -> Callable[..., Identity]:
    return caller
