"""Roles: each a list of permissions and of roles it inherits, expanded once at load (M5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from sixfold.policy.model import Policy


class Grants(NamedTuple):
    """A set of permissions, some of them by wildcard.

    Arguments:
        names: permissions in full.
        prefixes: of wildcards: `orders:*` grants all that starts with `orders:`; `*` is the empty prefix.
    """

    names: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()

    def allow(self, name: str) -> bool:
        """Return whether a permission is granted."""
        return name in self.names or name.startswith(self.prefixes)


class Role(NamedTuple):
    """A role, expanded.

    Arguments:
        implied: the role itself and all it inherits.
        grants: of all of them together.
    """

    implied: frozenset[str]
    grants: Grants


def expand(policy: Policy) -> dict[str, Role]:
    """Return all roles of the policy, expanded.

    Raises:
        ValueError: an unknown or circular inheritance, or a wildcard in the wrong place; with file and line.
    """
    written = policy.document.authorization.roles
    implied: dict[str, frozenset[str]] = {}
    for name in written:
        _imply(policy, written, name, (), implied)
    own = {name: _grants(policy, name, written[name]) for name in written}
    return {name: Role(roles, join(own[role] for role in roles)) for name, roles in implied.items()}


def join(grants: Iterable[Grants]) -> Grants:
    """Return what several sets of permissions grant together."""
    grants = tuple(grants)
    names = frozenset[str]().union(*(grant.names for grant in grants))
    return Grants(names, tuple(sorted({prefix for grant in grants for prefix in grant.prefixes})))


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name."""
    known = tuple(known)
    close = get_close_matches(name, known, n=1)
    return f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known) or 'none'}"


def _imply(
    policy: Policy,
    written: Mapping[str, list[str]],
    name: str,
    path: tuple[str, ...],
    done: dict[str, frozenset[str]],
) -> frozenset[str]:
    """Return a role and all it inherits; `path` leads here from the role that was asked for."""
    if name in done:
        return done[name]
    rule = policy.rule(f"authorization.roles.{path[-1] if path else name}")
    if name not in written:
        raise ValueError(f"{rule}: inherits `@{name}`, which is no role; {suggest(name, written)}")
    if name in path:
        circle = " → ".join((*path[path.index(name) :], name))
        raise ValueError(f"{rule}: roles inherit each other in a circle: {circle}; remove one of them")
    roles = frozenset((name,))
    for grant in written[name]:
        if grant.startswith("@"):
            roles |= _imply(policy, written, grant[1:], (*path, name), done)
    done[name] = roles
    return roles


def _grants(policy: Policy, role: str, written: list[str]) -> Grants:
    permissions = [grant for grant in written if not grant.startswith("@")]
    for grant in permissions:
        if "*" in grant and not is_wildcard(grant):
            rule = policy.rule(f"authorization.roles.{role}")
            raise ValueError(
                f"{rule}: `{grant}`: a `*` stands alone or at the end after `:`, `.` or `/`, like `orders:*`"
            )
    return Grants(
        frozenset(grant for grant in permissions if "*" not in grant),
        tuple(sorted(grant[:-1] for grant in permissions if "*" in grant)),
    )


def is_wildcard(grant: str) -> bool:
    """Return whether a grant is `*`, or ends in `:*`, `.*` or `/*`."""
    return grant == "*" or (grant.count("*") == 1 and grant.endswith((":*", ".*", "/*")))
