"""What authorization compiles: one gate per operation."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from sixfold.decision import Headers, Mode, Rule
from sixfold.layers.authorization.challenge import insufficient_scope
from sixfold.layers.authorization.conditions import Condition, ConditionError, compile_condition
from sixfold.layers.authorization.roles import Role, suggest
from sixfold.layers.authorization.step_up import StepUp
from sixfold.policy.model import Operation, Policy, weaker

_PARAMETER: Final = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What one operation demands.

    Arguments:
        access: "deny" for nobody, "authenticated" for any known caller, "require" for `require`, "public" for
            anybody (then only conditions remain).
        require: alternatives, each a set of names.
        conditions: as written, and compiled.
        rule: where access is decided.
        said: whether the policy rules this operation, or the default does.
        challenge: header of the refusal for a missing scope.
        step_up: what it demands of the sign-in, or None.
    """

    access: Literal["deny", "authenticated", "require", "public"]
    require: tuple[frozenset[str], ...]
    conditions: tuple[tuple[str, Condition], ...]
    rule: Rule
    mode: Mode
    said: bool
    name: str
    challenge: Headers
    step_up: StepUp | None


def compile_gate(policy: Policy, operation: Operation, roles: Iterable[str]) -> Gate | None:
    """Return the gate of an operation; None if everybody may pass.

    Raises:
        ValueError: an unknown role, a wildcard in a requirement, a condition that cannot be read; with file
            and line.
    """
    table = policy.document.authorization
    mode = weaker(table.mode, operation.modes.get("authorization", "enforce"))
    if mode == "off":
        return None
    for names in operation.require:
        _check_names(operation, names, roles)
    conditions = tuple(_conditions(operation))
    said = operation.access != "default"
    access = operation.access if operation.access != "default" else table.default
    step_up = StepUp(operation) if operation.acr or operation.max_age is not None else None
    if access == "public" and not conditions:
        return None
    return Gate(
        access=access,
        require=operation.require,
        conditions=conditions,
        rule=operation.rule if said else policy.rule("authorization.default"),
        mode=mode,
        said=said,
        name=f"{operation.method} {operation.path}",
        challenge=insufficient_scope(
            operation.require[0] if operation.require else (), policy.document.authentication.resource
        ),
        step_up=step_up,
    )


def granting(roles: dict[str, Role], names: Iterable[str]) -> list[str]:
    """Return which roles would grant all these names, for the remedy."""
    wanted = tuple(names)
    return [
        name
        for name, role in roles.items()
        if all(want[1:] in role.implied if want[0] == "@" else role.grants.allow(want) for want in wanted)
    ]


def _check_names(operation: Operation, names: Iterable[str], roles: Iterable[str]) -> None:
    for name in names:
        if name[0] == "@" and name[1:] not in roles:
            raise ValueError(f"{operation.rule}: requires `{name}`, which is no role; {suggest(name[1:], roles)}")
        if "*" in name:
            raise ValueError(f"{operation.rule}: requires `{name}`; a requirement names one permission, without `*`")


def _conditions(operation: Operation) -> Iterable[tuple[str, Condition]]:
    names = _PARAMETER.findall(operation.path)
    for text in operation.when:
        try:
            yield text, compile_condition(text, names)
        except ConditionError as problem:
            raise ValueError(f"{operation.rule}: {problem}") from None
