"""`WWW-Authenticate` (RFC 6750 section 3, RFC 9728 section 5.1) and the protected resource metadata (RFC 9728).

Headers are built when the policy is loaded; a refusal only picks one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import orjson

from sixfold.decision import CODES, Headers
from sixfold.policy.model import Operation, Policy

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 appendix A.4
_LOOPBACK: Final = frozenset(("localhost", "127.0.0.1", "::1"))


class Challenge(NamedTuple):
    """The headers of every 400 and 401 that one set of scopes can lead to.

    Arguments:
        bare: no credential was sent, so nothing is said to be wrong (RS-18).
        errors: by refusal code; a bad token is `invalid_token` (RS-19), two credentials are `invalid_request`.
    """

    bare: Headers
    errors: Mapping[str, Headers]


class Challenger:
    """Builds the challenges of a policy; operations that need the same scopes share one.

    Arguments:
        resource: the API's own URL, or None.
        tokens: bearer tokens are accepted.
        key_header: header of API keys, or "" if there are none.
    """

    def __init__(self, resource: str | None, *, tokens: bool, key_header: str) -> None:
        self._metadata = f'resource_metadata="{metadata_url(resource)}"' if resource else ""
        self._tokens = tokens or not key_header
        self._key = (
            ((b"www-authenticate", f'ApiKey realm="api", header="{key_header}"'.encode()),)
            if key_header
            else ()
        )
        self._made: dict[str, Challenge] = {}

    def challenge(self, operation: Operation) -> Challenge:
        """Return the challenge of an operation."""
        scope = " ".join(sorted(_scopes(operation)))
        made = self._made.get(scope)
        if made is None:
            made = self._made[scope] = self._build(scope)
        return made

    def _build(self, scope: str) -> Challenge:
        bare = self._bearer(scope=scope) + self._key
        errors: dict[str, Headers] = {}
        for code, row in CODES.items():
            if row.layer != "authentication":
                continue
            if code == "credentials-missing" or code.startswith("api-key-"):
                errors[code] = bare
            elif code == "credentials-ambiguous":
                errors[code] = self._bearer(error="invalid_request", error_description=row.title) + self._key
            elif row.status == 401:
                errors[code] = (
                    self._bearer(error="invalid_token", error_description=row.title, scope=scope) + self._key
                )
            else:
                errors[code] = ((b"retry-after", b"5"),)
        return Challenge(bare, errors)

    def _bearer(self, **parameters: str) -> Headers:
        if not self._tokens:
            return ()
        parts = ['realm="api"', *(f'{name}="{value}"' for name, value in parameters.items() if value)]
        if self._metadata:
            parts.append(self._metadata)
        return ((b"www-authenticate", ("Bearer " + ", ".join(parts)).encode("ascii")),)


def _scopes(operation: Operation) -> Iterable[str]:
    """Return what the first alternative of `require` asks for; roles (`@name`) cannot be asked of an issuer."""
    names: Iterable[str] = operation.require[0] if operation.require else ()
    return (name for name in names if not name.startswith("@") and _SCOPE.fullmatch(name))


def check_resource(resource: str) -> str:
    """Return what is wrong with a resource identifier (RFC 9728 section 1.2), or ""."""
    url = urlsplit(resource)
    if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _LOOPBACK):
        return "a resource is an https URL (http on loopback only)"
    if (
        not url.hostname
        or "@" in url.netloc
        or url.query
        or url.fragment
        or "?" in resource
        or "#" in resource
    ):
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
    if scopes := sorted(name for name in names if not name.startswith("@") and _SCOPE.fullmatch(name)):
        document["scopes_supported"] = scopes
    document["bearer_methods_supported"] = ["header"]
    return _metadata_path(urlsplit(authentication.resource).path), orjson.dumps(document)
