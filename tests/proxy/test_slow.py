"""Slow and large: every wait has an end, every size a cap. The deadlines here are short; waiting for one is the test."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

START = b"POST /open/x HTTP/1.1\r\nhost: localhost\r\n"


def took(start: float) -> float:
    return time.monotonic() - start


@pytest.mark.parametrize("pause", [0.02, 0.1])
def test_a_head_byte_by_byte(pause: float, guarding: Any, upstream: Any) -> None:
    """SLOW-01: the deadline counts in total, however lively the client seems."""
    client = guarding(upstream, "header_timeout = 0.5").client()
    start = time.monotonic()
    client.socket.settimeout(pause)
    for byte in b"GET /open/x HTTP/1.1\r\nhost: localhost\r\nx-long: " + b"y" * 1000:
        client.send(bytes((byte,)))
        try:
            if not client.more() or b"\r\n\r\n" in client.buffer:
                break
        except TimeoutError:
            pass
    client.socket.settimeout(3)
    assert client.answer().status == 408
    assert client.is_closed()
    assert 0.4 < took(start) < 2
    assert upstream.seen == []


def test_a_second_head_byte_by_byte(guarding: Any, upstream: Any) -> None:
    """SLOW-01: the same on a connection that has served before."""
    client = guarding(upstream, "header_timeout = 0.4").client()
    assert client.get().status == 200
    start = time.monotonic()
    client.send(b"GET /open/x HT")
    assert client.answer().status == 408
    assert took(start) < 2


def test_nothing_at_all(guarding: Any, upstream: Any) -> None:
    """SLOW-01: who connects and says nothing is not kept; there is nothing to answer."""
    client = guarding(upstream, "header_timeout = 0.3").client()
    assert client.rest() == b""


@pytest.mark.parametrize("length", [b"content-length: 9\r\n\r\nabc", b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"])
def test_a_body_that_stops(length: bytes, guarding: Any, upstream: Any, until: Any) -> None:
    """SLOW-02: past the total deadline: 408, closed, and the upstream gets no whole body."""
    ends: list[bytes] = []

    async def sink(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        ends.append(await reader.read())

    upstream.handler = sink
    client = guarding(upstream, "body_timeout = 0.4").client(START + length)
    assert client.answer().status == 408
    assert client.is_closed()
    assert until(lambda: ends)
    assert b"0\r\n\r\n" not in ends[0]


def test_a_body_below_the_rate(guarding: Any, upstream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SLOW-02: under the minimum rate: 408, long before the total deadline."""
    monkeypatch.setattr("sixfold.proxy.downstream._RATE_GRACE", 0.2)
    client = guarding(upstream, "min_body_rate = 10000").client(START + b"content-length: 100000\r\n\r\n")
    client.socket.settimeout(0.05)
    start = time.monotonic()
    while took(start) < 3:
        client.send(b"x" * 20)
        try:
            client.more()
            break
        except TimeoutError:
            pass
    client.socket.settimeout(3)
    assert client.answer().status == 408
    assert took(start) < 2


