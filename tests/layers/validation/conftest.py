"""A small world for validation: one policy with the operations a test asks for, and requests to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sixfold.decision import Refusal, Rule
from sixfold.layers.validation import Validation
from sixfold.policy.document import Document
from sixfold.policy.model import BodyContract, Contract, Media, Operation, Parameter, Policy
from sixfold.request import Canonicaliser, Fields, Peer, Request

NOW = 1_700_000_000_000_000  # microseconds
RULE = Rule("POST /things", "sixfold.toml", 7)
CONTRACT = Rule("POST /things", "openapi.yaml", 42)
PEER = Peer("192.0.2.1")
JSON = "application/json"

_STYLES = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}


def parameter(location: str, name: str, schema: Any = True, **more: Any) -> Parameter:
    """Return a parameter with the defaults of its location filled in."""
    style = more.pop("style", _STYLES[location])
    more.setdefault("explode", style == "form")
    more.setdefault("required", location == "path")
    return Parameter(name=name, location=location, schema=schema, style=style, **more)


class World:
    """One operation, its validation, and the verbs that tests use."""

    def __init__(
        self,
        *parameters: Parameter,
        path: str = "/things",
        method: str = "POST",
        content: Mapping[str, Any] | None = None,
        encoding: Mapping[str, Mapping[str, Any]] | None = None,
        required: bool = False,
        responses: Mapping[str, Mapping[str, Any]] | None = None,
        contract: bool = True,
        schemas: Mapping[str, Any] | None = None,
        table: Mapping[str, Any] | None = None,
        **operation: Any,
    ) -> None:
        body = None
        if content is not None:
            media = {name: Media(schema=schema, encoding=encoding or {}) for name, schema in content.items()}
            body = BodyContract(required=required, content=media)
        answers = {
            status: {name: Media(schema=schema) for name, schema in types.items()}
            for status, types in (responses or {}).items()
        }
        self.operation = Operation(
            index=0,
            method=method,
            path=path,
            rule=RULE,
            contract_rule=CONTRACT,
            contract=Contract(parameters=parameters, body=body, responses=answers) if contract else None,
            **operation,
        )
        policy = Policy(
            version="0" * 12,
            file="sixfold.toml",
            folder="/",
            document=Document.model_validate({"validation": dict(table or {})}),
            lines={"validation": 3, "validation.max_depth": 4, "gateway": 1},
            operations=(self.operation,),
            schemas=schemas or {},
            titles={},
        )
        self.validation = Validation(policy)

    def request(
        self,
        target: str = "/things",
        headers: Mapping[str, str] | list[tuple[str, str]] = (),  # type: ignore[assignment]
        length: int | None = 0,
        method: str | None = None,
    ) -> Request:
        """Return a request to the operation, cleaned as the faces clean it."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        fields = Fields([(name.encode(), value.encode()) for name, value in pairs])
        request = Canonicaliser().request(
            (method or self.operation.method).encode(), target.encode(), fields, PEER, NOW, length
        )
        assert isinstance(request, Request), request
        return request

    def parameters(self, target: str = "/things", path: Mapping[str, str] | None = None, **more: Any) -> Any:
        """Return what `parameters` says."""
        return self.validation.parameters(self.request(target, **more), self.operation, path or {})

    def body(self, raw: bytes, content_type: str = JSON) -> Any:
        """Send a body through all three verbs, as the flow does; return what becomes of it."""
        request = self.request(headers={"content-type": content_type}, length=len(raw))
        refusal = self.validation.parameters(request, self.operation, {})
        if isinstance(refusal, Refusal):
            return refusal
        if self.validation.reads_body(request, self.operation) is None:
            return None
        return self.validation.body(request, self.operation, raw)

    def answer(self, status: int, content_type: str | None, body: bytes) -> Any:
        """Return what `answer` says."""
        kind = content_type.encode() if content_type is not None else None
        return self.validation.answer(self.operation, status, kind, body)


@pytest.fixture(scope="session")
def world() -> type[World]:
    return World


@pytest.fixture(scope="session")
def declare() -> Any:
    return parameter
