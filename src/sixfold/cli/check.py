"""`sixfold check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from sixfold.cli.policies import policy_path, read, state_of
from sixfold.cli.talk import FOUND, INVALID, counted, paint, printable, show, show_json

if TYPE_CHECKING:
    from sixfold.policy import Finding, Policy, PolicyError
    from sixfold.policy.expect import Outcome


def check(
    *,
    config: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    strict: bool = False,
    json: bool = False,
) -> int:
    """Say whether a policy is right and complete; for CI.

    Nothing is started and nothing is fetched; the policy's own expectations are run. With --json: policy, version,
    operations, ruled and closed (numbers), problems (file, line, rule, text), findings (severity, code, file, line,
    rule, text, remedy), expectations (line, met, text).

    Parameters
    ----------
    config: Path
        The policy file; default `$SIXFOLD_CONFIG`, or sixfold.toml in this folder.
    strict: bool
        Warnings fail as well.
    json: bool
        Print JSON, for programs.
    """
    from sixfold.policy import PolicyError

    file = policy_path(config)
    try:
        policy, findings, outcomes = _judge(file)
    except PolicyError as error:
        if not json:
            raise
        show_json(_broken(file, error))
        return INVALID
    if json:
        show_json(_facts(policy, findings, outcomes))
    else:
        _print(policy, findings, outcomes)
    failed = not all(outcome.met for outcome in outcomes)
    warned = any(finding.severity == "warning" for finding in findings)
    return FOUND if failed or (strict and warned) else 0


def _judge(file: Path) -> tuple[Policy, list[Finding], list[Outcome]]:
    from sixfold.engine import Engine
    from sixfold.layers.authorization import unneeded_grants
    from sixfold.policy import expect
    from sixfold.rehearsal import Rehearsal

    policy = read(file)
    state = state_of(policy)
    engine = Engine(policy, state)
    findings = [*policy.findings, *_certificate(policy), *engine.validation.findings, *unneeded_grants(policy)]
    return policy, findings, expect.run(policy.document.expect, Rehearsal(policy, state).judge)


def _certificate(policy: Policy) -> list[Finding]:
    """Certificate files that cannot be used: a machine that only checks need not have them, so it is a warning."""
    from sixfold.policy import Finding
    from sixfold.proxy.tls import channel
    from sixfold.state_folder import state_folder

    if policy.document.encryption.mode != "tls":
        return []
    try:
        channel(policy, state_folder())
    except ValueError as problem:
        rule = policy.rule("encryption.certificate")
        text = str(problem).removeprefix(f"{rule}: ")
        remedy = "put both files there before `serve`"
        return [Finding(severity="warning", code="certificate-unusable", rule=rule, text=text, remedy=remedy)]
    return []


def _ruled(policy: Policy) -> int:
    return sum(operation.access != "default" for operation in policy.operations)


def _facts(policy: Policy, findings: list[Finding], outcomes: list[Outcome]) -> dict[str, Any]:
    open_ = policy.document.authorization.default != "deny"
    return {
        "policy": policy.file,
        "version": policy.version,
        "operations": len(policy.operations),
        "ruled": _ruled(policy),
        "closed": 0 if open_ else len(policy.operations) - _ruled(policy),
        "problems": [],
        "findings": [
            {
                "severity": one.severity, "code": one.code, "file": one.rule.file, "line": one.rule.line,
                "rule": one.rule.name, "text": one.text, "remedy": one.remedy,
            }
            for one in findings
        ],
        "expectations": [
            {"line": policy.rule(f"expect.{one.index}").line, "met": one.met, "text": str(one)} for one in outcomes
        ],
    }  # fmt: skip


def _broken(file: Path, error: PolicyError) -> dict[str, Any]:
    """Return the same facts about a policy that cannot be used."""
    problems = [{"file": one.file, "line": one.line, "rule": one.key, "text": one.text} for one in error.problems]
    none: dict[str, Any] = {"operations": 0, "ruled": 0, "closed": 0}
    return {"policy": str(file), "version": "", **none, "problems": problems, "findings": [], "expectations": []}


def _print(policy: Policy, findings: list[Finding], outcomes: list[Outcome]) -> None:
    for finding in findings:
        label = paint("warn", "yellow") if finding.severity == "warning" else "note"
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        show(f"{label}  {printable(f'{finding.rule}: {finding.text}{remedy}')}")
    failed = [outcome for outcome in outcomes if not outcome.met]
    for outcome in failed:
        show(f"{paint('FAIL', 'red')}  {policy.rule(f'expect.{outcome.index}')}: {outcome}")
    ok = paint("ok", "green")
    ruled = _ruled(policy)
    rest = "closed" if policy.document.authorization.default == "deny" else "open to any signed-in caller"
    total = len(policy.operations)
    show(f"{ok}    {counted(total, 'operation')}, {ruled} ruled, {total - ruled} {rest}")
    if outcomes and not failed:
        show(f"{ok}    {counted(len(outcomes), 'expectation')}")
