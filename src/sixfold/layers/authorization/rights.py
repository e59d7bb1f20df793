"""What a caller has: permissions by role, by scope, or by both, as `[authorization] combine` says."""

from __future__ import annotations

from typing import Literal

from sixfold.identity import Identity
from sixfold.layers.authorization.roles import Grants, Role, join
from sixfold.policy.model import Policy


class Rights:
    """Decides whether a caller has a permission or a role.

    Arguments:
        policy: the compiled policy.
        roles: as `expand` returns them.

    `narrow` (RFC 6749 section 3.3, from the user's side): a scope limits what the client may do with the rights
    of the user, so both must allow. A token without any scope that this policy knows (`openid profile`) limits
    nothing. A caller without roles that this policy knows, like a service, has what its scopes say.
    """

    def __init__(self, policy: Policy, roles: dict[str, Role]) -> None:
        self._roles = roles
        self._combine: Literal["narrow", "union"] = policy.document.authorization.combine
        required = (name for operation in policy.operations for names in operation.require for name in names)
        granted = join(role.grants for role in roles.values())
        # `*` names no permission; with it, every scope of every API would count as one of ours.
        prefixes = tuple(prefix for prefix in granted.prefixes if prefix)
        self._known = Grants(granted.names.union(name for name in required if name[0] != "@"), prefixes)

    def roles(self, identity: Identity) -> frozenset[str]:
        """Return the roles of a caller and all they inherit, as far as the policy knows them."""
        held = identity.roles & self._roles.keys()
        return frozenset[str]().union(*(self._roles[name].implied for name in held))

    def missing(self, identity: Identity, names: frozenset[str]) -> list[str]:
        """Return which of the required names a caller lacks, sorted."""
        roles = self.roles(identity)
        grants = join(self._roles[name].grants for name in roles)
        return sorted(name for name in names if not self._has(identity, roles, grants, name))

    def _has(self, identity: Identity, roles: frozenset[str], grants: Grants, name: str) -> bool:
        if name[0] == "@":
            return name[1:] in roles
        by_scope = name in identity.scopes  # in full: a wildcard in a token is a name like any other
        if self._combine == "union":
            return by_scope or grants.allow(name)
        if not roles:
            return by_scope
        narrowed = any(self._known.allow(scope) for scope in identity.scopes)
        return grants.allow(name) and (by_scope or not narrowed)
