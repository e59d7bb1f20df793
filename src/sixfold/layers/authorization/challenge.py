"""The `WWW-Authenticate` header of a 403: which scope would do (RFC 6750 section 3.1, RS-20)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from sixfold.decision import Headers

_SCOPE_TOKEN: Final = re.compile(r"[!#-\[\]-~]+", re.ASCII)  # RFC 6749 section 3.3
_WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"


def insufficient_scope(names: Iterable[str], resource: str | None) -> Headers:
    """Return the header for a caller whose token does not reach.

    Arguments:
        names: what is required; roles (`@name`) are no scopes, so they are left out.
        resource: the API's own URL, or None.
    """
    parts = ['error="insufficient_scope"']
    scopes = [name for name in sorted(names) if name[0] != "@" and _SCOPE_TOKEN.fullmatch(name)]
    if scopes:
        parts.append(f'scope="{" ".join(scopes)}"')
    if resource is not None:
        parts.append(f'resource_metadata="{metadata_url(resource)}"')
    return ((b"www-authenticate", f"Bearer {', '.join(parts)}".encode()),)


def metadata_url(resource: str) -> str:
    """Return where a resource's metadata stands: a well-known path before its own (RFC 9728 section 3.1)."""
    scheme, host, path, query, _ = urlsplit(resource)
    return urlunsplit((scheme, host, _WELL_KNOWN + ("" if path == "/" else path), query, ""))
