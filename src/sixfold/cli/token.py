"""`sixfold token`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sixfold.cli.talk import INVALID, USAGE, Stop, say, show
from sixfold.state_folder import state_folder


def token(
    *,
    scope: Annotated[list[str] | None, Parameter(metavar="SCOPE")] = None,
    role: Annotated[list[str] | None, Parameter(metavar="ROLE")] = None,
    subject: Annotated[str, Parameter(metavar="NAME")] = "dev",
    tenant: Annotated[str, Parameter(metavar="NAME")] = "",
    lifetime: Annotated[int, Parameter(metavar="SECONDS")] = 3600,
    audience: Annotated[str | None, Parameter(metavar="NAME")] = None,
    config: Annotated[Path | None, Parameter(metavar="FILE")] = None,
) -> int:
    """Print a developer token for `protect` and `demo`.

    Only a policy with `issuer = "dev"` accepts it, and such a policy serves this machine only.

    Parameters
    ----------
    scope: list[str]
        What the caller may do, e.g. `--scope orders:read`; may be repeated.
    role: list[str]
        A role of the caller; may be repeated.
    subject: str
        Who the caller is.
    tenant: str
        The caller's tenant.
    lifetime: int
        Seconds until the token expires, at most a day.
    audience: str
        The API the token is for; default what the policy of --config says, else `sixfold-dev`.
    config: Path
        A policy file to take the audience from.
    """
    from sixfold.layers.authentication import DEV_AUDIENCE, DevKeys

    if not 0 < lifetime <= 86_400:
        raise Stop("--lifetime is between 1 and 86400 seconds", USAGE)
    if audience is None:
        audience = DEV_AUDIENCE if config is None else _audience(config) or DEV_AUDIENCE
    try:
        keys = DevKeys.load_or_create(state_folder() / "dev")
    except ValueError as problem:
        raise Stop(str(problem), INVALID) from None
    show(
        keys.mint(
            subject,
            scopes=[name for given in scope or () for name in given.split()],
            roles=role or (),
            audience=audience,
            lifetime=lifetime,
            now=time.time_ns() // 1000,
            claims={"tenant": tenant} if tenant else None,
        )
    )
    return 0


def _audience(config: Path) -> str | None:
    from sixfold.cli.policies import read

    policy = read(config)
    table = policy.document.authentication
    if table.issuer != "dev":
        say(f'note: {policy.rule("authentication")}: this policy takes no developer tokens; they need `issuer = "dev"`')
    return table.audience[0] if isinstance(table.audience, list) else table.audience
