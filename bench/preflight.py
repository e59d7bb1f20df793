"""Before a target is measured it must show that it does what it is measured for."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator

from bench import traffic
from bench.credentials import READ, WRITE, Credentials
from bench.http1 import response_end
from bench.load import GOOD, tls
from bench.targets import HSTS_HEADER, JWT, POST, SCHEMA, SCOPE, TLS, Target

Probe = tuple[str, str, tuple[bytes, ...]]


class Failed(Exception):
    """The target does not enforce what it claims."""


def check(target: Target, scenario: str, port: int, credentials: Credentials) -> None:
    """Send one request for each claim of the target; raise Failed at the first answer that breaks one."""
    authority = str(credentials.certificate) if scenario == TLS else ""
    for what, request, expected in probes(target, scenario, credentials):
        answer = ask(port, request, authority)
        if answer[9:12] not in expected:
            raise Failed(f"{what}: expected {b' or '.join(expected).decode()}, got {answer[:200]!r}")
    answer = ask(port, traffic.of(scenario, credentials)[0].replace("{n}", "0" * 16), authority)
    if answer[9:12] not in GOOD:
        raise Failed(f"good request: {answer[:300]!r}")
    if HSTS_HEADER in target.layers and b"\r\nstrict-transport-security:" not in answer.lower():
        raise Failed("no Strict-Transport-Security in the answer")


def probes(target: Target, scenario: str, credentials: Credentials) -> Iterator[Probe]:
    def request(token: str | None, body: bytes = traffic.order()) -> str:
        return traffic.post(token, body) if scenario == POST else traffic.get(token)

    if JWT in target.layers:
        unauthorized, refused = (b"401",), (b"401", b"403")  # Envoy answers 403 to a wrong audience
        yield "no token", request(None), unauthorized
        yield "forged signature", request(credentials.forged()), unauthorized
        yield "expired token", request(credentials.token(exp=int(time.time()) - 600)), unauthorized
        yield "foreign issuer", request(credentials.token(iss="https://else.test")), unauthorized
        yield "foreign audience", request(credentials.token(aud="https://else.test")), refused
    if SCOPE in target.layers:
        lacking = READ if scenario == POST else WRITE
        yield "token without the scope", request(credentials.token(scope=lacking)), (b"403",)
    if SCHEMA in target.layers and scenario == POST:
        wrong = b'{"customer": "c-1", "currency": "EUR", "lines": [{"sku": "AB-1", "quantity": 0, "price": 1}]}'
        yield "body against the schema", request(credentials.token(), wrong), (b"400", b"422")


def ask(port: int, request: str, authority: str) -> bytes:
    """One request on a connection of its own; the whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        if authority:
            connection = tls(authority).wrap_socket(connection, server_hostname="localhost")
        connection.sendall(request.encode())
        answer = b""
        try:
            while not response_end(answer):
                if not (data := connection.recv(65536)):
                    break
                answer += data
        except (TimeoutError, ssl.SSLError) as error:
            raise Failed(f"no answer: {error}") from None
        finally:
            connection.close()
    return answer
