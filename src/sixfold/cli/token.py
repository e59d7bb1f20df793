"""`sixfold token`."""

from __future__ import annotations

import time
from pathlib import Path

from sixfold.cli.talk import USAGE, Stop, show
from sixfold.state_folder import state_folder


def token(
    *,
    scope: list[str] | None = None,
    role: list[str] | None = None,
    subject: str = "dev",
    tenant: str = "",
    lifetime: int = 3600,
    audience: str | None = None,
    config: Path | None = None,
) -> int:
    """Print a developer token; only `issuer = "dev"` accepts it, and that is for loopback.

    Parameters
    ----------
    scope: list[str]
        Scopes, e.g. `--scope orders:read --scope orders:write`.
    role: list[str]
        Roles.
    subject: str
        Whom the token is for.
    tenant: str
        Tenant claim.
    lifetime: int
        Seconds, at most a day.
    audience: str
        Default: the audience of --config, else the developers' own.
    config: Path
        Policy file to take the audience from.
    """
    from sixfold.layers.authentication.dev import DevKeys
    from sixfold.layers.authentication.rules import DEV_AUDIENCE

    if not 0 < lifetime <= 86_400:
        raise Stop("--lifetime is between 1 and 86400 seconds", USAGE)
    if audience is None and config is not None:
        from sixfold.cli.policies import read

        said = read(config).document.authentication.audience
        audience = said if isinstance(said, str) else said[0] if said else None
    keys = DevKeys.load_or_create(state_folder() / "dev")
    scopes = [name for given in scope or () for name in given.split()]
    show(
        keys.mint(
            subject,
            scopes=scopes,
            roles=role or (),
            audience=audience or DEV_AUDIENCE,
            lifetime=lifetime,
            now=time.time_ns() // 1000,
            claims={"tenant": tenant} if tenant else None,
        )
    )
    return 0
