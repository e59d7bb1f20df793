"""The canonical request: what cannot be read in two ways, and what is refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixfold.decision import Refusal
from sixfold.forwarded import plain_address, trust
from sixfold.request import FORWARDING, SINGLE, Canonicaliser, Fields, Peer, Request
from sixfold.target import Malformed, canonical_path, canonical_query, query_pairs

NOW = 1_800_000_000_000_000
PEER = Peer("203.0.113.7")


def fields(*pairs: tuple[str, str], host: str = "api.example") -> Fields:
    return Fields([(b"host", host.encode()), *((name.encode(), text.encode()) for name, text in pairs)])


def clean(target: bytes, head: Fields | None = None, peer: Peer = PEER, **more: Any) -> Request | Refusal:
    return Canonicaliser(**more).request(b"GET", target, head or fields(), peer, NOW)


def accepted(target: bytes, **more: Any) -> Request:
    request = clean(target, **more)
    assert isinstance(request, Request), request
    return request


REJECTED = [
    "/a%2fb", "/a%2Fb", "/%2f", "/a%5cb", "/a\\b", "/%2e%2e/a", "/a/%2e%2e", "/a/%2E./b", "/a/.%2e", "/../a", "/a/..",
    "/a/../b", "/./a", "/a/./b", "/a/.", "/%2e/a", "//", "//a", "/a//b", "/a//", "/..;/a", "/a;b", "/a;x=1/b", "/a%3bb", "/;",
    "/%00", "/a%00b", "/a%09", "/a%0a", "/a%0d%0ab", "/a%1f", "/a%7f", "/a%c2%80", "/a%c2%9b31m", "/%252e", "/a%252fb", "/a%2541",
    "/%c0%ae%c0%ae/", "/%c0%af", "/%e0%80%af", "/%ff", "/%c3", "/%u002f", "/%", "/%4", "/%zz", "/%4g", "/a#b", "/#", "/a b", "a",
    "", "*", "/e%cc%81", "/%ef%bc%8f", "/a%ef%bc%8e%ef%bc%8e", "/%e2%80%a4", "/%ef%bc%bc", "/%ef%bc%85", "/%ef%bc%9b", "/a\"b",
    "/a<b", "/a|b", "/a{b}", "/a[b]", "/a^b", "/a`b", "http:/a", "ftp://api.example/a", "http://other.example/a",
    "http://api.example:81/a", "http://user@api.example/a", "//api.example/a", "/%ed%a0%80", "/%f4%90%80%80",
]  # fmt: skip


@pytest.mark.parametrize("target", REJECTED)
def test_paths_with_two_readings(target: str) -> None:
    """PATH-01: what another hop could read differently is refused."""
    refusal = clean(target.encode())
    assert isinstance(refusal, Refusal), refusal.path
    assert (refusal.code, refusal.status) == ("malformed-target", 400)
    assert not target or target not in refusal.reason + refusal.detail + refusal.remedy or target in ("a", "*")


@pytest.mark.parametrize(
    ("target", "forwarded", "path"),
    [
        ("/", "/", "/"),
        ("/a", "/a", "/a"),
        ("/a/", "/a/", "/a/"),
        ("/a/b.json", "/a/b.json", "/a/b.json"),
        ("/A", "/A", "/A"),
        ("/a.", "/a.", "/a."),
        ("/a..", "/a..", "/a.."),
        ("/...", "/...", "/..."),
        ("/.a/..b", "/.a/..b", "/.a/..b"),
        ("/%61", "/a", "/a"),
        ("/%7Ea", "/~a", "/~a"),
        ("/a%20b", "/a%20b", "/a b"),
        ("/a+b", "/a+b", "/a+b"),
        ("/%2B", "/+", "/+"),
        ("/%c3%a9", "/%C3%A9", "/é"),
        ("/%3F", "/%3F", "/?"),
        ("/%23", "/%23", "/#"),
        ("/100%25", "/100%25", "/100%"),
        ("/a:b@c!$&'()*,=", "/a:b@c!$&'()*,=", "/a:b@c!$&'()*,="),
        ("/%7Bid%7D", "/%7Bid%7D", "/{id}"),
        ("http://api.example/a?b=c", "/a?b=c", "/a"),
        ("HTTPS://API.example", "/", "/"),
    ],
)
def test_paths_with_one_reading(target: str, forwarded: str, path: str) -> None:
    """PATH-01: one documented outcome each: decoded once, and written again by one rule."""
    request = accepted(target.encode())
    assert request.target == forwarded.encode()
    assert request.path == path


@pytest.mark.parametrize(
    ("raw", "canonical", "pairs"),
    [
        ("", "", ()),
        ("a=b", "a=b", (("a", "b"),)),
        ("a", "a", (("a", ""),)),
        ("a=", "a=", (("a", ""),)),
        ("a=1&a=2", "a=1&a=2", (("a", "1"), ("a", "2"))),
        ("&&a=1&", "a=1", (("a", "1"),)),
        ("a=b+c", "a=b%20c", (("a", "b c"),)),
        ("a=%2b", "a=%2B", (("a", "+"),)),
        ("a=b=c", "a=b=c", (("a", "b=c"),)),
        ("a%26b=c%3Dd", "a%26b=c=d", (("a&b", "c=d"),)),
        ("f[x]=1", "f[x]=1", (("f[x]", "1"),)),
        ("a=%c3%a9", "a=%C3%A9", (("a", "é"),)),
        ("a=%3b", "a=%3B", (("a", ";"),)),
        ("a=%2541", "a=%2541", (("a", "%41"),)),
        ("=v", "=v", (("", "v"),)),
        ("a=//../x?y", "a=//../x?y", (("a", "//../x?y"),)),
    ],
)
def test_queries(raw: str, canonical: str, pairs: tuple[tuple[str, str], ...]) -> None:
    """PATH-01: the query has one decoding, and what is forwarded decodes to the same."""
    request = accepted(f"/a?{raw}".encode())
    assert request.query_pairs == pairs
    assert query_pairs(canonical_query(raw.encode())) == pairs
    assert canonical_query(raw.encode()) == canonical.encode()


@pytest.mark.parametrize(
    "raw", ["a;b", "a=1;b=2", "a=%", "a=%0", "a=%zz", "a=%00", "a=%0a", "a=%ff", "%00=1", 'a="', "a=<", "a=\\", "a=#b", "a=`", "a=%c2%9b"]
)  # fmt: skip
def test_queries_with_two_readings(raw: str) -> None:
    """PATH-01: `;`, broken escapes, control characters and bytes that are not UTF-8 are refused."""
    refusal = clean(f"/a?{raw}".encode())
    assert isinstance(refusal, Refusal)
    assert refusal.code == "malformed-target"


def test_a_form_may_hold_lines() -> None:
    """PATH-01: line ends belong into form values, not into names and not into a query."""
    assert query_pairs(b"a=b%0Ac", multiline=True) == (("a", "b\nc"),)
    with pytest.raises(Malformed):
        query_pairs(b"a%0A=b", multiline=True)


TARGETS = st.text(
    st.sampled_from("/ab.%2eEfF5cC;:@?&=+~!\\\x00é{}[]#0") | st.characters(codec="utf-8"), max_size=24
).map(lambda text: ("/" + text).encode())


@given(TARGETS)
def test_the_fast_way_and_the_slow_way_agree(target: bytes) -> None:
    """PATH-02: the one match for common targets accepts nothing that the long way refuses or changes."""
    if not target.isascii():
        return
    request = clean(target)
    if isinstance(request, Refusal):
        return
    raw_path, mark, raw_query = target.partition(b"?")
    encoded, path = canonical_path(raw_path)
    assert request.path == path
    assert query_pairs(request.query) == (query_pairs(raw_query) if mark else ())
    assert request.target.partition(b"?")[0] == encoded


@given(TARGETS)
def test_canonical_is_a_fixed_point(target: bytes) -> None:
    """PATH-02: what is forwarded is canonical itself, and decodes to what was matched."""
    request = clean(target)
    if isinstance(request, Refusal):
        return
    again = accepted(request.target)
    assert (again.target, again.path, again.query) == (request.target, request.path, request.query)
    raw = request.target.partition(b"?")[0]
    assert unquote_to_bytes(raw).decode() == request.path
    assert not {"", ".", ".."} & set(request.path.split("/")[1:-1])
    assert request.path.split("/")[-1] not in (".", "..")
    assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in request.path)


# ---------------------------------------------------------------------- headers


@pytest.mark.parametrize("name", sorted(name.decode() for name in SINGLE))
@pytest.mark.parametrize("other", ["same", "different"])
def test_single_headers(name: str, other: str) -> None:
    """H1-02, H1-13: a header that must be single and came twice is refused, equal or not."""
    pairs = [(name.encode(), b"same"), (b"accept", b"*"), (name.encode(), other.encode())]
    refusal = Canonicaliser().fields(pairs)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.status) == ("ambiguous-header", 400)


def test_repeated_headers() -> None:
    """HDR-05: headers that may repeat stay in order; a name with `_` is dropped."""
    found = Canonicaliser().fields([(b"accept", b"a"), (b"x_user", b"u"), (b"accept", b"b"), (b"x_sixfold_user", b"u")])
    assert isinstance(found, Fields)
    assert found.pairs == ((b"accept", b"a"), (b"accept", b"b"))
    assert found.all(b"accept") == [b"a", b"b"]
    assert found.get(b"accept") == b"a"
    assert found.get(b"x_user") is None


@pytest.mark.parametrize(
    ("pairs", "passes"),
    [
        ([(b"a", b"b")] * 100, True),
        ([(b"a", b"b")] * 101, False),
        ([(b"a", b"b" * 8192)], True),
        ([(b"a", b"b" * 8193)], False),
        ([(b"a" * 256, b"b")], True),
        ([(b"a" * 257, b"b")], False),
    ],
)
def test_header_limits(pairs: list[tuple[bytes, bytes]], passes: bool) -> None:
    """SLOW-06: over 100 fields, or one over 8 KiB: 431."""
    found = Canonicaliser().fields(pairs)
    assert isinstance(found, Fields) if passes else isinstance(found, Refusal) and found.status == 431


def test_long_targets() -> None:
    """SLOW-06: a target over 8 KiB: 414."""
    assert isinstance(clean(b"/" + b"a" * 8191), Request)
    refusal = clean(b"/" + b"a" * 8192)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 414


@pytest.mark.parametrize(
    "host",
    [
        "a,b", "user@api.example", "api.example/x", "api.example?x", "api example", "", "a:b", "a:", "a:123456", "[::1", "::1",
        "[::1]x", "a#b", "a\\b", "-a", "a..b", ".a", "a%2fb", "[fe80::1%25eth0]",
    ],
)  # fmt: skip
def test_hosts_that_are_none(host: str) -> None:
    """H1-13: comma, userinfo, path in `Host`."""
    refusal = clean(b"/", fields(host=host))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "malformed-request"


@pytest.mark.parametrize("host", ["a", "a.b.c", "A.B:80", "127.0.0.1:8400", "[::1]", "[::1]:443", "a.", "my_host"])
def test_hosts(host: str) -> None:
    """H1-13: one name or address with an optional port, compared in lower case."""
    assert accepted(b"/", head=fields(host=host)).host == host.lower()


@pytest.mark.parametrize(
    ("method", "status"),
    [(b"TRACE", 405), (b"CONNECT", 405), (b"BREW", 501), (b"get", 501), (b"PROPFIND", 501), (b"PRI", 501)],
)
def test_methods(method: bytes, status: int) -> None:
    """HDR-08: TRACE, CONNECT and unknown methods."""
    refusal = Canonicaliser().request(method, b"/", fields(), PEER, NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.status == status
    assert (b"allow" in dict(refusal.headers)) is (status == 405)


# ---------------------------------------------------------------------- the client's address


@pytest.mark.parametrize(
    ("trusted", "header", "lines", "peer", "address"),
    [
        ([], "x-forwarded-for", ["1.1.1.1"], "203.0.113.7", "203.0.113.7"),
        ("private", "x-forwarded-for", ["1.1.1.1"], "203.0.113.7", "203.0.113.7"),
        ("private", "x-forwarded-for", ["1.1.1.1"], "10.0.0.1", "1.1.1.1"),
        ("private", "x-forwarded-for", ["6.6.6.6, 1.1.1.1"], "10.0.0.1", "1.1.1.1"),
        ("private", "x-forwarded-for", ["6.6.6.6", "1.1.1.1, 10.0.0.9"], "10.0.0.1", "1.1.1.1"),
        ("private", "x-forwarded-for", ["10.0.0.3, 10.0.0.2"], "10.0.0.1", "10.0.0.3"),
        ("private", "x-forwarded-for", [], "10.0.0.1", "10.0.0.1"),
        ("private", "x-forwarded-for", ["1.1.1.1, unknown"], "10.0.0.1", "10.0.0.1"),
        ("private", "x-forwarded-for", ["unknown, 1.1.1.1"], "10.0.0.1", "1.1.1.1"),
        ("private", "x-forwarded-for", ["6.6.6.6, _hidden, 10.0.0.9"], "10.0.0.1", "10.0.0.9"),
        ("private", "x-forwarded-for", ["1.1.1.1:4711"], "10.0.0.1", "1.1.1.1"),
        ("private", "x-forwarded-for", ["[2001:db8::1]:4711"], "10.0.0.1", "2001:db8::1"),
        ("private", "x-forwarded-for", ["2001:DB8::1"], "10.0.0.1", "2001:db8::1"),
        ("private", "x-forwarded-for", ["::ffff:1.1.1.1"], "10.0.0.1", "1.1.1.1"),
        ("private", "x-forwarded-for", ["' or 1=1"], "10.0.0.1", "10.0.0.1"),
        (["10.0.0.1/32"], "x-forwarded-for", ["6.6.6.6, 10.0.0.2"], "10.0.0.1", "10.0.0.2"),
        (["2001:db8::/32"], "x-forwarded-for", ["1.1.1.1"], "2001:db8::7", "1.1.1.1"),
        (1, "x-forwarded-for", ["6.6.6.6, 1.1.1.1"], "203.0.113.7", "1.1.1.1"),
        (2, "x-forwarded-for", ["6.6.6.6, 1.1.1.1, 9.9.9.9"], "203.0.113.7", "1.1.1.1"),
        (3, "x-forwarded-for", ["1.1.1.1"], "203.0.113.7", "1.1.1.1"),
        (0, "x-forwarded-for", ["1.1.1.1"], "203.0.113.7", "203.0.113.7"),
        ("private", "forwarded", ["for=1.1.1.1"], "10.0.0.1", "1.1.1.1"),
        ("private", "forwarded", ['for="[2001:db8::1]:80";proto=https, for=10.0.0.2'], "10.0.0.1", "2001:db8::1"),
        ("private", "forwarded", ["by=x;For=1.1.1.1;host=a"], "10.0.0.1", "1.1.1.1"),
        ("private", "forwarded", ["for=6.6.6.6, proto=https"], "10.0.0.1", "10.0.0.1"),
        ("private", "forwarded", ["for=6.6.6.6, for=unknown"], "10.0.0.1", "10.0.0.1"),
        ("private", "x-forwarded-for", ["1.1.1.1"], "", "1.1.1.1"),
    ],
)  # fmt: skip
def test_the_address_of_the_caller(trusted: Any, header: str, lines: list[str], peer: str, address: str) -> None:
    """HDR-04, UX-01: the right-most hop that is not ours, from a trusted peer only; never the left-most by position."""
    head = fields(*((header, line) for line in lines))
    assert accepted(b"/", head=head, peer=Peer(peer), trusted=trust(trusted), header=header).address == address


def test_a_thousand_hops() -> None:
    """HDR-04: a chain without end is refused."""
    head = fields(("x-forwarded-for", "1.1.1.1, " * 999 + "1.1.1.1"))
    refusal = clean(b"/", head, Peer("10.0.0.1"), trusted=trust("private"))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "ambiguous-header"


@pytest.mark.parametrize(
    ("peer", "tls", "lines", "scheme"),
    [
        ("203.0.113.7", False, ["https"], "http"),
        ("203.0.113.7", True, ["http"], "https"),
        ("10.0.0.1", False, ["https"], "https"),
        ("10.0.0.1", False, ["http, https"], "https"),
        ("10.0.0.1", False, ["https", "http"], "http"),
        ("10.0.0.1", False, ["gopher"], "http"),
        ("10.0.0.1", False, [], "http"),
    ],
)
def test_the_scheme(peer: str, tls: bool, lines: list[str], scheme: str) -> None:
    """HDR-04: only a trusted proxy can say that the client came by TLS."""
    head = fields(*(("x-forwarded-proto", line) for line in lines))
    assert accepted(b"/", head=head, peer=Peer(peer, tls=tls), trusted=trust("private")).scheme == scheme


def test_fields_may_serve_two_connections() -> None:
    """HDR-04: what was derived for one peer is not believed for another."""
    head = fields(("x-forwarded-for", "1.1.1.1"))
    cleaner = Canonicaliser(trusted=trust("private"))
    found = [
        cleaner.request(b"GET", b"/", head, Peer(address), NOW) for address in ("10.0.0.1", "203.0.113.7", "10.0.0.1")
    ]
    assert [request.address for request in found if isinstance(request, Request)] == [
        "1.1.1.1",
        "203.0.113.7",
        "1.1.1.1",
    ]


@pytest.mark.parametrize(
    "text", ["unknown", "_x", "", "1.1.1", "1.1.1.1.1", "a:b", "[1.1.1.1", "1.1.1.1 2.2.2.2", "::g", "-", "1.1.1.1;"]
)
def test_addresses_that_are_none(text: str) -> None:
    """HDR-04: obfuscated and forged hops are nobody's address."""
    assert plain_address(text) is None or text == "[1.1.1.1"


def test_forwarding_headers_are_known() -> None:
    """HDR-04: what others believe about a caller is on the list."""
    assert {
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-real-ip",
        b"true-client-ip",
        b"x-original-url",
    } <= FORWARDING


def test_networks_that_are_none() -> None:
    """UX-01: a typo in `trusted_proxies` is an error, not an empty list."""
    with pytest.raises(ValueError):
        trust(["10.0.0.0/99"])
