"""Attacks below the layers: memory, time and order of what shares a worker."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from sixfold.proxy.edge import crowd
from sixfold.proxy.http1 import FieldReader, bare_newline

HOLD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"


class Silent:
    """An upstream that takes requests and answers none until it is told to."""

    def __init__(self) -> None:
        self.requests = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            self.requests += 1


def test_calls_that_have_ended_do_not_wait_for_a_connection(
    guarding: Callable[..., Any], make_upstream: Callable[..., Any], until: Callable[..., Any]
) -> None:
    """SLOW-09: a caller who leaves while the upstream is busy takes its body and its place in the queue along."""
    silent = Silent()
    guard = guarding(make_upstream(handler=silent), gateway="upstream_connections = 1")
    guard.client(b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert until(lambda: silent.requests == 1)
    waiting = lambda: guard.call(lambda: len(guard.worker.edge.pools[None].waiting))  # noqa: E731
    clients = [guard.client(b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n") for _ in range(20)]
    assert until(lambda: waiting() == 20)
    for client in clients:  # by a reset: after a mere FIN the answer would still be awaited
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert until(lambda: waiting() == 0)


def test_an_unfinished_head_costs_no_more_the_longer_it_gets() -> None:
    """SLOW-01: a head of 31 kB that grows byte by byte is looked through anew each time, so looking must be cheap."""
    head = b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"a: " + b"b" * 25_000
    before = time.process_time()
    assert not any(bare_newline(head) for _ in range(200))
    assert time.process_time() - before < 0.08


@pytest.mark.parametrize("wrong", [b"a\nb", b"a\rb", b"\n", b"\r\r\n", b"\n\r\n", b"a\r\n\n", b"a\x00b", b"\r\r"])
def test_a_bare_newline_is_seen(wrong: bytes) -> None:
    """H1-06: CR and LF stand together or not at all; a CR at the very end may still get its LF."""
    assert bare_newline(wrong)
    assert bare_newline(b"x\r\n" + wrong)


@pytest.mark.parametrize("good", [b"", b"a", b"a\r\nb", b"a\r", b"a\r\n\r", b"\r\n"])
def test_a_whole_newline_is_none(good: bytes) -> None:
    """H1-06: see above."""
    assert not bare_newline(good)


def test_a_connection_remembers_few_bytes_of_header_lines() -> None:
    """SLOW-09: lines of 8 kB that change with every request would be a megabyte for each connection."""
    reader = FieldReader()
    for number in range(200):
        reader.read(
            b"\r\n" + b"\r\n".join(b"x-%d-%d: " % (number, line) + b"v" * 8000 for line in range(3)) + b"\r\n\r\n"
        )
    held = sum(sys.getsizeof(line) + sys.getsizeof(pair[1]) for line, pair in reader._known.items())
    assert held < 100_000


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("::1", "::1", True),
        ("", "", True),
    ],
)
def test_connections_of_one_network_are_counted_together(one: str, other: str, together: bool) -> None:
    """SLOW-05: who owns a /64 has 2^64 addresses, each of which could hold as many connections as are allowed to one."""
    assert (crowd(one) == crowd(other)) is together


def test_a_call_under_way_ends_at_the_upstream_it_was_permitted_for(
    guarding: Callable[..., Any], make_upstream: Callable[..., Any], until: Callable[..., Any]
) -> None:
    """RLD-01: a permit of the old policy is no permit for what stands behind the new one."""
    old, new = make_upstream(), make_upstream()
    guard = guarding(old)
    client = guard.client(
        b"POST /open/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
    )
    assert client.head().status == 100
    guard.config.write_text(guard.config.read_text().replace(old.url, new.url))
    blocked = guard.call(lambda: guard.worker.edge.engine.policy.version)
    assert until(lambda: guard.call(lambda: guard.worker.edge.engine.policy.version) != blocked)
    assert client.send(b"hello").answer().status == 200
    assert [len(old.seen), len(new.seen)] == [1, 0]
    assert client.get().status == 200
    assert [len(old.seen), len(new.seen)] == [1, 1]
    assert until(
        lambda: all(one.transport.is_closing() for one in old.writers)
    )  # nothing keeps the connection to what is not ours any longer


def test_a_queued_call_under_way_is_not_sent_to_the_new_upstream(
    guarding: Callable[..., Any], make_upstream: Callable[..., Any], until: Callable[..., Any]
) -> None:
    """RLD-01: nor is one that is judged only after the reload because its body comes late."""
    old, new = make_upstream(), make_upstream()
    policy = """
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
upstream = "{upstream}"
openapi = "o.json"
[authentication]
issuer = "dev"
[[routes]]
match = "POST /x"
public = true
"""
    document = b"""{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/x": {"post": {"requestBody": {"content":
        {"application/json": {"schema": {"type": "object"}}}}, "responses": {"200": {"description": "ok"}}}}}}"""
    guard = guarding(old, policy=policy, files={"o.json": document})
    head = b"POST /x HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n"
    client = guard.client(head)
    assert client.head().status == 100
    version = guard.call(lambda: guard.worker.edge.engine.policy.version)
    guard.config.write_text(guard.config.read_text().replace(old.url, new.url))
    assert until(lambda: guard.call(lambda: guard.worker.edge.engine.policy.version) != version)
    assert client.send(b"{}").answer().status == 200
    assert [len(old.seen), len(new.seen)] == [1, 0]


def test_a_204_that_announces_a_body_ends_its_connection(
    guarding: Callable[..., Any], make_upstream: Callable[..., Any]
) -> None:
    """H1-10: what a broken upstream sends after it must not become the answer to somebody else."""
    upstream = make_upstream(answers=[b"HTTP/1.1 204 No Content\r\ncontent-length: 43\r\n\r\n"])
    guard = guarding(upstream)
    assert guard.get().status == 204
    assert guard.get().body == b"hello"
    assert [one.connection for one in upstream.seen] == [0, 1]


def test_an_upstream_that_ignores_the_body_of_a_delete_cannot_be_made_to_read_it_as_a_request(
    guarding: Callable[..., Any], make_upstream: Callable[..., Any], until: Callable[..., Any]
) -> None:
    """H1-12: many handlers of DELETE never read a body; on a connection that goes on it would be the next request."""
    secret = HOLD.replace(b"hello", b"eve's")

    async def careless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if b"secret" in head:  # slow, so that somebody else's request is there before its answer
                await reader.readuntil(b"\r\n\r\n")
            writer.write(secret if b"secret" in head else HOLD)

    guard = guarding(make_upstream(handler=careless))
    hidden = b"GET /orders/secret HTTP/1.1\r\nhost: localhost\r\n\r\n"
    head = b"DELETE /open/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(hidden)
    assert guard.client(head + hidden).answer().status == 200
    assert guard.get().body == b"hello"


def test_a_reload_forgets_what_the_last_header_section_meant(
    guarding: Callable[..., Any], upstream: Any, until: Callable[..., Any]
) -> None:
    """RLD-01, HDR-04: the same bytes on the same connection are read by the rules of the policy in force."""
    guard = guarding(upstream, gateway="trusted_proxies = 1")
    client = guard.client()
    assert client.get(headers="x-forwarded-for: 6.6.6.6\r\n").status == 200
    version = guard.call(lambda: guard.worker.edge.engine.policy.version)
    guard.config.write_text(guard.config.read_text().replace("trusted_proxies = 1", "trusted_proxies = []"))
    assert until(lambda: guard.call(lambda: guard.worker.edge.engine.policy.version) != version)
    assert client.get(headers="x-forwarded-for: 6.6.6.6\r\n").status == 200
    assert [one.get("x-forwarded-for") for one in upstream.seen] == ["6.6.6.6", "127.0.0.1"]


def test_a_slow_trickle_of_refused_bodies_and_heads_keeps_the_order_of_answers(guard: Any) -> None:
    """H1-16: refused, permitted and HEAD requests in one packet are answered in order, each framed for its method."""
    post = b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nGET /"
    get = b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n"
    head = b"HEAD /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n"
    chunked = b"POST /open/x HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5;x=y\r\nGET /\r\n0\r\nx: y\r\n\r\n"
    client = guard.client(post + get + head + chunked + head + get + get.replace(b"GET", b"HEAD") + post + get)
    methods = ["POST", "GET", "HEAD", "POST", "HEAD", "GET", "HEAD", "POST", "GET"]
    assert [client.answer(method).status for method in methods] == [404, 200, 404, 200, 404, 200, 200, 404, 200]


def test_a_flood_on_one_connection_takes_turns_with_the_others(guard: Any, until: Callable[..., Any]) -> None:
    """SLOW-10: thousands of pipelined calls that we answer ourselves do not keep everybody else waiting meanwhile."""
    flood = b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n" * 1000
    client = guard.client()
    assert until(lambda: guard.call(lambda: len(guard.worker.edge.connections)) == 1)

    def answered() -> int:
        return sum(guard.worker.watch.metrics.answers.values())

    def receive() -> int:
        (connection,) = guard.worker.edge.connections
        connection.data_received(flood)
        return answered()

    assert guard.call(receive) < 100
    assert {client.answer().status for _ in range(1000)} == {404}
    assert guard.call(answered) == 1000
    assert client.get().status == 200


@pytest.mark.parametrize("size", [1, 7, 31, 32, 33, 64, 65, 100])
def test_pipelined_calls_of_a_client_that_sends_no_more_are_all_answered(guard: Any, size: int) -> None:
    """H1-16: however many, and however they are mixed with calls that are forwarded."""
    refused = b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n"
    permitted = b"GET /open/x HTTP/1.1\r\nhost: localhost\r\n\r\n"
    client = guard.client(permitted + refused * size + permitted)
    client.socket.shutdown(socket.SHUT_WR)
    assert [client.answer().status for _ in range(size + 2)] == [200, *[404] * size, 200]
    assert client.is_closed()
