"""What the gateway compiles from the policy: the router with one Door per operation, CORS, edits, limits of size."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sixfold.layers.gateway.edits import Edits
from sixfold.layers.gateway.router import Router
from sixfold.policy.model import Operation, Policy

_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})
_HEADER: Final = re.compile(r"\bheader\.([A-Za-z0-9_-]+)")


class Door:
    """An operation that was found, with the path parameters of this request.

    Arguments:
        operation: what the policy says about it.
        max_body: bytes.
        request_edits, response_edits: header edits, or None.
        timeout: seconds the upstream may take.
        parameters: decoded path parameters by name.
    """

    __slots__ = ("max_body", "operation", "parameters", "request_edits", "response_edits", "timeout")

    def __init__(
        self,
        operation: Operation,
        max_body: int,
        request_edits: Edits | None,
        response_edits: Edits | None,
        timeout: float,
        parameters: Mapping[str, str] = _NO_PARAMETERS,
    ) -> None:
        self.timeout = timeout
        self.operation = operation
        self.max_body = max_body
        self.request_edits = request_edits
        self.response_edits = response_edits
        self.parameters = parameters

    def at(self, parameters: Mapping[str, str]) -> Door:
        """Return this door with the parameters of one request."""
        return Door(self.operation, self.max_body, self.request_edits, self.response_edits, self.timeout, parameters)


def compile_door(policy: Policy, operation: Operation) -> Door:
    """Return the door of an operation.

    Raises:
        ValueError: a header edit that cannot be compiled; the text starts with file and line.
    """
    table = policy.document.gateway
    limit = table.max_body if operation.max_body is None else operation.max_body
    try:
        request_edits = Edits(table.request_headers, operation.request_headers)
        response_edits = Edits(table.response_headers, operation.response_headers)
    except ValueError as problem:
        raise ValueError(f"{operation.rule}: {problem}") from None
    timeout = table.upstream_timeout if operation.timeout is None else operation.timeout
    return Door(operation, limit, request_edits or None, response_edits or None, timeout)


def compile_router(doors: list[Door]) -> Router:
    """Return a router over all doors; GET answers HEAD as well, unless the policy has a HEAD of its own."""
    router = Router()
    for door in doors:
        router.add(door.operation.method, door.operation.path, door)
    for door in doors:
        if door.operation.method == "GET":
            router.add("HEAD", door.operation.path, door)
    return router


def listed_hosts(policy: Policy, implied: frozenset[str] | None) -> frozenset[str] | None:
    """Return the hosts that are served, lower case, without port; None for any (a middleware without `hosts`)."""
    hosts = policy.document.gateway.hosts
    return frozenset(host.lower() for host in hosts) if hosts else implied


def judged_headers(policy: Policy) -> frozenset[bytes]:
    """Return the headers that conditions and contracts speak of: what was judged must not get lost (HDR-06)."""
    names = {name for one in policy.operations for text in one.when for name in _HEADER.findall(text)}
    contracts = [one.contract for one in policy.operations if one.contract is not None]
    names.update(parameter.name for one in contracts for parameter in one.parameters if parameter.location == "header")
    return frozenset(name.lower().encode("latin-1", "replace") for name in names)
