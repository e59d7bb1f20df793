"""`acting_as`: a caller who is merely supposed, for the tests of an application (API-07).

It replaces authentication alone; every other layer runs. Only code can reach it, no configuration can.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from sixfold.engine import Engine
from sixfold.identity import Identity
from sixfold.policy.document import As
from sixfold.rehearsal import Supposed, identity_of

current: Final[ContextVar[Identity | None]] = ContextVar("sixfold_acting_as", default=None)


@contextmanager
def acting_as(
    subject: str,
    *,
    scopes: str | Iterable[str] = (),
    roles: Iterable[str] = (),
    tenant: str = "",
    client_id: str = "test",
    claims: Mapping[str, Any] | None = None,
) -> Iterator[Identity]:
    """Let every request made in this block come from a known caller.

    It holds for requests that are made in the block's own context: a test client in this process, not a server in
    another one.

    Arguments:
        subject: who calls; not empty.
        scopes: blank-separated text, or names.
        roles: names, as `[authorization] roles` knows them.
        tenant: of the caller.
        client_id: the application that calls.
        claims: further claims of the imagined token.

    Raises:
        ValueError: no subject.
    """
    if not subject:
        raise ValueError("`acting_as` needs a subject; leave the block out for an anonymous call")
    names = scopes if isinstance(scopes, str) else list(scopes)
    caller = As(
        subject=subject, client_id=client_id, scopes=names, roles=list(roles), tenant=tenant, claims=dict(claims or {})
    )
    identity = identity_of(caller)
    token = current.set(identity)
    try:
        yield identity
    finally:
        current.reset(token)


def supposing(engine: Engine, identity: Identity) -> Engine:
    """Return an engine that shares every layer of another one but knows its caller already."""
    twin = copy.copy(engine)
    twin.authentication = Supposed(identity)  # type: ignore[assignment]
    return twin
