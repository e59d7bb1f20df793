"""Requests and answers on their way: reuse, streams, what an upstream can do wrong, and what is told of it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from typing import Any

import pytest

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
RESET = struct.pack("ii", 1, 0)


async def head(reader: Any) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def reset(writer: Any) -> None:
    """Close as a crashed process does."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


def test_connections_are_used_again(guard: Any, upstream: Any) -> None:
    """PROXY: one connection on each side serves many requests, whatever their bodies."""
    client = guard.client()
    for number in range(20):
        assert client.get(f"/open/{number}").body == b"hello"
        client.send(b"POST /open/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\nabc")
        assert client.answer().body == b"hello"
    assert len(upstream.seen) == 40
    assert upstream.connections == 1
    assert {seen.body for seen in upstream.seen} == {b"", b"abc"}


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nx-t: 1\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 299 Odd Words (really)\r\ncontent-length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 1\r\n\r\nx", b"x"),
    ],
)
def test_answers_keep_their_bodies(answer: bytes, body: bytes, guard: Any, upstream: Any) -> None:
    """PROXY: sized and chunked answers arrive whole and the connection goes on."""
    upstream.answer = answer
    client = guard.client()
    for _ in range(2):
        found = client.get()
        assert found.body == body
        assert found.status == int(answer.split()[1])
        assert found.get("x-t") is None
    assert upstream.connections == 1


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_answers_until_close(version: bytes, guard: Any, upstream: Any) -> None:
    """PROXY: an answer that ends with its connection reaches the client in chunks, and the client's goes on."""

    async def close(reader: Any, writer: Any) -> None:
        await head(reader)
        writer.write(b"HTTP/%b 200 OK\r\n\r\nuntil the end" % version)

    upstream.handler = close
    client = guard.client()
    for _ in range(2):
        assert client.get().body == b"until the end"
    assert upstream.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_answers_without_a_body(answer: bytes, guard: Any, upstream: Any) -> None:
    """H1-12: 204 and 304 end with their head, whatever the upstream says; a body it sends all the same is dropped."""
    upstream.answers = [answer]
    client = guard.client()
    found = client.get()
    assert found.status == int(answer.split()[1])
    assert found.status == 304 or found.get("content-length") is None
    assert client.get().body == b"hello"


def test_an_answer_to_head(guard: Any, upstream: Any) -> None:
    """H1-12: the length of an answer to HEAD is told, its body never sent."""
    upstream.answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"]
    client = guard.client()
    assert client.get(method="HEAD")["content-length"] == "5"
    assert client.get().body == b"hello"


LIES = {
    "not HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    "length and coding": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "odd coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nhello",
    "signed length": b"HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 5\n\nhello\r\n\r\n",
    "bare LF in a header": b"HTTP/1.1 200 OK\r\nx: a\nset-cookie: b\r\ncontent-length: 0\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nx: \x00\r\ncontent-length: 0\r\n\r\n",
    "a storm of 1xx": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50 + OK,
    "an endless header": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40_000,
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
    "bad chunk at once": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
}


