"""Finding and reading the policy file, for the commands that need one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sixfold.cli.talk import INVALID, Stop

if TYPE_CHECKING:
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
            "no sixfold.toml in this folder; name one with --config, or start with `sixfold protect URL --save sixfold.toml`",
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


def sources(policy: Policy) -> list[Path]:
    """Return the files a policy was made from, to be watched."""
    table = policy.document.gateway
    named = [table.openapi] if isinstance(table.openapi, str) else table.openapi or []
    keys = [Path(policy.folder, one.jwks) for one in policy.document.authentication.issuers if one.jwks and ":" not in one.jwks]
    return [Path(policy.file), *(Path(policy.folder, name) for name in named), *keys]
