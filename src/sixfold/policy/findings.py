"""What `sixfold check` has to say about a policy that can be loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Final

from sixfold.decision import Rule
from sixfold.policy.load import Loaded
from sixfold.policy.model import Finding, Operation

_CHANGES_STATE: Final = frozenset(("POST", "PUT", "PATCH", "DELETE"))


def findings(loaded: Loaded, operations: tuple[Operation, ...], unmatched: Iterable[Rule]) -> list[Finding]:
    """Return the findings, those about the whole policy first.

    Arguments:
        loaded: the policy file.
        operations: all of them, compiled.
        unmatched: routes that no described operation meets.
    """
    return [
        *_hosts(loaded),
        *_unmatched(unmatched),
        *_ungranted(loaded, operations),
        *_public(operations),
        *_unruled(loaded, operations),
    ]


def _hosts(loaded: Loaded) -> Iterator[Finding]:
    document = loaded.document
    if document.encryption.mode == "tls" and not document.gateway.hosts:
        line = loaded.lines.get("gateway.hosts") or loaded.lines.get("gateway", 0)
        yield Finding(
            severity="warning",
            code="hosts-empty",
            rule=Rule("gateway.hosts", loaded.file, line),
            text="no host is named, so only the names of the certificate are served",
            remedy='write `hosts = ["api.example.com"]` into `[gateway]`',
        )


def _unmatched(rules: Iterable[Rule]) -> Iterator[Finding]:
    for rule in rules:
        yield Finding(
            severity="warning",
            code="route-matches-nothing",
            rule=rule,
            text="the OpenAPI document has no operation here, so nothing is validated",
            remedy="check the spelling and the base path, or describe the operation",
        )


def _ungranted(loaded: Loaded, operations: tuple[Operation, ...]) -> Iterator[Finding]:
    """Names that are required although no role grants them; they may still come as scopes of a token."""
    roles = loaded.document.authorization.roles
    if not roles:
        return
    granted = {name for names in roles.values() for name in names if not name.startswith("@")}
    patterns = [name for name in granted if "*" in name]
    seen: set[str] = set()
    for operation in operations:
        for name in sorted(frozenset().union(*operation.require) - granted - seen):
            seen.add(name)
            if not name.startswith("@") and not any(fnmatchcase(name, pattern) for pattern in patterns):
                yield Finding(
                    severity="warning",
                    code="not-granted",
                    rule=operation.rule,
                    text=f"`{name}` is required but no role grants it",
                    remedy="grant it in `[authorization] roles`, or require a name that a role grants",
                )


def _public(operations: tuple[Operation, ...]) -> Iterator[Finding]:
    for operation in operations:
        if operation.access == "public" and operation.method in _CHANGES_STATE:
            yield Finding(
                severity="warning",
                code="public-write",
                rule=operation.rule,
                text=f"{operation.method} {operation.path} changes state and anybody may call it",
                remedy="require a name, or give it a limit per address if it must stay public",
            )


def _unruled(loaded: Loaded, operations: tuple[Operation, ...]) -> Iterator[Finding]:
    closed = loaded.document.authorization.default == "deny"
    answer = "nobody may call it" if closed else "any signed-in caller may call it"
    for operation in operations:
        if operation.access == "default":
            yield Finding(
                severity="note",
                code="operation-not-ruled",
                rule=operation.rule,
                text=f"{operation.method} {operation.path} has no rule: {answer}",
                remedy="give it a `[[routes]]` row with `require`, `authenticated`, `public` or `deny`",
            )
