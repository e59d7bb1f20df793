"""The admin listener: health, readiness, metrics, status, decisions. Loopback only, GET only, nothing to change."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import orjson

from sixfold.watch import Watch

Answer = tuple[int, str, bytes]
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
_LOOPBACK: Final = frozenset(("127.0.0.1", "::1", "localhost"))
_LOCAL: Final = re.compile(r"(?:127\.0\.0\.1|\[::1\]|localhost)(?::[0-9]{1,5})?", re.IGNORECASE)
_MAX_HEAD: Final = 8192
_TIMEOUT: Final = 5.0  # seconds


class Admin:
    """Answers the operator's questions about this process.

    Arguments:
        watch: what was decided.
        status: returns what `/-/status` shows.
        ready: whether new requests are welcome.
    """

    def __init__(self, watch: Watch, status: Callable[[], dict[str, Any]], ready: Callable[[], bool]) -> None:
        self._watch = watch
        self._status = status
        self._ready = ready
        self._server: asyncio.Server | None = None

    async def start(self, address: str) -> str:
        """Listen; returns the address with the port that was taken.

        Raises:
            ValueError: not a loopback address.
            OSError: the address is taken.
        """
        host, _, port = address.rpartition(":")
        if host.strip("[]") not in _LOOPBACK:
            raise ValueError(f"the admin listener is for this machine only, not for `{address}`")
        self._server = await asyncio.start_server(self._serve, host.strip("[]"), int(port), limit=_MAX_HEAD)
        name = self._server.sockets[0].getsockname()
        return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, body = self._judge(head.decode("latin-1"))
                writer.write(
                    f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
                    "cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass
        finally:
            writer.close()

    def _judge(self, head: str) -> Answer:
        lines = head.split("\r\n")
        parts = lines[0].split(" ")
        hosts = [line.partition(":")[2].strip() for line in lines[1:] if line.lower().startswith("host:")]
        # a page in the operator's browser could be made to call us under a name of its own (DNS rebinding)
        if len(parts) != 3 or len(hosts) != 1 or not _LOCAL.fullmatch(hosts[0]):
            return 400, "text/plain", b"ask by the loopback address\n"
        if parts[0] != "GET":
            return 405, "text/plain", b"GET only\n"
        try:
            return self.answer(parts[1])
        except ValueError:
            return 400, "text/plain", b"this is no URL\n"

    def answer(self, target: str) -> Answer:
        """Return status, content type and body for a target."""
        url = urlsplit(target)
        if url.path == "/-/health":
            return 200, "text/plain", b"ok\n"
        if url.path == "/-/ready":
            return (200, "text/plain", b"ready\n") if self._ready() else (503, "text/plain", b"draining\n")
        if url.path == "/metrics":
            return 200, "text/plain; version=0.0.4; charset=utf-8", self._watch.metrics.render()
        if url.path == "/-/status":
            return _json(self._status())
        if url.path == "/-/decisions":
            count = parse_qs(url.query).get("last", [""])[0]
            found = self._watch.decisions.last(int(count) if re.fullmatch("[0-9]{1,3}", count) else 20)
            return _json([record.story() for record in found])
        if url.path.startswith("/-/decisions/"):
            return _json([record.story() for record in self._watch.decisions.find(url.path[13:])])
        return 404, "text/plain", b"/-/health /-/ready /-/status /-/decisions /metrics\n"


def _json(value: Any) -> Answer:
    return 200, "application/json", orjson.dumps(value)
