"""`sixfold routes`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sixfold.cli.policies import read
from sixfold.cli.talk import columns, show, show_json

if TYPE_CHECKING:
    from sixfold.policy.model import Operation, Policy

_ORDER = ("public", "default", "authenticated", "require", "deny")


def routes(*, config: Path | None = None, json: bool = False) -> int:
    """List every operation with what guards it, unprotected ones first.

    Parameters
    ----------
    config: Path
        The policy file; default `sixfold.toml` in this folder.
    json: bool
        For programs.
    """
    policy = read(config)
    ordered = sorted(policy.operations, key=lambda one: (_ORDER.index(one.access), one.path, one.method))
    if json:
        show_json([_facts(policy, operation) for operation in ordered])
        return 0
    show(table(policy, ordered))
    return 0


def table(policy: Policy, operations: list[Operation]) -> str:
    """Return the operations as aligned text."""
    rows = [("METHOD", "PATH", "WHO", "LIMITS", "CONTRACT", "RULE")]
    for operation in operations:
        facts = _facts(policy, operation)
        rows.append(
            (operation.method, operation.path, facts["who"], facts["limits"] or "-", facts["contract"], str(operation.rule))
        )
    return columns(rows)


def _facts(policy: Policy, operation: Operation) -> dict[str, str]:
    names = " or ".join(" and ".join(sorted(names)) for names in operation.require)
    who = {
        "public": "anybody",
        "authenticated": "any signed-in caller",
        "deny": "nobody",
        "require": names or "any signed-in caller",
        "default": "nobody (no rule)" if policy.document.authorization.default == "deny" else "any signed-in caller (no rule)",
    }[operation.access]
    if operation.when:
        who += f", when {' and '.join(operation.when)}"
    return {
        "method": operation.method,
        "path": operation.path,
        "who": who,
        "limits": "; ".join(limit.rate for limit in operation.limits),
        "contract": "OpenAPI" if operation.contract is not None else "none",
        "rule": str(operation.rule),
    }