@pytest.mark.parametrize("lie", LIES)
def test_upstreams_that_lie(lie: str, guard: Any, upstream: Any) -> None:
    """H1-12: what is no sound answer becomes 502, nothing of it is passed on, and its connection is not used again."""

    async def answer(reader: Any, writer: Any) -> None:
        await head(reader)
        writer.write(LIES[lie])
        if lie not in ("nothing", "half a head"):
            await reader.read()

    upstream.handler = answer
    client = guard.client()
    found = client.get()
    assert (found.status, found.json()["code"]) == (502, "upstream-malformed")
    upstream.handler = None
    assert client.get().body == b"hello"
    assert upstream.connections == 2


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (b"content-length: 9\r\n\r\nhello", "reset"),
        (b"content-length: 9\r\n\r\nhello", "close"),
        (b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "reset"),
        (b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "close"),
        (b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", "nonsense"),
        (b"\r\nhello", "reset"),
    ],
)
def test_answers_that_break_off(start: bytes, end: str, guard: Any, upstream: Any) -> None:
    """H1-12: an answer that breaks off never looks complete to the client."""
    go = asyncio.Event()

    async def answer(reader: Any, writer: Any) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + start)
        await go.wait()
        if end == "reset":
            reset(writer)
        elif end == "nonsense":
            writer.write(b"zz\r\n")
            await reader.read()

    upstream.handler = answer
    client = guard.client(b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert client.head().status == 200
    client.until(b"hello")
    upstream.call(go.set)
    assert b"0\r\n\r\n" not in client.rest()
    (line,) = guard.lines(1)
    assert (line["status"], line["code"]) == (200, "upstream-malformed")


def test_an_idle_connection_that_was_closed(guard: Any, upstream: Any, until: Any) -> None:
    """PROXY: the upstream closed between two requests: the next one takes a new connection."""
    client = guard.client()
    assert client.get().status == 200
    upstream.close_all()
    assert until(lambda: guard.call(lambda: not guard.worker.edge.pools[None].idle))
    assert client.get().status == 200
    assert upstream.connections == 2


@pytest.mark.parametrize(
    ("method", "status", "requests"), [("GET", 200, 3), ("HEAD", 200, 3), ("POST", 502, 2), ("PUT", 502, 2)]
)
def test_what_is_sent_again(method: str, status: int, requests: int, guarding: Any, upstream: Any) -> None:
    """PROXY: on a connection that dies under a request, only a safe one without a body is sent again, and only once."""
    guard = guarding(upstream)
    seen: list[bytes] = []

    async def dying(reader: Any, writer: Any) -> None:
        while True:
            seen.append(await head(reader))
            if len(seen) == 2:
                reset(writer)
                return
            writer.write(OK if b"HEAD" not in seen[-1] else OK[:-2])

    upstream.handler = dying
    client = guard.client()
    assert client.get().status == 200
    assert client.get(method=method).status == status
    assert len(seen) == requests


def test_a_new_connection_that_dies_is_not_asked_again(guard: Any, upstream: Any) -> None:
    """PROXY: an upstream that dies of a request does not get it twice."""
    seen: list[bytes] = []

    async def dying(reader: Any, writer: Any) -> None:
        seen.append(await head(reader))
        reset(writer)

    upstream.handler = dying
    assert guard.get().status == 502
    assert len(seen) == 1


def test_nobody_listens(guarding: Any) -> None:
    """PROXY: 502, at once, for every request."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        guard = guarding(f"http://127.0.0.1:{probe.getsockname()[1]}")
        client = guard.client()
        for _ in range(3):
            answer = client.get()
            assert (answer.status, answer.json()["code"]) == (502, "upstream-unreachable")


def test_nobody_listens_and_a_body_is_on_its_way(guarding: Any) -> None:
    """PROXY: the connection goes on, or is closed, after the rest of the body; it never hangs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        guard = guarding(f"http://127.0.0.1:{probe.getsockname()[1]}")
        for length in (1_000, 100_000, 900_000):
            client = guard.client(b"POST /open/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % length)
            client.send(b"x" * length)
            answer = client.answer()
            assert answer.status == 502
            if answer.get("connection") == "close":
                assert client.is_closed()
            else:
                assert client.get().status == 502


def test_no_answer_in_time(guarding: Any, upstream: Any) -> None:
    """PROXY: 504, the upstream's connection is closed, the client's goes on."""
    gone: list[bytes] = []

    async def silent(reader: Any, writer: Any) -> None:
        await head(reader)
        gone.append(await reader.read())

    upstream.handler = silent
    guard = guarding(upstream, more='[[routes]]\nmatch = "GET /slow"\npublic = true\ntimeout = 0.3\n')
    client = guard.client()
    answer = client.get("/slow")
    assert (answer.status, answer.json()["code"]) == (504, "upstream-timeout")
    upstream.handler = None
    assert client.get().status == 200
    assert gone == [b""]


def test_a_slow_upload_is_no_slow_answer(guarding: Any, upstream: Any) -> None:
    """PROXY: the upstream's time starts when it has the whole request."""
    guard = guarding(upstream, more='[[routes]]\nmatch = "POST /slow"\npublic = true\ntimeout = 0.3\n')
    client = guard.client(b"POST /slow HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\n")
    for piece in (b"a", b"b", b"c", b"d"):
        time.sleep(0.25)  # the pace of the upload is what is tested
        client.send(piece)
    assert client.answer().status == 200


def test_all_connections_are_busy(guarding: Any, upstream: Any) -> None:
    """PROXY: who waits for a connection gets the next one that is free, else 503 with Retry-After."""
    guard = guarding(upstream, "upstream_connections = 1\nconnect_timeout = 0.2")
    release = asyncio.Event()

    async def slow(reader: Any, writer: Any) -> None:
        while True:
            await head(reader)
            await release.wait()
            writer.write(OK)

    upstream.handler = slow
    first = guard.client(b"GET /open/1 HTTP/1.1\r\nhost: localhost\r\n\r\n")
    second = guard.client(b"GET /open/2 HTTP/1.1\r\nhost: localhost\r\n\r\n")
    answer = second.answer()
    assert (answer.status, answer.json()["code"], answer["retry-after"]) == (503, "upstream-busy", "1")
    third = guard.client(b"GET /open/3 HTTP/1.1\r\nhost: localhost\r\n\r\n")
    upstream.call(release.set)
    assert (first.answer().status, third.answer().status) == (200, 200)
    assert upstream.connections == 1


# ---------------------------------------------------------------------- streams


def test_an_answer_streams(guard: Any, upstream: Any) -> None:
    """PROXY: each piece of an answer arrives before the next one is sent."""
    step = asyncio.Event()

    async def events(reader: Any, writer: Any) -> None:
        await head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number in range(3):
            writer.write(b"7\r\ndata: %d\r\n" % number)
            await step.wait()
            step.clear()
        writer.write(b"0\r\n\r\n")

    upstream.handler = events
    client = guard.client(b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n")
    client.head()
    for number in range(3):
        client.until(b"data: %d\r\n" % number)
        upstream.call(step.set)
    client.until(b"0\r\n\r\n")


def test_a_request_streams(guard: Any, upstream: Any, until: Any) -> None:
    """PROXY: each piece of a body reaches the upstream before the next one is sent."""
    got: list[bytes] = []

    async def sink(reader: Any, writer: Any) -> None:
        while piece := await reader.read(65536):
            got.append(piece)
            if b"0\r\n\r\n" in piece:
                writer.write(OK)

    upstream.handler = sink
    client = guard.client(b"POST /open/x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
    for number in range(3):
        client.send(b"1\r\n%d\r\n" % number)
        assert until(lambda number=number: b"1\r\n%d\r\n" % number in b"".join(got))
    client.send(b"0\r\n\r\n")
    assert client.answer().body == b"ok"


def buffered(guard: Any) -> int:
    """Return how many bytes wait in Sixfold, on both sides."""

    def count() -> int:
        total = 0
        for connection in guard.worker.edge.connections:
            total += connection.transport.get_write_buffer_size() + len(connection._buffer)
            if connection.exchange is not None:
                total += sum(map(len, connection.exchange._body))
                if connection.exchange.upstream is not None:
                    total += connection.exchange.upstream.transport.get_write_buffer_size()
        return total

    return int(guard.call(count))


@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_a_client_that_reads_slowly(framing: str, guard: Any, upstream: Any, until: Any) -> None:
    """SLOW-03: the upstream is read only as fast as the client reads; then everything arrives."""
    size, piece = 40_000_000, b"x" * 100_000
    sent: list[int] = [0]

    async def flood(reader: Any, writer: Any) -> None:
        await head(reader)
        sized = framing == "sized"
        writer.write(
            b"HTTP/1.1 200 OK\r\n"
            + (b"content-length: %d\r\n\r\n" % size if sized else b"transfer-encoding: chunked\r\n\r\n")
        )
        for _ in range(size // len(piece)):
            writer.write(piece if sized else b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            sent[0] += len(piece)
        writer.write(b"" if sized else b"0\r\n\r\n")
        await writer.drain()
        await reader.read()

    upstream.handler = flood
    client = guard.client(b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n")
    found = client.head()

    def stalled() -> bool:
        before = sent[0]
        time.sleep(0.1)  # between two looks: nothing has moved
        return before == sent[0] > 0

    assert until(stalled)
    assert sent[0] < size // 2
    assert buffered(guard) < 1_000_000
    client.buffer[:0] = found.raw
    assert len(client.answer().body) == size


def fill(client: Any, view: memoryview) -> memoryview:
    """Send until hardly anything is taken any more; returns what is left."""
    while True:
        start, before = time.monotonic(), len(view)
        try:
            while view and time.monotonic() < start + 0.3:
                view = view[client.socket.send(view[:100_000]) :]
        except TimeoutError:
            return view
        if before - len(view) < 100_000:
            return view


def test_an_upstream_that_reads_slowly(guarding: Any, upstream: Any, until: Any) -> None:
    """SLOW-03: the client is read only as fast as the upstream reads; then everything arrives."""
    guard = guarding(upstream, 'max_body = "100 MB"')
    size = 20_000_000
    go = asyncio.Event()

    async def slow(reader: Any, writer: Any) -> None:
        await head(reader)
        reader._transport.pause_reading()
        await go.wait()
        reader._transport.resume_reading()
        await reader.readexactly(size)
        writer.write(OK)

    upstream.handler = slow
    client = guard.client(b"POST /open/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % size)
    client.socket.settimeout(0.3)
    view = fill(client, memoryview(b"x" * size))
    assert len(view) > size // 4
    assert buffered(guard) < 1_000_000
    client.socket.settimeout(10)
    upstream.call(go.set)
    client.send(bytes(view))
    assert client.answer().body == b"ok"


def test_pipelining_without_reading(guard: Any, until: Any) -> None:
    """SLOW-03: own answers to a client that reads none of them do not pile up either."""
    client = guard.client()
    client.socket.settimeout(0.3)
    line = b"GET /none HTTP/1.1\r\nhost: localhost\r\n\r\n" * 1000
    with pytest.raises(TimeoutError):
        for _ in range(2000):
            client.send(line)
    assert buffered(guard) < 2_000_000


def test_pipelined_floods(guard: Any, upstream: Any, until: Any) -> None:
    """SLOW-03: a second answer does not start to pile up behind a first that nobody reads."""
    body = b"x" * 1_000_000
    upstream.answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    count = 30
    client = guard.client(b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n" * count)
    assert until(lambda: buffered(guard) > 0)
    seen = 0

    def stalled() -> bool:
        nonlocal seen
        before, seen = seen, len(upstream.seen)
        time.sleep(0.1)  # between two looks: nothing has moved
        return before == len(upstream.seen)

    assert until(stalled)
    assert len(upstream.seen) < count
    assert buffered(guard) < 2_500_000
    assert [len(client.answer().body) for _ in range(count)] == [len(body)] * count


# ---------------------------------------------------------------------- the client goes away


def test_a_client_that_leaves(guard: Any, upstream: Any, until: Any) -> None:
    """PROXY: the upstream's work is given up, and the log says 499."""
    left: list[bytes] = []

    async def slow(reader: Any, writer: Any) -> None:
        await head(reader)
        left.append(await reader.read())

    upstream.handler = slow
    client = guard.client(b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert until(lambda: upstream.connections)
    reset_client(client)
    assert until(lambda: left)
    assert guard.lines(1)[0]["status"] == 499


def reset_client(client: Any) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def test_a_client_that_leaves_inside_its_body(guarding: Any, upstream: Any, until: Any) -> None:
    """PROXY: what was sent of the body is no whole body for the upstream; places are given back."""
    guard = guarding(
        upstream, more='[[routes]]\nmatch = "POST /one"\npublic = true\nlimit = "1 concurrent-requests per address"\n'
    )
    ends: list[bytes] = []

    async def sink(reader: Any, writer: Any) -> None:
        await head(reader)
        ends.append(await reader.read())

    upstream.handler = sink
    client = guard.client(b"POST /one HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
    assert until(lambda: upstream.connections)
    assert guard.get("/one", "content-length: 0\r\n", "POST").status == 429
    reset_client(client)
    assert until(lambda: ends)
    assert b"0\r\n\r\n" not in ends[0]
    upstream.handler = None
    assert until(lambda: guard.get("/one", "content-length: 0\r\n", "POST").status == 200)


def test_a_half_closed_client(guard: Any) -> None:
    """PROXY: a client that has sent everything and closed its half still gets the answer."""
    client = guard.client(b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n")
    client.socket.shutdown(socket.SHUT_WR)
    assert client.answer().body == b"hello"
    assert client.is_closed()


@pytest.mark.parametrize(
    "outcome",
    [
        "answered",
        "refused",
        "malformed answer",
        "reset",
        "timeout",
        "unread body",
        "too large",
        "client gone",
        "slow body",
    ],
)
def test_every_end_gives_its_place_back(outcome: str, guarding: Any, upstream: Any, until: Any) -> None:
    """FLOW: however an exchange ends, its concurrency is given back."""
    guard = guarding(
        upstream,
        "body_timeout = 0.3\nmax_body = 1000",
        '[[routes]]\nmatch = "POST /one"\npublic = true\ntimeout = 0.3\nlimit = "1 concurrent-requests per address"\n',
    )
    start = b"POST /one HTTP/1.1\r\nhost: localhost\r\n"

    async def handle(reader: Any, writer: Any) -> None:
        await head(reader)
        if outcome == "reset":
            reset(writer)
            return
        writer.write({"malformed answer": b"zz\r\n\r\n", "unread body": OK}.get(outcome, b""))
        await reader.read()

    if outcome not in ("answered", "refused"):
        upstream.handler = handle
    body = {
        "unread body": b"content-length: 9\r\n\r\nabc",
        "too large": b"transfer-encoding: chunked\r\n\r\n800\r\n" + b"x" * 2048,
        "slow body": b"content-length: 9\r\n\r\nabc",
    }.get(outcome, b"content-length: 0\r\n\r\n")
    client = guard.client(start + body)
    if outcome == "client gone":
        assert until(lambda: upstream.connections)
        reset_client(client)
    else:
        wanted = {"malformed answer": 502, "reset": 502, "timeout": 504, "too large": 413, "slow body": 408}
        assert client.answer().status == wanted.get(outcome, 200)
    upstream.handler = None
    assert until(lambda: guard.get("/one", "content-length: 0\r\n", "POST").status == 200)


# ---------------------------------------------------------------------- response contracts

CONTRACT = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/item": {
            "get": {
                "responses": {
                    "200": {
                        "description": "ok",
                        "content": {
                            "application/json": {"schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}
                        },
                    },
                    "204": {"description": "nothing"},
                }
            }
        }
    },
}
ANSWERS = """
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
upstream = "{upstream}"
openapi = "api.json"
[validation]
response = "{gateway}"
max_response = 1000
[[routes]]
match = "GET /item"
public = true
"""


def framed(body: bytes, how: str) -> bytes:
    start = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    if how == "sized":
        return start + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    return (
        start + b"transfer-encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    )


@pytest.mark.parametrize("how", ["sized", "chunked"])
@pytest.mark.parametrize(
    ("mode", "body", "status"),
    [
        ("enforce", b'{"a":1}', 200), ("enforce", b'{"a":"x"}', 502), ("enforce", b"[" * 2000, 502), ("shadow", b'{"a":"x"}', 200),
        ("shadow", b"[" * 2000, 200), ("off", b'{"a":"x"}', 200),
    ],
)  # fmt: skip
def test_answers_and_their_contract(
    how: str, mode: str, body: bytes, status: int, guarding: Any, upstream: Any
) -> None:
    """PROXY: an answer is held until it was judged; in enforce mode a broken one is withheld."""
    guard = guarding(upstream, mode, policy=ANSWERS, files={"api.json": json.dumps(CONTRACT).encode()})
    upstream.answer = framed(body, how)
    client = guard.client()
    for _ in range(2):
        answer = client.get("/item")
        assert answer.status == status
        if status == 200:
            assert answer.body == body
        else:
            assert answer.json()["code"] == "response-contract"


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_no_body_no_contract(mode: str, guarding: Any, upstream: Any) -> None:
    """PROXY: an answer that has no body by its kind is not judged by it."""
    guard = guarding(upstream, mode, policy=ANSWERS, files={"api.json": json.dumps(CONTRACT).encode()})
    upstream.answers = [
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\ncontent-type: application/json\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\ncontent-type: application/json\r\n\r\n",
    ]
    client = guard.client()
    assert client.get("/item", method="HEAD").status == 200
    assert client.get("/item").status == 204
    assert client.get("/item").status == 304
