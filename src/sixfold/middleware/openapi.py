"""Tells an OpenAPI document of the application what the policy says: schemes, scopes, who may call what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sixfold.middleware.table import Found
from sixfold.policy import Operation, Policy

SCHEME: Final = "Sixfold"
_API_KEY: Final = "SixfoldApiKey"


def fill(document: dict[str, Any], policy: Policy, found: Iterable[Found]) -> None:
    """Write `security` of every operation and the security schemes into a document.

    Decorators, dependencies and `[[routes]]` rule alike, so the compiled policy is what is written down.

    Arguments:
        document: OpenAPI 3; changed in place.
        policy: in force.
        found: the routes of the application.
    """
    schemes = _schemes(policy)
    if not schemes:
        return
    document.setdefault("components", {}).setdefault("securitySchemes", {}).update(schemes)
    operations = {(one.method, one.path): one for one in policy.operations}
    ruled = {(one.method, one.origin): operations.get((one.method, one.path)) for one in found}
    for path, item in document.get("paths", {}).items():
        for verb, operation in item.items():
            known = ruled.get((verb.upper(), path))
            if known is not None:
                operation["security"] = _security(known, schemes)


def _schemes(policy: Policy) -> dict[str, Any]:
    table = policy.document.authentication
    schemes: dict[str, Any] = {}
    if table.issuer is not None or table.issuers:
        schemes[SCHEME] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    if table.api_keys is not None:
        schemes[_API_KEY] = {"type": "apiKey", "in": "header", "name": table.api_keys.header}
    return schemes


def _security(operation: Operation, schemes: dict[str, Any]) -> list[dict[str, list[str]]]:
    """Return the alternatives: each set of names, by each scheme."""
    if operation.access == "public":
        return []
    sets = operation.require or (frozenset(),)
    return [{scheme: sorted(names)} for names in sets for scheme in schemes]
