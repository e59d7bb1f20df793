"""From an ASGI scope to the canonical request, and back to the scope that the application sees.

What was matched is what the application gets: path, raw path and query are written anew from the canonical request, so
its router cannot read them in another way.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote

from sixfold.decision import Refusal, Rule
from sixfold.engine import Engine
from sixfold.flow import Permit
from sixfold.layers.gateway.hygiene import METHOD_OVERRIDES, is_ours
from sixfold.request import FORWARDING, Canonicaliser, Fields, Pair, Peer, Request

Scope = dict[str, Any]
_SAFE: Final = "/-._~!$&'()*+,=:@"
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_NEVER_INWARD: Final = FORWARDING | METHOD_OVERRIDES | frozenset((b"proxy-authorization", b"proxy-connection"))
_FRAMING: Final = frozenset(
    (b"content-length", b"transfer-encoding", b"content-md5", b"digest", b"content-digest", b"repr-digest")
)
_RULE: Final = Rule("gateway")
_SECTIONS: Final = 256  # header sections kept; a section is as large as the server lets it be


@lru_cache(maxsize=1024)
def peer_of(address: str, tls: bool) -> Peer:
    """Return the other end of a connection; ASGI tells it with every request.

    `memo["local"]` says whether it is this machine: loopback, a Unix socket, or a test client in this process.
    """
    plain = address.partition("%")[0]
    peer = Peer(plain, tls=tls)
    try:
        parsed = ip_address(plain)
    except ValueError:
        peer.memo["local"] = True
    else:
        mapped = getattr(parsed, "ipv4_mapped", None)
        peer.memo["local"] = (mapped or parsed).is_loopback
    return peer


def read_peer(scope: Scope) -> Peer:
    """Return who is at the other end."""
    client = scope.get("client")
    return peer_of(client[0] if client else "", scope.get("scheme") in ("https", "wss"))


def declares_length(scope: Scope) -> bool:
    """Return whether the head tells if a body follows; in HTTP/2 and 3 a request without a length may have one."""
    if scope.get("http_version", "1.1").startswith("1"):
        return True
    return any(name.lower() == b"content-length" for name, _ in scope["headers"])


def read_request(scope: Scope, engine: Engine, peer: Peer, now: int, undeclared: int | None = 0) -> Request | Refusal:
    """Return the canonical request of an HTTP request or a WebSocket handshake, or the refusal.

    Arguments:
        scope: of the server.
        engine: whose canonicaliser reads it.
        peer: from `read_peer`.
        now: microseconds since the epoch.
        undeclared: the body's length where nothing declares it; None for unknown.
    """
    canonicaliser = engine.canonicaliser
    fields = read_fields(scope["headers"], canonicaliser)
    if isinstance(fields, Refusal):
        return fields
    length = _length(fields, undeclared)
    if isinstance(length, Refusal):
        return length
    target = _raw_path(scope)
    query = scope.get("query_string", b"")
    if query:
        target = target + b"?" + query
    method = scope["method"] if scope["type"] == "http" else "GET"
    return canonicaliser.request(method.encode("latin-1"), target, fields, peer, now, length)


_known: dict[tuple[Any, ...], tuple[Canonicaliser, Fields]] = {}


def read_fields(headers: Iterable[Any], canonicaliser: Canonicaliser) -> Fields | Refusal:
    """Return a header section, cleaned. Clients repeat theirs, so the last ones are kept with all that was derived."""
    key = tuple(headers)
    try:
        known = _known.get(key)
    except TypeError:  # a server that hands over lists
        key = tuple((name, value) for name, value in key)
        known = _known.get(key)
    if known is not None and known[0] is canonicaliser:
        return known[1]
    fields = canonicaliser.fields([(name.lower(), value) for name, value in key])
    if isinstance(fields, Fields):
        if len(_known) >= _SECTIONS:
            _known.clear()
        _known[key] = (canonicaliser, fields)
    return fields


def _length(fields: Fields, undeclared: int | None) -> int | Refusal | None:
    """Return the body's length as the framing declares it (RFC 9112 section 6.3)."""
    first = fields.first
    declared = first.get(b"content-length")
    if b"transfer-encoding" in first:
        return None if declared is None else _unframed("`Content-Length` beside `Transfer-Encoding`")
    if declared is None:
        return undeclared
    if not declared.isdigit() or len(declared) > 18:
        return _unframed("a `Content-Length` that is no number")
    return int(declared)


def _unframed(reason: str) -> Refusal:
    return Refusal("malformed-request", _RULE, reason=reason, remedy="frame the body in one way", close=True)


def _raw_path(scope: Scope) -> bytes:
    """Return the path as received, without the prefix under which the application is mounted."""
    path: str = scope["path"]
    root = _root(scope, path)
    raw: bytes = scope.get("raw_path") or quote(path, safe=_SAFE).encode()
    raw = raw.partition(b"?")[0]
    if not root:
        return raw
    prefix = quote(root, safe=_SAFE).encode()
    if not raw.startswith(prefix):  # a server that leaves the prefix out of the raw path
        raw = quote(path, safe=_SAFE).encode()
    return raw[len(prefix) :] or b"/"


def _root(scope: Scope, path: str) -> str:
    """Return the part of the path that belongs to the mount (as Starlette's own router reads it)."""
    root: str = scope.get("root_path", "")
    return root if root and (path == root or path.startswith(root + "/")) else ""


def inward(scope: Scope, permit: Permit) -> Scope:
    """Return the scope for the application: cleaned, with the permit in `scope["sixfold"]` and `request.state.sixfold`.

    `Authorization` stays: in its own process the application is trusted with it.
    """
    request = permit.request
    inner = dict(scope)
    inner["headers"] = _headers(permit)
    path, _, query = permit.target.partition(b"?")
    root = _root(scope, scope["path"])
    inner["path"] = root + request.path if root else request.path
    inner["raw_path"] = quote(root, safe=_SAFE).encode() + path if root else path
    inner["query_string"] = query
    if request.scheme != _SCHEMES.get(scope.get("scheme", "http")):
        inner["scheme"] = _told_scheme(scope["type"], request.scheme)
    if request.address != request.peer.address:  # as a trusted proxy told
        inner["client"] = (request.address, 0)
    inner["sixfold"] = permit
    inner["state"] = {**scope.get("state", {}), "sixfold": permit}
    return inner


def _told_scheme(kind: str, scheme: str) -> str:
    if kind == "websocket":
        return "wss" if scheme == "https" else "ws"
    return scheme


def _passes(name: bytes) -> bool:
    """Return whether a header may reach the application: identity and forwarding headers never do (HDR-05, HDR-07)."""
    return name not in _NEVER_INWARD and not is_ours(name)


def _headers(permit: Permit) -> list[Pair]:
    request = permit.request
    fields = request.fields
    passing = fields.memo.get("inward")
    if passing is None:
        passing = fields.memo["inward"] = tuple(pair for pair in fields.pairs if _passes(pair[0]))
    headers: list[Pair] = list(passing)
    edits = permit.door.request_edits
    if edits is not None:
        headers = edits.apply(headers, request, permit.identity)
    if permit.body is not None:
        headers = [pair for pair in headers if pair[0] not in _FRAMING]
        headers.append((b"content-length", b"%d" % len(permit.body)))
    return headers
