"""The load client: a closed loop over keep-alive connections, bounded in time and in count.

Run as `python -m bench.load` with a `Plan` as JSON on standard input; prints an `Outcome` as JSON.
It is one process on bare sockets and epoll: it shares its core with the upstream, so the less it spends, the
busier the process under test can be kept. It reads the CPU time of that process itself, at the two instants
between which it counts requests.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import select
import socket
import ssl
import sys
from collections.abc import Iterator
from time import perf_counter, process_time

from bench import cpu
from bench.http1 import response_end

GOOD = (b"200", b"201")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to send, to whom, for how long (seconds) and how often at most."""

    port: int
    pid: int
    helper: int  # the process id of the upstream
    requests: list[str]
    connections: int
    warm: float
    seconds: float
    count: int
    authority: str = ""  # the CA file, for TLS


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run has shown; `error` is empty in a run that counts. Latencies in microseconds."""

    requests: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    others: float = 0.0  # what processes outside the benchmark worked meanwhile, in cores
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Reading:
    """What had been used at one instant, in seconds."""

    clock: float
    target: float
    others: float

    @classmethod
    def of(cls, plan: Plan) -> Reading:
        target = cpu.seconds(plan.pid)
        own = target + cpu.seconds(plan.helper) + process_time()
        return cls(perf_counter(), target, cpu.busy() - own)


class Stop(Exception):
    """The run does not count."""


class Client:
    """The connections of one run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.source = messages(plan.requests)
        self.poll = select.epoll()
        self.open: dict[int, socket.socket] = {}
        self.sent: dict[int, float] = {}
        self.parts: dict[int, bytes] = {}

    def connect(self) -> None:
        context = tls(self.plan.authority) if self.plan.authority else None
        for _ in range(self.plan.connections):
            connection = socket.create_connection(("127.0.0.1", self.plan.port), timeout=10)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context:
                connection = context.wrap_socket(connection, server_hostname="localhost")
            connection.setblocking(False)
            self.open[connection.fileno()] = connection
            self.parts[connection.fileno()] = b""
            self.poll.register(connection.fileno(), select.EPOLLIN)

    def start(self) -> None:
        for descriptor, connection in self.open.items():
            self.sent[descriptor] = perf_counter()
            connection.send(next(self.source))

    def run(self, seconds: float, count: int) -> list[float]:
        """Keep every connection busy with one request until time or count is over; latencies in seconds."""
        took: list[float] = []
        note, poll, sent, parts, connections = took.append, self.poll.poll, self.sent, self.parts, self.open
        source = self.source
        until = perf_counter() + seconds
        while perf_counter() < until and len(took) < count:
            for descriptor, _ in poll(0.5):
                connection = connections[descriptor]
                try:
                    data = connection.recv(65536)
                except (ssl.SSLWantReadError, BlockingIOError):
                    continue
                if parts[descriptor]:
                    data = parts[descriptor] + data
                if response_end(data) != len(data) or not data:
                    parts[descriptor] = self.incomplete(data)
                    continue
                if data[9:12] not in GOOD:
                    raise Stop(f"unexpected answer: {data[:300]!r}")
                parts[descriptor] = b""
                now = perf_counter()
                note(now - sent[descriptor])
                sent[descriptor] = now
                connection.send(next(source))
        return took

    def incomplete(self, data: bytes) -> bytes:
        if not data:
            raise Stop("connection closed by the server")
        if 0 < response_end(data) < len(data):
            raise Stop(f"more than one answer to one request: {data[:300]!r}")
        return data


def messages(requests: list[str]) -> Iterator[bytes]:
    """The requests in turn, for ever; `{n}` stands for 16 hex digits that never come twice."""
    encoded = [request.encode() for request in requests]
    if not any(b"{n}" in request for request in encoded):
        return itertools.cycle(encoded)
    templates = itertools.cycle([request.split(b"{n}") for request in encoded])
    return ((b"%016x" % number).join(parts) for number, parts in enumerate(templates, start=1))


def tls(authority: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def measure(plan: Plan) -> Outcome:
    client = Client(plan)
    try:
        client.connect()
        client.start()
        client.run(plan.warm, plan.count)
        before = Reading.of(plan)
        took = sorted(client.run(plan.seconds, plan.count))
        after = Reading.of(plan)
    except (Stop, OSError) as error:
        return Outcome(error=str(error))
    if not took:
        return Outcome(error="no answer in time")
    return Outcome(
        requests=len(took),
        seconds=after.clock - before.clock,
        cpu=after.target - before.target,
        p50=took[len(took) // 2] * 1e6,
        p99=took[len(took) * 99 // 100] * 1e6,
        others=max(0.0, after.others - before.others) / (after.clock - before.clock),
    )


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(measure(Plan(**json.load(sys.stdin))))))
