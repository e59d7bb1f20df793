"""`sixfold check`."""

from __future__ import annotations

from pathlib import Path

from sixfold.cli.policies import read
from sixfold.cli.talk import FOUND, paint, show, show_json
from sixfold.state_folder import state_folder


def check(*, config: Path | None = None, strict: bool = False, json: bool = False) -> int:
    """Say whether a policy is right and complete. Offline; runs the policy's own expectations.

    Parameters
    ----------
    config: Path
        The policy file; default `sixfold.toml` in this folder.
    strict: bool
        Warnings fail as well.
    json: bool
        For programs.
    """
    from sixfold.assembly import make_state
    from sixfold.engine import Engine
    from sixfold.layers.authorization import unneeded_grants
    from sixfold.policy import PolicyError, Problem
    from sixfold.policy import expect as expectations
    from sixfold.rehearsal import Rehearsal

    policy = read(config)
    try:
        state = make_state(policy, state_folder())
    except ValueError as problem:
        raise PolicyError(Problem(str(problem))) from problem
    engine = Engine(policy, state)
    findings = (*policy.findings, *engine.validation.findings, *unneeded_grants(policy))
    outcomes = expectations.run(policy.document.expect, Rehearsal(policy, state).judge)
    warnings = [finding for finding in findings if finding.severity == "warning"]
    failed = [outcome for outcome in outcomes if not outcome.met]
    ruled = sum(operation.access != "default" for operation in policy.operations)
    closed = len(policy.operations) - ruled if policy.document.authorization.default == "deny" else 0
    code = FOUND if failed or (strict and warnings) else 0
    if json:
        show_json(
            {
                "policy": policy.file,
                "version": policy.version,
                "operations": len(policy.operations),
                "ruled": ruled,
                "closed": closed,
                "findings": [
                    {"severity": one.severity, "code": one.code, "file": one.rule.file, "line": one.rule.line,
                     "rule": one.rule.name, "text": one.text, "remedy": one.remedy}
                    for one in findings
                ],
                "expectations": [
                    {"line": policy.rule(f"expect.{one.index}").line, "met": one.met, "text": str(one)}
                    for one in outcomes
                ],
            }
        )  # fmt: skip
        return code
    for finding in findings:
        label = paint("warn", "yellow") if finding.severity == "warning" else "note"
        show(f"{label}  {finding.rule}: {finding.text}{f' -> {finding.remedy}' if finding.remedy else ''}")
    for outcome in failed:
        show(f"{paint('FAIL', 'red')}  {policy.rule(f'expect.{outcome.index}')}: {outcome}")
    ok = paint("ok", "green")
    rest = "closed" if policy.document.authorization.default == "deny" else "open to any signed-in caller"
    show(f"{ok}    {len(policy.operations)} operations, {ruled} ruled, {len(policy.operations) - ruled} {rest}")
    if outcomes and not failed:
        show(f"{ok}    {len(outcomes)} expectation{'s' if len(outcomes) > 1 else ''}")
    return code
