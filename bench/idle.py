"""Hold many idle connections open and read what they cost in memory.

Run as `python -m bench.idle` with a `Hold` as JSON on standard input; prints a `Memory` as JSON. Each
connection has carried one request before it idles. They come from many loopback addresses, since a gateway
may cap what one address opens.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import socket
import sys

from bench import cpu
from bench.http1 import response_end
from bench.load import GOOD

PER_ADDRESS = 40


@dataclasses.dataclass(frozen=True)
class Hold:
    """Whom to connect to, with which request, how often."""

    port: int
    pid: int
    request: str
    connections: int


@dataclasses.dataclass(frozen=True)
class Memory:
    """Resident bytes of the largest process under test before and with the connections."""

    connections: int = 0
    before: int = 0
    after: int = 0
    error: str = ""


def room(connections: int) -> bool:
    """Whether a process may open that many descriptors and some more; raises the soft limit for it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard == resource.RLIM_INFINITY or hard > connections + 200


def measure(hold: Hold) -> Memory:
    if not room(hold.connections):
        return Memory(error="the limit on open files is too low")
    request = hold.request.encode()
    connections: list[socket.socket] = []
    before = 0
    try:
        for number in range(hold.connections):
            source = f"127.0.{1 + number // PER_ADDRESS // 250}.{1 + number // PER_ADDRESS % 250}"
            connection = socket.create_connection(("127.0.0.1", hold.port), timeout=10, source_address=(source, 0))
            connections.append(connection)
            exchange(connection, request)
            before = before or cpu.resident(hold.pid)
        for connection in connections[:: max(1, hold.connections // 100)]:
            exchange(connection, request)  # a sample must still be alive
    except (OSError, ValueError) as error:
        return Memory(connections=len(connections), before=before, error=str(error))
    return Memory(len(connections), before, cpu.resident(hold.pid))


def exchange(connection: socket.socket, request: bytes) -> None:
    """One request and its answer; ValueError for an answer that is none of the good ones."""
    connection.sendall(request)
    answer = b""
    while not response_end(answer):
        if not (data := connection.recv(65536)):
            raise ValueError("connection closed by the server")
        answer += data
    if answer[9:12] not in GOOD:
        raise ValueError(f"unexpected answer: {answer[:200]!r}")


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(measure(Hold(**json.load(sys.stdin))))))
