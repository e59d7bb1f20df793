"""The requests of each scenario, as bytes on the wire would look."""

from __future__ import annotations

import json

from bench.credentials import Credentials
from bench.targets import POST, VARIED

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SUBJECTS = 64


def order() -> bytes:
    """A valid order of 1,000 bytes of JSON."""
    lines = [
        {"sku": f"AB-{1000 + n}", "quantity": n, "price": round(9.95 * n, 2), "gift": n % 2 == 0} for n in range(1, 13)
    ]
    body = {"customer": "c-20931", "currency": "EUR", "reference": "PO-2026-0815", "lines": lines, "note": ""}
    body["note"] = "x" * (1000 - len(json.dumps(body)))
    return json.dumps(body).encode()


def get(token: str | None, path: str = "/orders/12345", trace: str = TRACE) -> str:
    """A GET with the headers that an SDK sends."""
    return f"GET {path} HTTP/1.1\r\n{_headers(token, trace)}\r\n"


def post(token: str | None, body: bytes) -> str:
    """A POST of JSON with the headers that an SDK sends."""
    content = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"POST /orders HTTP/1.1\r\n{_headers(token, TRACE)}{content}\r\n{body.decode()}"


def of(scenario: str, credentials: Credentials) -> list[str]:
    """What the load client sends in turn; `{n}` in a request is filled with a new number each time."""
    if scenario == POST:
        return [post(credentials.token(), order())]
    if scenario == VARIED:
        trace = f"00-{TRACE[3:19]}{{n}}-{{n}}-01"
        tokens = [credentials.token(f"user-{number}") for number in range(SUBJECTS)]
        return [get(token, "/orders/{n}?page={n}", trace) for token in tokens]
    return [get(credentials.token())]


def _headers(token: str | None, trace: str) -> str:
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        "Host: localhost\r\nUser-Agent: bench-sdk/1.0\r\nAccept: application/json\r\n"
        f"Accept-Encoding: gzip, deflate\r\n{authorization}traceparent: {trace}\r\n"
    )
