"""Accepting connections: caps per address and in all, back-pressure by not accepting, certificates swapped live.

We accept ourselves instead of leaving it to the loop's server, because only so a full house leaves newcomers in the
kernel's queue (SLOW-05), and each handshake takes the newest TLS context (TLS-07).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from pathlib import Path
from typing import Final

from sixfold.proxy.downstream import Downstream
from sixfold.proxy.edge import Edge, crowd
from sixfold.request import Peer

_LOG: Final = logging.getLogger("sixfold.proxy")
_BATCH: Final = 64  # accepts per wake-up, so that a flood of newcomers cannot starve those who are served
_PAUSE: Final = 0.1  # seconds to wait when the process is out of file descriptors
_HANDSHAKE: Final = 10.0  # seconds


def bind(address: str) -> socket.socket:
    """Return a listening socket for `host:port`, `[v6]:port` or `unix:/path`.

    Raises:
        OSError: the address is taken or not ours.
        ValueError: not an address.
    """
    name: str | tuple[str, int]
    if address.startswith("unix:"):
        name = address.removeprefix("unix:").removeprefix("//")
        Path(name).unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
    else:
        name = _host_and_port(address)
        listening = socket.socket(socket.AF_INET6 if ":" in name[0] else socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(name)
        listening.listen(1024)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def _host_and_port(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"`{address}` is not an address; write 127.0.0.1:8400, [::1]:8400 or unix:/path")
    return "127.0.0.1" if host == "localhost" else host.strip("[]"), int(port)


class Listener:
    """One listening socket.

    Arguments:
        edge: what its connections share.
        listening: bound socket.
        context: TLS, or None for plain HTTP; may be replaced while serving.
    """

    def __init__(self, edge: Edge, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        self.edge = edge
        self.context = context
        self.socket = listening
        self._accepting = False
        self._stopped = False
        self._handshakes = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[str, int] = {}  # handshakes under way, by `crowd`
        edge.room = self._room

    def start(self) -> None:
        """Accept from now on."""
        self._stopped = False
        self._resume()

    def stop(self) -> None:
        """Accept no more; connections live on, and so do those that the kernel has already taken for us."""
        self._stopped = True
        self._pause()
        while self._accept():
            pass
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # now: the loop may hold the descriptor open for some turns
        self.socket.close()

    @property
    def opening(self) -> bool:
        """Whether a connection was accepted that is not open yet."""
        return self._handshakes > 0

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            asyncio.get_running_loop().remove_reader(self.socket)

    def _resume(self) -> None:
        if not self._accepting and not self._stopped:
            self._accepting = True
            asyncio.get_running_loop().add_reader(self.socket, self._accept)

    def _room(self) -> None:
        if not self._accepting and self._count() < self.edge.table.max_connections:
            self._resume()

    def _count(self) -> int:
        return len(self.edge.connections) + self._handshakes

    def _accept(self) -> bool:
        """Take a batch; returns whether there may be more."""
        for _ in range(_BATCH):
            if self._count() >= self.edge.table.max_connections:
                self._pause()  # the kernel's queue holds the rest back
                return False
            try:
                connection, address = self.socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return False
            except OSError as problem:
                if problem.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    _LOG.warning("no file descriptors or buffers left; not accepting for %s s", _PAUSE)
                    self._pause()
                    asyncio.get_running_loop().call_later(_PAUSE, self._resume)
                    return False
                raise
            self._take(connection, address[0] if isinstance(address, tuple) else "")
        return True

    def _take(self, connection: socket.socket, address: str) -> None:
        connection.setblocking(False)
        address = _plain(address)
        name = crowd(address)
        held = self.edge.crowds.get(name, 0) + self._waiting.get(name, 0)
        if held >= self.edge.table.max_connections_per_address:
            self.edge.watch.turned_away()
            connection.close()
            return
        self._handshakes += 1
        self._waiting[name] = self._waiting.get(name, 0) + 1
        task = asyncio.get_running_loop().create_task(self._open(connection, address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, connection: socket.socket, address: str) -> None:
        context = self.context
        peer = Peer(address, tls=context is not None)
        opened = False
        try:
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Downstream(self.edge, peer),
                connection,
                ssl=context,
                ssl_handshake_timeout=_HANDSHAKE if context is not None else None,
            )
            opened = True
        except (OSError, ssl.SSLError, TimeoutError, ConnectionError):
            self.edge.watch.handshake_failed()
        finally:
            if not opened:
                connection.close()
            self._handshakes -= 1
            name = crowd(address)
            left = self._waiting[name] - 1
            if left:
                self._waiting[name] = left
            else:
                del self._waiting[name]
            self._room()


def _plain(address: str) -> str:
    """Return an address without zone, and an IPv4 address for a mapped one."""
    address = address.partition("%")[0]
    return address.removeprefix("::ffff:") if "." in address else address
