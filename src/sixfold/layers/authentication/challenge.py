"""`WWW-Authenticate` (RFC 6750 section 3) and the protected resource metadata (RFC 9728).

Headers are built when the policy is loaded; a refusal only picks one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

import orjson

from sixfold.decision import CODES, Headers
from sixfold.policy.model import Operation, Policy

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 appendix A.4
_RETRY: Final = b"5"  # seconds; see `key_ring.IMPATIENCE`
_LOOPBACK: Final = frozenset(("localhost", "127.0.0.1", "::1"))


class Challenger:
    """Builds the headers of refusals; operations that need the same scopes share them.

    Arguments:
        resource: the API's own URL, or None.
        tokens: bearer tokens are accepted.
        key_header: header of API keys, or "" if there are none.
    """

    def __init__(self, resource: str | None, *, tokens: bool, key_header: str) -> None:
        self._metadata = f', resource_metadata="{metadata_url(resource)}"' if resource else ""
        self._tokens = tokens or not key_header
        # No scheme is registered for API keys, yet a 401 needs a challenge (RFC 9110 section 15.5.2).
        self._keys = _header(f'ApiKey realm="api", header="{key_header}"') if key_header else ()
        self._made: dict[str, Mapping[str, Headers]] = {}

    def challenge(self, operation: Operation) -> Mapping[str, Headers]:
        """Return the headers of each refusal of this layer, by code."""
        scope = " ".join(sorted(_scopes(operation)))
        if scope not in self._made:
            codes = (code for code, row in CODES.items() if row.layer == "authentication")
            self._made[scope] = {code: self._headers(code, scope) for code in codes}
        return self._made[scope]

    def _headers(self, code: str, scope: str) -> Headers:
        row = CODES[code]
        if row.status == 503:
            return ((b"retry-after", _RETRY),)
        error = "invalid_token"  # RS-19
        if code == "credentials-missing" or code.startswith("api-key-"):
            error = ""  # no token was sent, so nothing is said to be wrong with it (RS-18)
        elif code == "credentials-ambiguous":
            error, scope = "invalid_request", ""
        described = row.title if error else ""
        return self._bearer(error=error, error_description=described, scope=scope) + self._keys

    def _bearer(self, **parameters: str) -> Headers:
        if not self._tokens:
            return ()
        said = "".join(f', {name}="{value}"' for name, value in parameters.items() if value)
        return _header(f'Bearer realm="api"{said}{self._metadata}')


def _header(challenge: str) -> Headers:
    return ((b"www-authenticate", challenge.encode("ascii")),)


def _scopes(operation: Operation) -> Iterable[str]:
    """Return the scopes of the first alternative of `require`; a role (`@name`) cannot be asked for."""
    names: Iterable[str] = operation.require[0] if operation.require else ()
    return (name for name in names if _is_scope(name))


def _is_scope(name: str) -> bool:
    return not name.startswith("@") and _SCOPE.fullmatch(name) is not None


def check_resource(resource: str) -> str:
    """Return what is wrong with a resource identifier (RFC 9728 section 1.2), or ""."""
    try:
        url = urlsplit(resource)
    except ValueError:
        return "a resource is a URL"
    if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
        return "a resource is an https URL (http on loopback only)"
    if not url.hostname or "@" in url.netloc or url.query or url.fragment or "?" in resource or "#" in resource:
        return "a resource has a host and a path, no user, query or fragment"
    if re.fullmatch(r"[!-~]+", resource) is None or '"' in resource or "\\" in resource:
        return "a resource holds printable ASCII only"
    return ""


def metadata_url(resource: str) -> str:
    """Return where the metadata of a resource stands: between host and path (RFC 9728 section 3; PRM-02)."""
    url = urlsplit(resource)
    return f"{url.scheme}://{url.netloc}{_metadata_path(url.path)}"


def _metadata_path(path: str) -> str:
    return WELL_KNOWN + ("" if path == "/" else path)


def resource_metadata(policy: Policy) -> tuple[str, bytes] | None:
    """Return path and JSON of the protected resource metadata (RFC 9728 section 2), or None without a `resource`.

    `resource` is the configured text, character by character: clients compare it with the URL they asked (PRM-01).
    """
    authentication = policy.document.authentication
    if authentication.resource is None:
        return None
    document: dict[str, object] = {"resource": authentication.resource}
    if servers := [issuer.issuer for issuer in authentication.issuers]:
        document["authorization_servers"] = servers
    names = {name for operation in policy.operations for names in operation.require for name in names}
    if scopes := sorted(filter(_is_scope, names)):
        document["scopes_supported"] = scopes
    document["bearer_methods_supported"] = ["header"]
    return _metadata_path(urlsplit(authentication.resource).path), orjson.dumps(document)
