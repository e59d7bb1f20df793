"""The API behind every gateway: a fixed 200 with a small JSON body for any request.

Run as `python -m bench.upstream PORT`. It shares a core with the load client, so it does as little as it can;
but it reads request framing (Content-Length and chunked): a body left unread would be taken for a request.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from bench.http1 import chunked_end

BODY = (
    b'{"id":"12345","customer":"c-20931","status":"packed","currency":"EUR","total":129.9,'
    b'"lines":[{"sku":"AB-1001","quantity":2,"price":39.95},{"sku":"ZK-77","quantity":1,"price":50.0}],'
    b'"note":"ring twice"}'
)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class Upstream(asyncio.Protocol):
    """One connection: answers each complete request with ANSWER."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.write = transport.write  # type: ignore[attr-defined]
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        start = 0
        while (end := request_end(data, start)) > 0:
            self.write(ANSWER)
            start = end
            if start == len(data):
                break
        self.buffer = data[start:]


def request_end(data: bytes, start: int) -> int:
    """Where the request that begins at `start` ends, or 0 while it is incomplete."""
    head = data.find(b"\r\n\r\n", start)
    if head < 0:
        return 0
    body = head + 4
    if data.startswith(b"GET ", start):
        return body
    fields = data[start:head].lower()
    if (found := fields.find(b"\r\ncontent-length:")) >= 0:
        end = body + int(fields[found + 17 :].split(b"\r\n", 1)[0])
        return end if end <= len(data) else 0
    if b"\r\ntransfer-encoding: chunked" in fields:
        return chunked_end(data, body)
    return body


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
