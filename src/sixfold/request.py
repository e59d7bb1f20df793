"""The canonical request: the only place where input is cleaned.

Every face hands in what it received (method, target, header fields, peer); one `Canonicaliser` turns that into a
`Request` that cannot be read in two ways, or into a `Refusal`. What is matched later is what is forwarded: `target`
holds the exact bytes, `path` their one decoding.
Rules PATH-*, HDR-04, H1-13, H1-14; RFC 3986, RFC 9110 sections 4 and 5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sixfold.decision import Refusal, Rule
from sixfold.forwarded import FOR, PROTO, Trust, rightmost
from sixfold.target import Malformed, canonical_path, canonical_query, query_pairs

Pair = tuple[bytes, bytes]

METHODS: Final[Mapping[bytes, str]] = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")
}
# A second copy of one of these could be read by the next hop instead of the first.
SINGLE: Final = frozenset(
    (
        b"authorization", b"content-length", b"content-type", b"dpop", b"expect", b"host", b"origin",
        b"proxy-authorization", b"transfer-encoding", b"x-api-key",
    )
)  # fmt: skip
# Who may be believed about the address of the caller is decided here, so these never pass as the client sent them.
FORWARDING: Final = frozenset(
    (
        b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port",
        b"x-forwarded-server", b"x-forwarded-prefix", b"x-forwarded-client-cert", b"x-forwarded-ssl",
        b"x-forwarded-scheme", b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded", b"x-real-ip", b"x-client-ip",
        b"x-client-cert", b"x-cluster-client-ip", b"x-original-url", b"x-original-forwarded-for", b"x-rewrite-url",
        b"true-client-ip", b"cf-connecting-ip", b"fastly-client-ip", b"front-end-https", b"x-envoy-external-address",
    )
)  # fmt: skip

# The common target, accepted in one match: no percent sign, no `;`, no empty or dot segment.
_SIMPLE: Final = re.compile(
    rb"(/(?:(?!\.{1,2}(?:[/?]|\Z))[A-Za-z0-9\-._~!$&'()*+,=:@]+(?:/|(?=[?])|\Z))*)"
    rb"(?:\?([A-Za-z0-9\-._~!$'()*,:@/?=&\[\]{}|^]*))?"
)
_HOST: Final = re.compile(
    rb"(?:[A-Za-z0-9](?:[A-Za-z0-9\-_]{0,62})(?:\.[A-Za-z0-9\-_]{1,63}){0,20}\.?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
)
_MAX_HOPS: Final = 100
_MAX_HOSTS: Final = 256


def encode(pairs: Iterable[Pair]) -> bytes:
    """Return header lines."""
    return b"".join([b"%b: %b\r\n" % pair for pair in pairs])


class Fields:
    """A header section: names in lower case, as received and in order. Immutable, so that requests may share one.

    Arguments:
        pairs: (name, value), values without surrounding blanks.

    Raises:
        Malformed: a header that must be single came twice (H1-02, H1-13).
    """

    __slots__ = ("first", "memo", "pairs")

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.pairs: tuple[Pair, ...] = tuple(pairs)
        self.first: Mapping[bytes, bytes] = dict(reversed(self.pairs))
        if len(self.first) != len(self.pairs):
            names = [name for name, _ in self.pairs]
            for name in SINGLE:
                if names.count(name) > 1:
                    raise Malformed("ambiguous-header", f"`{name.decode('latin-1')}` was sent twice")
        self.memo: dict[str, Any] = {}  # what layers and faces derive once from a header section

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a header (name in lower case), or None."""
        return self.first.get(name)

    def all(self, name: bytes) -> list[bytes]:
        """Return all values of a header, in order."""
        return [value for key, value in self.pairs if key == name]


class Peer:
    """Who is at the other end of the connection. One per connection.

    Arguments:
        address: IP address of the socket, without zone or port; "" for a Unix socket.
        tls: the connection is encrypted by us (or by the server that runs the middleware).
    """

    __slots__ = ("address", "memo", "tls")

    def __init__(self, address: str, *, tls: bool = False) -> None:
        self.address = address
        self.tls = tls
        self.memo: dict[str, Any] = {}


