"""`sixfold routes`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from sixfold.cli.policies import read
from sixfold.cli.talk import columns, show, show_json

if TYPE_CHECKING:
    from sixfold.policy import Operation, Policy

_ORDER: Final = ("public", "default", "authenticated", "require", "deny")


def routes(*, config: Annotated[Path | None, Parameter(metavar="FILE")] = None, json: bool = False) -> int:
    """List every operation with what guards it, the open ones first.

    With --json: a list of method, path, access (public, default, authenticated, require or deny), who (in words),
    limits (a list), contract (true if OpenAPI describes it), rule (name, file, line).

    Parameters
    ----------
    config: Path
        The policy file; default `$SIXFOLD_CONFIG`, or sixfold.toml in this folder.
    json: bool
        Print JSON, for programs.
    """
    policy = read(config)
    ordered = sorted(policy.operations, key=lambda one: (_ORDER.index(one.access), one.path, one.method))
    if json:
        show_json([_facts(policy, operation) for operation in ordered])
    else:
        show(_table(policy, ordered))
    return 0


def _table(policy: Policy, operations: list[Operation]) -> str:
    rows = [("METHOD", "PATH", "WHO", "LIMITS", "CONTRACT", "RULE")]
    for one in operations:
        limits = "; ".join(limit.rate for limit in one.limits) or "-"
        contract = "none" if one.contract is None else "OpenAPI"
        rows.append((one.method, one.path, _who(policy, one), limits, contract, str(one.rule)))
    return columns(rows)


def _who(policy: Policy, operation: Operation) -> str:
    """Return in words who may call an operation."""
    closed = policy.document.authorization.default == "deny"
    names = " or ".join(" and ".join(sorted(names)) for names in operation.require)
    who = {
        "public": "anybody",
        "authenticated": "any signed-in caller",
        "deny": "nobody",
        "require": names or "any signed-in caller",
        "default": "nobody (no rule)" if closed else "any signed-in caller (no rule)",
    }[operation.access]
    return f"{who}, when {' and '.join(operation.when)}" if operation.when else who


def _facts(policy: Policy, operation: Operation) -> dict[str, Any]:
    rule = operation.rule
    return {
        "method": operation.method,
        "path": operation.path,
        "access": operation.access,
        "who": _who(policy, operation),
        "limits": [limit.rate for limit in operation.limits],
        "contract": operation.contract is not None,
        "rule": {"name": rule.name, "file": rule.file, "line": rule.line},
    }