def test_a_body_above_the_rate(guarding: Any, upstream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SLOW-02: a client that is merely slow is served."""
    monkeypatch.setattr("sixfold.proxy.downstream._RATE_GRACE", 0.2)
    client = guarding(upstream, "min_body_rate = 100").client(START + b"content-length: 1000\r\n\r\n")
    for _ in range(10):
        time.sleep(0.1)  # the pace of the upload is what is tested
        client.send(b"x" * 100)
    assert client.answer().status == 200


def test_an_upstream_that_takes_its_time_is_not_the_clients_fault(
    guarding: Any, upstream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLOW-02: the client's rate is not measured while the upstream takes nothing."""
    monkeypatch.setattr("sixfold.proxy.downstream._RATE_GRACE", 0.1)
    size = 8_000_000

    async def slow(reader: Any, writer: Any) -> None:
        reader._transport.pause_reading()
        await asyncio.sleep(0.8)
        reader._transport.resume_reading()
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(size)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    upstream.handler = slow
    guard = guarding(upstream, 'max_body = "10 MB"\nmin_body_rate = "100 MB"')
    client = guard.client(START + b"content-length: %d\r\n\r\n" % size + b"x" * size)
    assert client.answer().body == b"ok"


def test_a_client_that_does_not_read(guarding: Any, upstream: Any, until: Any) -> None:
    """SLOW-03: an answer that nobody takes is given up after the write timeout; the upstream is released."""
    gone: list[bool] = []

    async def flood(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 100_000)
                await writer.drain()
        except ConnectionError:
            gone.append(True)

    upstream.handler = flood
    guard = guarding(upstream, "write_timeout = 0.4")
    guard.client(b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert until(lambda: gone)
    assert until(lambda: guard.call(lambda: not guard.worker.edge.connections))


def test_an_idle_connection(guarding: Any, upstream: Any) -> None:
    """SLOW-04: a connection between two requests is closed at its timeout, without a word."""
    client = guarding(upstream, "idle_timeout = 0.4").client()
    start = time.monotonic()
    assert client.get().status == 200
    assert client.is_closed()
    assert 0.3 < took(start) < 2


def test_many_connections_of_one_address(guarding: Any, upstream: Any, until: Any) -> None:
    """SLOW-05: over the cap per address: closed at once; who leaves makes room."""
    guard = guarding(upstream, "max_connections_per_address = 3")
    clients = [guard.client() for _ in range(3)]
    assert [client.get().status for client in clients] == [200] * 3
    assert guard.client().is_closed()
    assert guard.call(lambda: guard.worker.watch.metrics.turned_away) == 1
    clients[0].close()
    assert until(lambda: guard.call(lambda: len(guard.worker.edge.connections)) == 2)
    assert guard.client().get().status == 200


def test_a_full_house(guarding: Any, upstream: Any) -> None:
    """SLOW-05: over the global cap newcomers wait in the kernel's queue, and are served when there is room."""
    guard = guarding(upstream, "max_connections = 2")
    first, second = guard.client(), guard.client()
    assert (first.get().status, second.get().status) == (200, 200)
    third = guard.client(b"GET /open/third HTTP/1.1\r\nhost: localhost\r\n\r\n")
    third.socket.settimeout(0.2)
    with pytest.raises(TimeoutError):
        third.more()
    assert first.get().status == 200
    third.socket.settimeout(3)
    second.close()
    assert third.answer().status == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n" + b"a: %b\r\n" % (b"b" * 8000) * 5 + b"\r\n", 431),
        (b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n" + b"a: b\r\n" * 101 + b"\r\n", 431),
        (b"GET /open/x HTTP/1.1\r\nhost: localhost\r\na: %b\r\n\r\n" % (b"b" * 8193), 431),
        (b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n%b: b\r\n\r\n" % (b"a" * 300), 431),
        (b"GET /open/x HTTP/1.1\r\nhost: localhost\r\na: " + b"b" * 40_000, 431),
        (b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n" + b"a: b\r\n" * 8_000, 431),
        (b"GET /open/%b HTTP/1.1\r\nhost: localhost\r\n\r\n" % (b"x" * 8200), 414),
        (b"GET /open/" + b"x" * 20_000, 414),
        (b"%b /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n" % (b"M" * 17), 501),
    ],
)
def test_large_heads(head: bytes, status: int, guard: Any, upstream: Any) -> None:
    """SLOW-06: 431, 414, 501; also while the head has not ended."""
    client = guard.client(head)
    assert client.answer().status == status
    assert client.is_closed()
    assert upstream.seen == []


def test_large_heads_that_fit(guard: Any, upstream: Any) -> None:
    """SLOW-06: what is just within the limits passes."""
    lines = b"a: %b\r\n" % (b"b" * 8192) * 3 + b"c: d\r\n" * 90
    client = guard.client(b"GET /open/%b HTTP/1.1\r\nhost: localhost\r\n" % (b"x" * 7000) + lines + b"\r\n")
    assert client.answer().status == 200


def test_a_large_declared_body(guarding: Any, upstream: Any) -> None:
    """SLOW-07: 413 before the body is read."""
    client = guarding(upstream, "max_body = 1000").client(START + b"content-length: 1001\r\n\r\n")
    assert client.answer().status == 413
    assert client.is_closed()
    assert upstream.connections == 0


def test_a_large_declared_body_that_is_sent_all_the_same(guarding: Any, upstream: Any) -> None:
    """SLOW-07: the refusal can still be read while the client goes on sending."""
    client = guarding(upstream, "max_body = 1000").client(START + b"content-length: 60000\r\n\r\n" + b"x" * 60_000)
    assert client.answer().status == 413
    assert client.is_closed()


@pytest.mark.parametrize("size", [1000, 1001])
def test_a_large_streamed_body(size: int, guarding: Any, upstream: Any) -> None:
    """SLOW-07: 413 at the cap, and the upstream never sees a whole request."""
    guard = guarding(upstream, "max_body = 1000")
    client = guard.client(START + b"transfer-encoding: chunked\r\n\r\n")
    client.send(b"1f4\r\n%b\r\n" % (b"x" * 500) + b"%x\r\n%b\r\n0\r\n\r\n" % (size - 500, b"x" * (size - 500)))
    assert client.answer().status == (200 if size == 1000 else 413)
    assert len(upstream.seen) == (1 if size == 1000 else 0)


def test_a_body_without_end(guarding: Any, upstream: Any) -> None:
    """SLOW-07: whoever goes on after 413 is cut off."""
    client = guarding(upstream, "max_body = 1000").client(START + b"transfer-encoding: chunked\r\n\r\n")
    with pytest.raises(ConnectionError):
        for _ in range(10_000):
            client.send(b"1000\r\n%b\r\n" % (b"x" * 4096))


def test_many_idle_sockets(serving: Any, upstream: Any, until: Any) -> None:
    """SLOW-09: memory and descriptors of the worker stay flat; here with a thousand, each a request old."""
    served = serving(upstream, "max_connections_per_address = 5000")
    number = 1000
    with ExitStack() as stack:
        first = served.client()
        stack.callback(first.close)
        first.get()
        before = served.resident()
        for _ in range(number):
            client = served.client()
            stack.callback(client.close)
            assert client.get().status == 200
        grown = served.resident() - before
        assert grown / number < 12_000, f"{grown / number:.0f} bytes a connection"  # 10,000 of them in 120 MB
        assert served.resident() < 120_000_000
    folder = Path(f"/proc/{served.process.pid}/fd")
    assert until(lambda: len(list(folder.iterdir())) < 50)


def test_a_socket_that_is_reset_at_once(guard: Any) -> None:
    """SLOW-05: connections that are gone before they are served cost nothing."""
    for _ in range(50):
        client = guard.client(b"GET")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    assert guard.get().status == 200