class Request:
    """The canonical request. Immutable by agreement: layers read it, nobody writes it.

    Arguments:
        method: upper case, one of `METHODS`.
        target: path and query exactly as they will be forwarded.
        path: the decoded path; no dot segments, no empty ones, NFC.
        query: the query part of `target`, without `?`.
        fields: header section.
        peer: the connection.
        address: of the client, as far as it can be believed.
        scheme: "https" or "http", as the client sees it.
        host: lower case, with port if one was sent.
        length: declared body length in bytes; None for chunked; 0 for no body.
        now: microseconds since the epoch, the request's one clock read.
    """

    __slots__ = (
        "_pairs", "address", "fields", "host", "length", "method", "now", "path", "peer", "query", "scheme", "target",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        target: bytes,
        path: str,
        query: bytes,
        fields: Fields,
        peer: Peer,
        address: str,
        scheme: str,
        host: str,
        length: int | None,
        now: int,
    ) -> None:
        self.method = method
        self.target = target
        self.path = path
        self.query = query
        self.fields = fields
        self.peer = peer
        self.address = address
        self.scheme = scheme
        self.host = host
        self.length = length
        self.now = now
        self._pairs: tuple[tuple[str, str], ...] | None = None

    @property
    def query_pairs(self) -> tuple[tuple[str, str], ...]:
        """The decoded query, in order, by the one rule: `&` separates, `+` is a blank, percent-decoded once."""
        if self._pairs is None:
            self._pairs = query_pairs(self.query)
        return self._pairs


