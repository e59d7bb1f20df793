"""What streams must arrive as it is sent, in both directions, and end when one side goes away."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

POLICY = """
[gateway]
openapi = "events.json"
max_body = "8 MB"
drain_timeout = "1s"
[authentication]
issuer = "dev"
[authorization]
default = "authenticated"
"""
PIECE = b"x" * 65_536
PATIENCE = 10.0  # seconds; only a failure lasts that long


@pytest.fixture(scope="module")
def upstream(app: Callable[[str], Any]) -> Any:
    return app("events")


@pytest.fixture(scope="module")
def guarded(upstream: Any, sixfold: Callable[..., Any], call: Callable[..., Any]) -> Any:
    return sixfold(POLICY, upstream.url, {"events.json": call(f"{upstream.url}/openapi.json").body.decode()})


@pytest.fixture
def reader(guarded: Any, token: Callable[..., str]) -> Iterator[http.client.HTTPResponse]:
    """Return an open answer to GET /events, through Sixfold."""
    with closing(http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=PATIENCE)) as connection:
        connection.request("GET", "/events", headers={"Authorization": f"Bearer {token()}"})
        yield connection.getresponse()


def request_head(guarded: Any, token: str, framing: str) -> bytes:
    return (
        f"PUT /pour HTTP/1.1\r\nHost: 127.0.0.1:{guarded.port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/octet-stream\r\nConnection: close\r\n{framing}\r\n\r\n"
    ).encode()


def event(reader: http.client.HTTPResponse) -> list[bytes]:
    """Return the lines of the next event."""
    lines = []
    while line := reader.readline().strip():
        lines.append(line)
    return lines


def until(ask: Callable[[], int], wanted: int) -> int:
    """Ask again and again until a number is reached; the last answer is returned either way."""
    deadline = time.monotonic() + PATIENCE
    while (number := ask()) < wanted and time.monotonic() < deadline:
        time.sleep(0.01)  # between two questions
    return number


def test_events_arrive_one_by_one(
    reader: http.client.HTTPResponse, guarded: Any, token: Callable[..., str], call: Callable[..., Any]
) -> None:
    """Each event is sent only after the one before was read here: a buffer in between would never move on."""
    assert reader.status == 200
    assert reader.getheader("content-type", "").startswith("text/event-stream")
    assert event(reader) == [b": hello"]
    for number in (1, 2, 3):
        assert call(f"{guarded.url}/next", "POST", token=token()).status == 204
        assert event(reader) == [b"id: %d" % number, b"data: event %d" % number]
    assert call(f"{guarded.url}/end", "POST", token=token()).status == 204
    assert reader.read() == b""


def test_a_reader_that_leaves_is_told_to_the_upstream(
    guarded: Any, upstream: Any, token: Callable[..., str], call: Callable[..., Any]
) -> None:
    before = int(call(f"{upstream.url}/gone").body)
    connection = http.client.HTTPConnection("127.0.0.1", guarded.port, timeout=PATIENCE)
    connection.request("GET", "/events", headers={"Authorization": f"Bearer {token()}"})
    answer = connection.getresponse()
    assert event(answer) == [b": hello"]
    answer.close()
    connection.close()

    def gone() -> int:
        """Let one more event come: only writing shows that nobody reads any longer."""
        call(f"{upstream.url}/next", "POST")
        return int(call(f"{upstream.url}/gone").body)

    assert until(gone, before + 1) == before + 1


@pytest.mark.parametrize("framing", ["sized", "chunked"])
def test_a_body_is_passed_on_while_it_arrives(
    framing: str, guarded: Any, upstream: Any, token: Callable[..., str], call: Callable[..., Any]
) -> None:
    """The second half is sent only after the upstream has the first one."""
    pieces = 16
    sized = framing == "sized"
    head = request_head(
        guarded, token(), f"Content-Length: {pieces * len(PIECE)}" if sized else "Transfer-Encoding: chunked"
    )
    piece = PIECE if sized else b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
    with closing(socket.create_connection(("127.0.0.1", guarded.port), timeout=PATIENCE)) as connection:
        connection.sendall(head)
        for _ in range(pieces // 2):
            connection.sendall(piece)
        half = pieces // 2 * len(PIECE)
        assert until(lambda: int(call(f"{upstream.url}/poured").body), half) == half
        for _ in range(pieces // 2):
            connection.sendall(piece)
        if not sized:
            connection.sendall(b"0\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, answer.read()) == (200, str(2 * half).encode())


def test_a_body_beyond_the_limit_is_refused_before_it_is_sent(guarded: Any, token: Callable[..., str]) -> None:
    """SLOW-07: the declared length alone is reason enough."""
    head = request_head(guarded, token(), "Content-Length: 8000001")
    with closing(socket.create_connection(("127.0.0.1", guarded.port), timeout=PATIENCE)) as connection:
        connection.sendall(head)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert (answer.status, json.loads(answer.read())["code"]) == (413, "body-too-large")
        assert answer.getheader("connection") == "close"
