"""HTTP/1.1 framing over real sockets: what must be refused is refused, closed, and never reaches the upstream."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

START = "POST /open/x HTTP/1.1\r\nHost: localhost\r\n"
HIDDEN = "GET /open/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = START + "Transfer-Encoding: chunked\r\n\r\n"


def raw(*parts: str) -> bytes:
    return "".join(parts).encode("latin-1")


REJECTED = {
    "H1-01": [
        raw(START, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HIDDEN),
        raw(START, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", HIDDEN),
        raw(START, "TRANSFER-ENCODING: Chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n", HIDDEN),
    ],
    "H1-02": [
        raw(START, "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", HIDDEN),
        raw(START, f"Content-Length: 0\r\nContent-Length: {len(HIDDEN)}\r\n\r\n", HIDDEN),
        raw(START, f"Content-Length: {len(HIDDEN)}\r\ncontent-length: 0\r\n\r\n", HIDDEN),
        raw(START, "Content-Length: 0, 0\r\n\r\n", HIDDEN),
        raw(START, "Content-Length: 0,5\r\n\r\n", HIDDEN),
    ],
    "H1-03": [
        raw(START, f"Content-Length:{value}\r\n\r\n", HIDDEN)
        for value in (
            " +0", " -0", " 1_0", " 0x0", " 0 ", "  0 0", " 00", " 010", " ", "", " 9223372036854775808",
            " 99999999999999999999999", " 0.0", " 0\t", " 0;",
        )
    ],
    "H1-04": [
        raw(START, f"Transfer-Encoding{value}\r\n\r\n0\r\n\r\n", HIDDEN)
        for value in (
            ": xchunked", ": , chunked", ": chunked, chunked", ": identity", ":\tchunked\t", ": chunked\x0b",
            ": chunked\x0c", ": chunked\x00", ": gzip, chunked", ": chunked, gzip", ": chunked\r\nTransfer-Encoding: chunked",
            ": chunked\r\nTransfer-Encoding: identity", ": x\r\n chunked", ":\r\n chunked", " : chunked", "\t: chunked", ": ",
            ": chunked;q=1", ": \"chunked\"", "\x0b: chunked",
        )
    ] + [raw("POST /open/x HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HIDDEN)],
    "H1-05": [
        raw(CHUNKED, f"{size}\r\nabc\r\n0\r\n\r\n", HIDDEN)
        for size in ("+3", "-3", "0x3", "3_", " 3", "3 ", "", "10000000000000003", "8000000000000000", "g", "3 3", "\t3")
    ],
    "H1-06": [
        raw("GET /open/x HTTP/1.1\nHost: localhost\r\n\r\n"),
        raw("GET /open/x HTTP/1.1\r\nHost: localhost\nA: b\r\n\r\n"),
        raw("GET /open/x HTTP/1.1\r\nHost: localhost\rA: b\r\n\r\n"),
        raw("GET /open/x HTTP/1.1\nHost: localhost\n\n"),
        raw("GET /open/x HTTP/1.1\r\nHost: localhost\r\n\n"),
        raw("GET /open/x\r HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw(CHUNKED, "3\nabc\r\n0\r\n\r\n"),
        raw(CHUNKED, "3\r\nabc\n0\r\n\r\n"),
        raw(CHUNKED, "3\r\nabc\r\n0\n\n"),
        raw(CHUNKED, "3\rabc\r\n0\r\n\r\n"),
    ],
    "H1-07": [
        raw(CHUNKED, "3;", "x" * 300, "\r\nabc\r\n0\r\n\r\n"),
        raw(CHUNKED, "3;a\nb\r\nabc\r\n0\r\n\r\n"),
        raw(CHUNKED, "3;a\rb\r\nabc\r\n0\r\n\r\n"),
        raw(CHUNKED, "3;a\x00b\r\nabc\r\n0\r\n\r\n"),
        raw(CHUNKED, "3;a\x1bb\r\nabc\r\n0\r\n\r\n"),
    ],
    "H1-08": [
        raw(CHUNKED, "3\r\nabcXX0\r\n\r\n"),
        raw(CHUNKED, "3\r\nabc\r\r\n0\r\n\r\n"),
        raw(CHUNKED, "3\r\nabc0\r\n\r\n"),
        raw(CHUNKED, "3\r\nabcd\r\n0\r\n\r\n"),
        raw(CHUNKED, "3\r\nabc\r\nXX", HIDDEN),
    ],
    "H1-09": [
        raw(CHUNKED, f"0\r\n{name}: x\r\n\r\n", HIDDEN)
        for name in ("Host", "Content-Length", "TE", "Authorization", "Content-Type", "transfer-encoding", "Cookie", "X-Forwarded-For")
    ],
    "H1-13": [
        raw("GET http://other/open/x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("GET http://localhost:1/open/x HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        raw("GET /open/x HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"),
        raw("GET /open/x HTTP/1.1\r\nHost: localhost\r\nHOST: other\r\n\r\n"),
        raw("GET /open/x HTTP/1.1\r\nHost: localhost,other\r\n\r\n"),
        raw("GET /open/x HTTP/1.1\r\nHost: user@localhost\r\n\r\n"),
        raw("GET /open/x HTTP/1.1\r\nHost: localhost/x\r\n\r\n"),
        raw("GET /open/x HTTP/1.1\r\nHost:\r\n\r\n"),
        raw("GET /open/x HTTP/1.1\r\n\r\n"),
    ],
    "H1-14": [
        raw("GET /open/x HTTP/1.1\r\nHost: localhost\r\n", line, "\r\n\r\n")
        for line in (
            "A: b\r\n c", "A: b\r\n\tc", "A : b", ": b", "no colon", " A: b", "\tA: b", "A: \x00", "\x00A: b", "\x80A: b", "A\xff: b",
            "A: \x80", "A: caf\xe9",
        )
    ] + [raw(" GET /open/x HTTP/1.1\r\nHost: localhost\r\n\r\n"), raw("GET /open/x HTTP/1.1\r\n Host: localhost\r\n\r\n")],
    "H1-15": [
        raw(f"GET /open/x {version}\r\nHost: localhost\r\n\r\n")
        for version in (
            "HTTP/1.2", "HTTP/1.10", "http/1.1", "HTTP/1", "HTTP/1.", "HTTP/2.0", "HTTP/0.9", "HTTP/3", "RTSP/1.0", "HTTP/1.1 x", "HTTP",
        )
    ] + [raw("GET /open/x\r\n\r\n"), raw("GET  /open/x HTTP/1.1\r\nHost: localhost\r\n\r\n"), raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")],
}  # fmt: skip


@pytest.mark.parametrize("rule", REJECTED)
def test_rejected_and_closed(rule: str, guard: Any, upstream: Any) -> None:
    """H1-01 to H1-09, H1-13 to H1-15: 400, 501 or 505, the connection closed, nothing forwarded."""
    for data in REJECTED[rule]:
        client = guard.client(data)
        answer = client.answer()
        assert answer.status in (400, 501, 505), data
        assert answer["connection"] == "close", data
        assert answer["content-type"] == "application/problem+json; charset=utf-8"
        assert answer.json()["status"] == answer.status
        assert client.is_closed(), data
    assert [seen.line for seen in upstream.seen] == [], "something was forwarded"


@pytest.mark.parametrize("body", ["3;a=b\r\nabc\r\n0;c\r\n\r\n", "1\r\na\r\n002\r\nbc\r\n0\r\nX-Sum: 1\r\n\r\n"])
def test_what_is_legal_is_written_anew(body: str, guard: Any, upstream: Any) -> None:
    """H1-07, H1-09: a legal extension or trailer goes no further, the body does."""
    answer = guard.client(raw(CHUNKED, body)).answer()
    assert (answer.status, answer.body) == (200, b"hello")
    (seen,) = upstream.seen
    assert seen.body == b"abc"
    assert b";" not in seen.raw.partition(b"\r\n\r\n")[2]
    assert b"X-Sum" not in seen.raw
    assert b"x-sum" not in seen.raw


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_a_request_hidden_in_a_body(method: str, framing: str, guarding: Any, upstream: Any) -> None:
    """H1-10: a body on GET, HEAD or OPTIONS is a body, and the upstream's connection is not used again."""
    guard = guarding(upstream, more='[[routes]]\nmatch = "OPTIONS /free"\npublic = true\n')
    path = "/free" if method == "OPTIONS" else "/open/x"
    size = f"Content-Length: {len(HIDDEN)}\r\n\r\n" if framing == "sized" else "Transfer-Encoding: chunked\r\n\r\n"
    body = HIDDEN if framing == "sized" else f"{len(HIDDEN):x}\r\n{HIDDEN}\r\n0\r\n\r\n"
    client = guard.client(raw(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n", size, body))
    upstream.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    assert client.answer(method).status == 200
    assert client.get("/open/next").status == 200
    first, second = upstream.seen
    assert first.body == HIDDEN.encode()
    assert second.line == "GET /open/next HTTP/1.1"
    assert first.connection != second.connection


def test_we_say_100_ourselves(guard: Any, upstream: Any) -> None:
    """H1-11: `Expect: 100-continue` is answered here and never forwarded."""
    client = guard.client(raw(START, "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"))
    assert client.head().status == 100
    client.send(b"abc")
    assert client.answer().status == 200
    (seen,) = upstream.seen
    assert seen.body == b"abc"
    assert seen.get("expect") is None


def test_100_again_on_the_same_connection(guard: Any) -> None:
    """H1-11: also for the second request with the same headers."""
    client = guard.client()
    for _ in range(3):
        client.send(raw(START, "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"))
        assert client.head().status == 100
        assert client.send(b"abc").answer().status == 200


def test_a_body_that_did_not_wait(guard: Any, upstream: Any) -> None:
    """H1-11: a client need not wait for the 100."""
    client = guard.client(raw(START, "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"))
    answer = client.answer()
    if answer.status == 100:
        answer = client.answer()
    assert answer.status == 200
    assert upstream.seen[0].body == b"abc"


def test_a_refusal_instead_of_100(guard: Any, upstream: Any) -> None:
    """H1-11: who is refused is told before sending the body."""
    client = guard.client(
        raw("POST /orders HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    )
    answer = client.answer()
    assert answer.status == 401
    assert answer["connection"] == "close"
    assert client.is_closed()
    assert upstream.seen == []


@pytest.mark.parametrize("value", ["foo", "100-continue, foo", ""])
def test_other_expectations(value: str, guard: Any, upstream: Any) -> None:
    """H1-11: 417."""
    client = guard.client(raw(START, f"Expect: {value}\r\nContent-Length: 3\r\n\r\nabc"))
    assert client.answer().status == 417
    assert client.is_closed()
    assert upstream.seen == []


def test_an_early_answer(guard: Any, upstream: Any) -> None:
    """H1-12: an answer before the body was sent is delivered, and the upstream's connection is not used again."""

    async def early(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno")
        await reader.read()

    upstream.handler = early
    client = guard.client(raw(START, "Content-Length: 500000\r\n\r\nabc"))
    answer = client.answer()
    assert (answer.status, answer.body) == (413, b"no")
    assert answer["connection"] == "close"
    upstream.handler = None
    assert guard.get().status == 200
    assert upstream.seen[0].line == "GET /open/x HTTP/1.1"
    assert upstream.connections == 2


def test_an_early_answer_and_a_short_rest(guard: Any, upstream: Any) -> None:
    """H1-12: the short rest of a body is read and dropped, and the client's connection goes on."""

    async def early(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await reader.read()

    upstream.handler = early
    client = guard.client(raw(START, f"Content-Length: {len(HIDDEN)}\r\n\r\n", HIDDEN[:3]))
    assert client.answer().body == b"ok"
    upstream.handler = None
    client.send(raw(HIDDEN[3:]))
    assert client.get("/open/next").body == b"hello"
    assert [seen.line for seen in upstream.seen] == ["GET /open/next HTTP/1.1"]


def test_pipelined_requests(guard: Any, upstream: Any) -> None:
    """H1-16: answers in the order of the requests, own ones among them."""
    upstream.answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%d" % number for number in range(9)]
    client = guard.client(
        b"".join(
            b"GET /%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % (b"none" if number % 3 == 2 else b"open/x")
            for number in range(12)
        )
    )
    found = [client.answer() for _ in range(12)]
    assert [answer.status for answer in found] == [200, 200, 404] * 4
    assert [answer.body for answer in found if answer.status == 200] == [b"%d" % number for number in range(8)]


def test_pipelined_and_half_closed(guard: Any) -> None:
    """H1-16: a client that has sent all it wants still gets every answer."""
    client = guard.client(raw(HIDDEN, CHUNKED, "3\r\nabc\r\n0\r\n\r\n", HIDDEN))
    client.socket.shutdown(socket.SHUT_WR)
    assert [client.answer().body for _ in range(3)] == [b"hello"] * 3
    assert client.is_closed()


@pytest.mark.parametrize("garbage", ["GARBAGE\r\n\r\n", "\x00\x01\x02\r\n\r\n", "{}\n", "\x16\x03\x01\x00\x05hello"])
def test_garbage_after_a_request(garbage: str, guard: Any, upstream: Any) -> None:
    """H1-16: the request is answered first, then the connection is closed."""
    client = guard.client(raw(HIDDEN, garbage))
    assert client.answer().status == 200
    assert client.answer().status == 400
    assert client.is_closed()
    assert len(upstream.seen) == 1


def test_many_pipelined_bytes(guard: Any, upstream: Any, until: Callable[..., Any]) -> None:
    """H1-16: whoever pipelines without end is not read without end."""

    async def never(reader: Any, writer: Any) -> None:
        await reader.read()

    upstream.handler = never
    client = guard.client(raw(HIDDEN))
    client.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for _ in range(1000):
            client.send(raw(HIDDEN) * 1000)


def test_forwarded_bytes_are_ours(guard: Any, upstream: Any) -> None:
    """H1-17: names in lower case, one blank after the colon, `Host` first: nothing is passed through as it came."""
    odd = "pOsT /open/x HTTP/1.1"
    assert guard.client(raw(odd, "\r\nHost: localhost\r\n\r\n")).answer().status == 501
    head = "POST /open/%78?a=%62+c HTTP/1.1\r\nX-First:1\r\nCONTENT-LENGTH: 3\r\nhOST:   LOCALHOST\r\nX-Last: \t2\t\r\n\r\nabc"
    assert guard.client(raw(head)).answer().status == 200
    (seen,) = upstream.seen
    assert seen.line == "POST /open/x?a=b%20c HTTP/1.1"
    assert seen.headers[0] == ("host", "localhost")
    assert ("x-first", "1") in seen.headers
    assert ("x-last", "2") in seen.headers
    assert seen.raw.endswith(b"\r\ncontent-length: 3\r\n\r\nabc")


def test_a_pause_inside_a_request(guarding: Any, upstream: Any) -> None:
    """H1-18: the deadline of a head holds, however it is paused."""
    guard = guarding(upstream, "header_timeout = 0.4")
    client = guard.client(b"GET /open/x HTTP/1.1\r\nHost: loc")
    assert client.answer().status == 408
    assert client.is_closed()


def test_every_request_is_judged_anew(guard: Any, upstream: Any) -> None:
    """H1-18: an allowed request opens no door for the next one on the same connection."""
    client = guard.client()
    token = guard.mint("orders:read")
    for _ in range(2):
        assert client.get("/orders", token).status == 200
        assert client.get("/orders").status == 401
        assert client.get("/orders/7", token, "DELETE").status == 403
        assert client.get("/admin", token).status == 404
        assert client.get("/open/x").status == 200
    assert {seen.line for seen in upstream.seen} == {"GET /orders HTTP/1.1", "GET /open/x HTTP/1.1"}


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("POST /open/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: a\r\nAuthorization: b\r\n", 400),
        ("POST /open/x HTTP/1.1\r\nHost: localhost\r\nA: " + "b" * 9000 + "\r\n", 431),
        ("POST /open/x HTTP/1.1\r\nHost: localhost\r\n" + "A: b\r\n" * 101, 431),
        ("BREW /open/x HTTP/1.1\r\nHost: localhost\r\n", 501),
        ("POST /open/%2e%2e HTTP/1.1\r\nHost: localhost\r\n", 400),
        ("TRACE /open/x HTTP/1.1\r\nHost: localhost\r\n", 405),
        ("POST /none HTTP/1.1\r\nHost: localhost\r\n", 404),
        ("POST /open/x HTTP/1.1\r\nHost: elsewhere\r\n", 421),
        ("POST /orders HTTP/1.1\r\nHost: localhost\r\n", 401),
    ],
)
def test_the_body_of_a_refused_request(head: str, status: int, guard: Any, upstream: Any) -> None:
    """H1-10: the body of a request that was refused is never taken for a request."""
    client = guard.client(raw(head, f"Content-Length: {len(HIDDEN)}\r\n\r\n", HIDDEN))
    answer = client.answer()
    assert answer.status == status
    if answer.get("connection") == "close":
        assert client.is_closed()
        assert upstream.seen == []
    else:
        assert client.get("/open/next").body == b"hello"
        assert [seen.line for seen in upstream.seen] == ["GET /open/next HTTP/1.1"]


@pytest.mark.parametrize("target", ["/open/%2e%2e", "/none", "/orders", "/open/x"])
def test_answers_to_head(target: str, guard: Any) -> None:
    """H1-17: an answer to HEAD has no body, whoever gives it."""
    client = guard.client()
    answer = client.get(target, method="HEAD")
    if answer.get("connection") == "close":
        assert client.is_closed()
    else:
        assert client.get("/open/x").body == b"hello"


def test_http_10(guard: Any, upstream: Any) -> None:
    """H1-15: HTTP/1.0 is served, one request a connection, never in chunks."""
    upstream.answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    client = guard.client(b"GET /open/x HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
    answer = client.answer()
    assert answer.body == b"hello"
    assert answer.all("transfer-encoding") == []
    assert answer["connection"] == "close"
    assert client.is_closed()


def test_undeclared_upgrades(guard: Any, upstream: Any) -> None:
    """WS-01: an upgrade that nobody declared is a plain request; no tunnel comes of it."""
    head = "GET /open/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
    client = guard.client(raw(head))
    assert client.answer().body == b"hello"
    assert client.get("/open/y").body == b"hello"
    assert upstream.seen[0].get("upgrade") is None
    assert upstream.seen[0].get("connection") is None


def test_an_upgrade_with_a_body(guard: Any, upstream: Any) -> None:
    """WS-01, H1-10: the body of a refused upgrade is a body."""
    head = f"POST /open/x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: {len(HIDDEN)}\r\n\r\n"
    assert guard.client(raw(head, HIDDEN)).answer().status == 200
    (seen,) = upstream.seen
    assert seen.body == HIDDEN.encode()


def test_a_101_nobody_asked_for(guard: Any, upstream: Any) -> None:
    """WS-01: an upstream cannot turn a plain request into a tunnel."""
    upstream.answer = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    assert guard.get().status == 502