class Canonicaliser:
    """Cleans requests by the policy's gateway table. One per policy.

    Arguments:
        trusted: `trusted_proxies` as `trust` compiled it.
        header: which header of a trusted proxy counts.
        max_target: bytes.
        max_headers: number of header fields.
        max_header: bytes of one field's value.
        rule: where limits stand, for refusals.
    """

    def __init__(
        self,
        *,
        trusted: Trust | int = 0,
        header: str = "x-forwarded-for",
        max_target: int = 8192,
        max_headers: int = 100,
        max_header: int = 8192,
        rule: Rule = Rule("gateway"),  # noqa: B008 (immutable)
    ) -> None:
        self._trusted = trusted
        self._header = header.encode()
        self._max_target = max_target
        self._max_headers = max_headers
        self._max_header = max_header
        self._rule = rule
        self._hosts: dict[bytes, str] = {}  # values of `Host` that were read before

    def fields(self, pairs: list[Pair], *, size: int = 0, underscores: bool = True) -> Fields | Refusal:
        """Check a header section against the size limits and for doubled headers (SLOW-06, H1-02, H1-13).

        Names arrive in lower case, grammar already checked. A name with `_` is dropped: WSGI servers cannot tell it
        from the one with `-`, so it could stand in for a header that we set (HDR-05).

        Arguments:
            pairs: names and values, in order.
            size: bytes of the whole section where the face knows it; no field can be larger.
            underscores: whether a name may hold `_`; a face that has seen all names may know that none does.
        """
        if len(pairs) > self._max_headers:
            return self._refuse("headers-too-large", f"{len(pairs)} header fields; {self._max_headers} are allowed")
        if not 0 < size <= self._max_header:
            for name, value in pairs:
                if len(value) > self._max_header or len(name) > 256:
                    return self._refuse("headers-too-large", f"one field is larger than {self._max_header} bytes")
        try:
            return Fields([pair for pair in pairs if b"_" not in pair[0]] if underscores else pairs)
        except Malformed as problem:
            return self._refuse(problem.code, problem.reason)

    def request(
        self, method: bytes, target: bytes, fields: Fields, peer: Peer, now: int, length: int | None = 0
    ) -> Request | Refusal:
        """Return the canonical request, or the refusal.

        Arguments:
            method, target: as received.
            length: body length as the framing declares it; None for chunked.
            now: microseconds since the epoch.
        """
        verb = METHODS.get(method)
        if verb is None:
            return self._method(method)
        if len(target) > self._max_target:
            return self._refuse("target-too-long", f"{len(target)} bytes; {self._max_target} are allowed")
        try:
            match = _SIMPLE.fullmatch(target)
            if match is not None:
                raw_path, query = match.groups(b"")
                path = raw_path.decode("ascii")
            else:
                target, path, query = self._slow_target(target, fields)
            memo = fields.memo.get("client")
            if memo is None or memo[0] is not peer:
                memo = (peer, *self._client(fields, peer), self._host(fields))
                fields.memo["client"] = memo
        except Malformed as problem:
            return self._refuse(problem.code, problem.reason)
        return Request(verb, target, path, query, fields, peer, memo[1], memo[2], memo[3], length, now)

    def _slow_target(self, target: bytes, fields: Fields) -> tuple[bytes, str, bytes]:
        lowered = target[:8].lower()
        if lowered.startswith((b"http://", b"https://")):  # absolute-form, RFC 9112 section 3.2.2
            authority, slash, rest = target.partition(b"://")[2].partition(b"/")
            if authority.lower() != (fields.get(b"host") or b"").lower():
                raise Malformed("malformed-target", "the absolute target names another host than `Host`")
            target = slash + rest or b"/"
        raw_path, mark, raw_query = target.partition(b"?")
        encoded, path = canonical_path(raw_path)
        query = canonical_query(raw_query) if mark else b""
        return (encoded + b"?" + query if query else encoded), path, query

    def _method(self, method: bytes) -> Refusal:
        if method in (b"TRACE", b"CONNECT"):
            return self._refuse("method-not-allowed", "TRACE and CONNECT are never served", headers=((b"allow", b""),))
        return self._refuse("method-not-implemented", "a method that Sixfold does not know")

    def _host(self, fields: Fields) -> str:
        value = fields.first.get(b"host")
        if value is None:
            return ""
        host = self._hosts.get(value)
        if host is None:
            host = read_host(value)
            if len(self._hosts) < _MAX_HOSTS:
                self._hosts[value] = host
        return host

    def _client(self, fields: Fields, peer: Peer) -> tuple[str, str]:
        """Return address and scheme: of the socket, or what a trusted proxy says (HDR-04, UX-01)."""
        scheme = "https" if peer.tls else "http"
        trusted = self._trusted
        if trusted == 0 or (callable(trusted) and not trusted(peer.address)):
            return peer.address, scheme
        lines = fields.all(self._header)
        hops: list[str] = [hop for line in lines for hop in line.decode("latin-1").split(",")]
        if len(hops) > _MAX_HOPS:
            raise Malformed("ambiguous-header", f"more than {_MAX_HOPS} forwarding hops")
        if self._header == b"forwarded":
            found = [FOR.search(hop) for hop in hops]
            proto = PROTO.search(hops[-1]) if hops else None
            hops = [match[2] if match else "unknown" for match in found]
            scheme = proto[1].lower() if proto else scheme
        else:
            said = fields.all(b"x-forwarded-proto")
            proto_text = said[-1].rpartition(b",")[2].strip().lower() if said else b""
            scheme = proto_text.decode() if proto_text in (b"http", b"https") else scheme
        return rightmost(hops, peer.address, trusted), scheme

    def _refuse(self, code: str, reason: str, headers: tuple[Pair, ...] = ()) -> Refusal:
        return Refusal(code, self._rule, reason=reason, headers=headers, remedy=_REMEDIES.get(code, ""))


_REMEDIES: Final = {
    "malformed-target": "send the path in its plain form: one slash between segments, no dot segments, UTF-8",
    "target-too-long": "shorten the URL, or raise `[gateway] max_target`",
    "headers-too-large": "send fewer or smaller headers, or raise `[gateway] max_header`, `max_headers`",
    "ambiguous-header": "send the header once",
    "malformed-request": "send `Host` as one name or address, with a port at most",
    "method-not-allowed": "use a method that the path declares",
    "method-not-implemented": "use one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY",
}


def read_host(host: bytes) -> str:
    """Return a `Host` value in lower case (H1-13).

    Raises:
        Malformed: not one host name or address with an optional port.
    """
    if _HOST.fullmatch(host) is None:
        raise Malformed("malformed-request", "`Host` is not one host name or address with an optional port")
    return host.decode("ascii").lower()
