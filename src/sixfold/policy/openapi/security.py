"""The `security` of a document and its operations, as access and names that are required."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from sixfold.policy.openapi.facts import items
from sixfold.policy.openapi.files import File, Flaw


class Access(NamedTuple):
    """Who may call.

    Arguments:
        access: as in `model.Operation`.
        require: alternatives, each a set of names that must all be granted.
        schemes: the names of security schemes that were mentioned.
    """

    access: Literal["public", "authenticated", "require", "default"]
    require: tuple[frozenset[str], ...] = ()
    schemes: frozenset[str] = frozenset()


def access(file: File, security: Any) -> Access:
    """Read a list of Security Requirement Objects (OpenAPI 3.x section 4.8.30).

    Arguments:
        file: for messages.
        security: of the operation, or else of the document; None if neither has one: then no rule is known.
            An empty list, or an empty requirement among the alternatives, makes an operation public. A
            requirement without scopes asks for any signed-in caller.

    Raises:
        Flaw: it is not a list of objects.
    """
    if security is None:
        return Access("default")
    if not isinstance(security, list) or not all(isinstance(one, dict) for one in security):
        raise Flaw("`security` is a list of objects", file.name)
    schemes = frozenset(name for one in security for name in one)
    if not security or {} in security:
        return Access("public", (), schemes)
    alternatives = [frozenset(_scopes(file, one)) for one in security]
    if not all(alternatives):
        return Access("authenticated", (), schemes)
    return Access("require", tuple(dict.fromkeys(alternatives)), schemes)


def _scopes(file: File, requirement: dict[str, Any]) -> list[str]:
    scopes = [scope for one in requirement.values() for scope in items(one)]
    if not all(isinstance(scope, str) for scope in scopes) or not all(
        isinstance(one, list) for one in requirement.values()
    ):
        raise Flaw("a security requirement holds lists of scope names", file.name)
    return scopes
