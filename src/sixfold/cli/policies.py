"""Finding and reading the policy file, for the commands that need one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sixfold.cli.talk import INVALID, Stop, command_name

if TYPE_CHECKING:
    from sixfold.engine import State
    from sixfold.policy import Policy

NAMES = ("sixfold.toml", "sixfold.yaml", "sixfold.yml")


def policy_path(given: Path | None) -> Path:
    """Return the policy file: as given, `$SIXFOLD_CONFIG`, or `sixfold.toml` in this folder.

    Raises:
        Stop: there is none.
    """
    chosen = given or (Path(os.environ["SIXFOLD_CONFIG"]) if os.environ.get("SIXFOLD_CONFIG") else None)
    if chosen is None:
        chosen = next((Path(name) for name in NAMES if Path(name).exists()), None)
    if chosen is None:
        raise Stop(
            "no sixfold.toml in this folder; name a policy with --config, or write one: "
            f"{command_name()} protect URL --save sixfold.toml",
            INVALID,
        )
    if not chosen.exists():
        raise Stop(f"{chosen}: no such file", INVALID)
    return chosen


def read(given: Path | None) -> Policy:
    """Read and compile the policy file.

    Raises:
        Stop: there is none.
        PolicyError: it cannot be used.
    """
    from sixfold.policy import read_policy

    return read_policy(policy_path(given), os.environ)


def state_of(policy: Policy) -> State:
    """Return fresh state for a policy.

    Raises:
        PolicyError: keys that cannot be used.
    """
    from sixfold.assembly import make_state
    from sixfold.policy import PolicyError, Problem
    from sixfold.state_folder import state_folder

    try:
        return make_state(policy, state_folder())
    except ValueError as problem:
        raise PolicyError(Problem(str(problem))) from problem


def sources(policy: Policy) -> list[Path]:
    """Return the files a policy was made from, to be watched."""
    table = policy.document.gateway
    named = [table.openapi] if isinstance(table.openapi, str) else table.openapi or []
    keys = [one.jwks for one in policy.document.authentication.issuers if one.jwks and ":" not in one.jwks]
    return [Path(policy.file), *(Path(policy.folder, name) for name in [*named, *keys])]
