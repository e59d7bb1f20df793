"""Puts an engine together for a process that listens nowhere itself: no certificate, no signer, any host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sixfold.engine import Engine, State
from sixfold.layers.authentication import ApiKeyStore, DevKeys, KeyRings
from sixfold.policy import Policy, PolicyError, Problem
from sixfold.policy import expect as expectations
from sixfold.rehearsal import Rehearsal
from sixfold.store.memory import MemoryStore


def assemble(policy: Policy, folder: Path, before: State | None) -> Engine:
    """Return an engine for a policy, rehearsed. Counters go on, keys of unchanged issuers stay.

    Arguments:
        policy: compiled.
        folder: the user's state folder, for developer keys.
        before: the state in force; None at start.

    Raises:
        PolicyError: the policy cannot be used, or an expectation it carries does not hold.
    """
    try:
        state = _fresh(policy, folder) if before is None else _carried(policy, folder, before)
    except ValueError as problem:
        raise PolicyError(Problem(str(problem))) from problem
    engine = Engine(policy, state)
    _rehearse(policy, state)
    return engine


def _fresh(policy: Policy, folder: Path) -> State:
    document = policy.document
    return State(
        limits=MemoryStore(document.rate_limiting.max_keys),
        keys=KeyRings.for_policy(policy, allow_http=document.encryption.mode == "dev", dev=_dev(policy, folder)),
        api_keys=ApiKeyStore.for_policy(policy),
    )


def _carried(policy: Policy, folder: Path, before: State) -> State:
    return replace(
        before,
        keys=before.keys.adopt(policy, dev=_dev(policy, folder)),
        api_keys=ApiKeyStore.for_policy(policy, before.api_keys),
    )


def _dev(policy: Policy, folder: Path) -> DevKeys | None:
    return DevKeys.load_or_create(folder / "dev") if policy.document.authentication.issuer == "dev" else None


def _rehearse(policy: Policy, state: State) -> None:
    if not policy.document.expect:
        return
    outcomes = expectations.run(policy.document.expect, Rehearsal(policy, state).judge)
    broken = [outcome for outcome in outcomes if not outcome.met]
    if broken:
        rules = [policy.rule(f"expect.{outcome.index}") for outcome in broken]
        raise PolicyError(
            *(Problem(str(one), file=rule.file, line=rule.line) for one, rule in zip(broken, rules, strict=True))
        )
