"""The access log: one JSON line per request, formatted once, written in batches by a thread of its own."""

from __future__ import annotations

import os
import queue
import sys
import threading
from pathlib import Path
from typing import Any, Final

import orjson

_CAPACITY: Final = 100_000  # lines that may wait for a slow disk; beyond that they are counted and dropped


class AccessLog:
    """Writes lines to a file descriptor.

    Arguments:
        target: "stdout", "stderr" or a file name; files are opened for appending.
        refused_only: leave out what was permitted.
    """

    def __init__(self, target: str, *, refused_only: bool = False) -> None:
        self.refused_only = refused_only
        self.dropped = 0
        self._lines: list[bytes] = []
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._waiting = 0
        self._target = target
        self._descriptor = self._open()
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def _open(self) -> int:
        if self._target == "stdout":
            return sys.stdout.fileno()
        if self._target == "stderr":
            return sys.stderr.fileno()
        return os.open(Path(self._target), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

    def add(self, fields: dict[str, Any]) -> None:
        """Take one line. orjson escapes control characters, so no field can forge a line (LOG-01)."""
        self._lines.append(orjson.dumps(fields))

    def flush(self) -> None:
        """Hand the collected lines to the writing thread."""
        lines = self._lines
        if not lines:
            return
        self._lines = []
        if self._waiting > _CAPACITY:
            self.dropped += len(lines)
            return
        self._waiting += len(lines)
        lines.append(b"")
        self._queue.put(b"\n".join(lines))

    def close(self) -> None:
        """Write what is left and end the thread."""
        self.flush()
        self._queue.put(None)
        self._thread.join(timeout=5)

    def _write(self) -> None:
        while (batch := self._queue.get()) is not None:
            self._follow()
            view = memoryview(batch)
            self._waiting -= batch.count(b"\n")
            while view:
                try:
                    view = view[os.write(self._descriptor, view) :]
                except OSError:  # a full disk or a closed pipe must not end the service
                    self.dropped += 1
                    break

    def _follow(self) -> None:
        """Open the file anew if it was rotated away; nobody needs to send a signal for that."""
        if self._target in ("stdout", "stderr"):
            return
        try:
            same = os.path.samestat(os.stat(self._target), os.fstat(self._descriptor))
        except FileNotFoundError:
            same = False
        except OSError:
            return
        if not same:
            try:
                fresh = self._open()
            except OSError:  # go on in the old one
                return
            os.close(self._descriptor)
            self._descriptor = fresh
