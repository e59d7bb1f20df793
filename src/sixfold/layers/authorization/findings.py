"""What `check` says about grants: a right that nobody needs is one that can only be abused (M6)."""

from __future__ import annotations

from sixfold.policy.model import Finding, Policy


def unneeded_grants(policy: Policy) -> list[Finding]:
    """Return a finding for each permission of a role that no operation requires."""
    required = {name for operation in policy.operations for names in operation.require for name in names}
    findings = []
    for role, grants in policy.document.authorization.roles.items():
        for grant in grants:
            if grant.startswith("@") or _needed(grant, required):
                continue
            findings.append(
                Finding(
                    severity="note",
                    code="unneeded-grant",
                    rule=policy.rule(f"authorization.roles.{role}"),
                    text=f"role `{role}` grants `{grant}`, which no operation requires",
                    remedy="remove the grant, or require it where it should count",
                )
            )
    return findings


def _needed(grant: str, required: set[str]) -> bool:
    if grant.endswith("*"):
        return any(name.startswith(grant[:-1]) for name in required if name[0] != "@")
    return grant in required
