"""Sixfold: one policy, six layers, for an HTTP API.

The names most people need live in the faces: `sixfold.middleware.fastapi`, and on the command line `sixfold protect`.
Here stands what tests need: `sixfold.acting_as`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sixfold.identity import Identity

__version__ = "0.1.0"


def acting_as(
    subject: str,
    *,
    scopes: str | Iterable[str] = (),
    roles: Iterable[str] = (),
    tenant: str = "",
    client_id: str = "test",
    claims: Mapping[str, Any] | None = None,
) -> AbstractContextManager[Identity]:
    """Let every request made in a `with` block come from a known caller, for the tests of an application.

    Arguments as in `sixfold.middleware.acting.acting_as`. Authentication alone is replaced; no configuration can do it.
    """
    from sixfold.middleware import acting

    return acting.acting_as(subject, scopes=scopes, roles=roles, tenant=tenant, client_id=client_id, claims=claims)
