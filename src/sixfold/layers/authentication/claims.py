"""Claim mapping: where an issuer keeps scopes, roles, tenant, client and subject, compiled to functions.

Each provider has its own places (`realm_access.roles`, `cognito:groups`, `scp`); the policy names them once,
and from then on all layers see one `Identity`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from sixfold.identity import Identity
from sixfold.policy.document import ClaimMapping

Claims = dict[str, Any]
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAX_NAME: Final = 512


class BadClaim(ValueError):
    """A claim that is missing or of the wrong type: path and type only, never its value."""


def mapper(mapping: ClaimMapping) -> Callable[[Claims, str, int], Identity]:
    """Compile a mapping.

    Returns:
        A function of (claims, issuer, expires in microseconds) to Identity, which raises `BadClaim`.
    """
    scopes, roles = _finder(mapping.scopes), _finder(mapping.roles)
    tenant, client = _finder(mapping.tenant), _finder(mapping.client_id)
    subject = _finder(mapping.subject)

    def identity(claims: Claims, issuer: str, expires: int) -> Identity:
        return Identity(
            _required(*subject(claims)),
            issuer=issuer,
            client_id=_text(*client(claims)),
            scopes=_names(*scopes(claims), split=True),
            roles=_names(*roles(claims), split=False),
            tenant=_text(*tenant(claims)),
            claims=_frozen(claims),
            expires=expires,
        )

    return identity


def _finder(paths: str | list[str]) -> Callable[[Claims], tuple[str, Any]]:
    """Return a function that finds (path, value) of the first path there is, else (first path, None)."""
    chosen = (paths,) if isinstance(paths, str) else tuple(paths)

    def find(claims: Claims) -> tuple[str, Any]:
        for path in chosen:
            value = claims.get(path)
            if value is None and "." in path:
                value = walk(claims, path)
            if value is not None:
                return path, value
        return (chosen[0] if chosen else "", None)

    return find


def walk(value: Any, path: str) -> Any:
    """Follow a dotted path into objects. The longest name wins: `https://acme.example/roles` is one name."""
    if not isinstance(value, dict):
        return None
    cut = len(path)
    while cut > 0:
        inner = value.get(path[:cut])
        if inner is not None:
            if cut == len(path):
                return inner
            if (found := walk(inner, path[cut + 1 :])) is not None:
                return found
        cut = path.rfind(".", 0, cut)
    return None


def _names(path: str, value: Any, *, split: bool) -> frozenset[str]:
    """Read scopes (`split`: a string separates them by blanks, RFC 8693 section 4.2), or roles."""
    if value is None:
        return frozenset()
    if isinstance(value, str):
        return frozenset(value.split(" ") if split else (value,)) - {""}
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return frozenset(value) - {""}
    raise BadClaim(f"`{path}` is {kind(value)}; a string or a list of strings is expected")


def _text(path: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadClaim(f"`{path}` is {kind(value)}; a string is expected")
    if len(value) > _MAX_NAME or not (value.isprintable() or _CONTROL.search(value) is None):
        raise BadClaim(f"`{path}` is longer than {_MAX_NAME} characters or holds a control character")
    return value


def _required(path: str, value: Any) -> str:
    text = _text(path, value)
    if not text:
        raise BadClaim(f"`{path}` is missing or empty; it names the caller")
    return text


def _frozen(claims: Claims) -> Mapping[str, Any]:
    return MappingProxyType(claims)


def kind(value: Any) -> str:
    """Name the JSON type of a value, for messages that must not show it."""
    if value is None:
        return "null"
    return _KINDS.get(type(value), "of an unknown type")


_KINDS: Final = {
    bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "an array",
    dict: "an object",
}  # fmt: skip
