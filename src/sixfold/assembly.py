"""Puts an engine together: state from the policy and the user's folder, layers over it, expectations run (RLD-01)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sixfold.engine import Engine, State
from sixfold.layers.authentication import ApiKeyStore, DevKeys, KeyRings
from sixfold.layers.gateway.identity_header import Signer
from sixfold.policy import Policy, PolicyError, Problem
from sixfold.rehearsal import rehearse
from sixfold.state_folder import signing_key
from sixfold.store.memory import MemoryStore


def assemble(
    policy: Policy,
    folder: Path,
    before: State | None = None,
    *,
    hosts: frozenset[str] | None = None,
    signed: bool = False,
) -> Engine:
    """Return an engine for a policy, rehearsed. Counters go on, keys of unchanged issuers stay.

    Arguments:
        policy: compiled.
        folder: the user's state folder.
        before: the state in force; None at start. It goes on unchanged if anything here fails.
        hosts: served when the policy names none; None for any.
        signed: send `Sixfold-Identity` to an upstream; a face without one needs no key for it.

    Raises:
        PolicyError: the policy cannot be used, or an expectation it carries does not hold.
    """
    try:
        state = make_state(policy, folder, before, hosts=hosts, signed=signed)
    except ValueError as problem:
        raise PolicyError(Problem(str(problem))) from problem
    engine = Engine(policy, state)
    rehearse(policy, state)
    return engine


def make_state(
    policy: Policy,
    folder: Path,
    before: State | None = None,
    *,
    hosts: frozenset[str] | None = None,
    signed: bool = False,
) -> State:
    """Return the state for a policy; see `assemble`.

    Raises:
        ValueError: keys that cannot be used; the text has file, line and remedy.
    """
    document = policy.document
    dev = DevKeys.load_or_create(folder / "dev") if document.authentication.issuer == "dev" else None
    signer = before.signer if before is not None else None
    if signer is None and signed and document.gateway.identity:
        signer = Signer(signing_key(folder / "gateway-identity.pem"))
    if before is None:
        return State(
            limits=MemoryStore(document.rate_limiting.max_keys),
            keys=KeyRings.for_policy(policy, allow_http=document.encryption.mode == "dev", dev=dev),
            api_keys=ApiKeyStore.for_policy(policy),
            signer=signer,
            hosts=hosts,
        )
    return replace(
        before,
        keys=before.keys.adopt(policy, dev=dev),
        api_keys=ApiKeyStore.for_policy(policy, before.api_keys),
        signer=signer,
        hosts=hosts,
    )
