"""Small ways to compile a policy and to ask its contracts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import pytest

from sixfold.policy import Operation, Policy, PolicyError, compile_policy, load_text

Described = Callable[..., Policy]


def _described(document: dict[str, Any], toml: str = "") -> Policy:
    document = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, **document}
    raw = json.dumps(document, indent=1).encode()
    return compile_policy(load_text(toml, file="sixfold.toml"), openapi_documents={"openapi.json": raw})


@pytest.fixture
def described() -> Described:
    """Compile an OpenAPI document (and a policy file)."""
    return _described


@pytest.fixture
def refused() -> Callable[..., list[str]]:
    """Compile what cannot be compiled, and return its problems line by line."""

    def refused(*args: Any, **kwargs: Any) -> list[str]:
        with pytest.raises(PolicyError) as caught:
            _described(*args, **kwargs)
        return str(caught.value).splitlines()

    return refused


def _judge(policy: Policy, schema: Any) -> Callable[[Any], bool]:
    registry = jsonschema_rs.Registry(list(policy.schemas.items())) if policy.schemas else None
    return jsonschema_rs.Draft202012Validator(schema, registry=registry).is_valid


@pytest.fixture
def request_of() -> Callable[..., Callable[[Any], bool]]:
    """Return the judgement of the JSON request body that a schema describes."""

    def request_of(schema: Any, schemas: dict[str, Any] | None = None, **more: Any) -> Callable[[Any], bool]:
        policy = _described(_around(schema, schemas, more), more.pop("toml", ""))
        body = policy.operations[0].contract.body  # type: ignore[union-attr]
        return _judge(policy, body.content["application/json"].schema)  # type: ignore[union-attr]

    return request_of


@pytest.fixture
def response_of() -> Callable[..., Callable[[Any], bool]]:
    """Return the judgement of the JSON response that a schema describes."""

    def response_of(schema: Any, schemas: dict[str, Any] | None = None, **more: Any) -> Callable[[Any], bool]:
        policy = _described(_around(schema, schemas, more))
        contract = policy.operations[0].contract
        assert contract is not None
        return _judge(policy, contract.responses["200"]["application/json"].schema)

    return response_of


def _around(schema: Any, schemas: dict[str, Any] | None, more: dict[str, Any]) -> dict[str, Any]:
    content = {"content": {"application/json": {"schema": schema}}}
    operation = {"requestBody": content, "responses": {"200": content}}
    version = {"openapi": more["openapi"]} if "openapi" in more else {}
    return {**version, "paths": {"/x": {"post": operation}}, "components": {"schemas": schemas or {}}}


@pytest.fixture
def operation() -> Callable[[Policy, str], Operation]:
    """Return the operation that is written `POST /orders`."""

    def operation(policy: Policy, name: str) -> Operation:
        return next(one for one in policy.operations if f"{one.method} {one.path}" == name)

    return operation
