"""Processes that the benchmark starts, pins to a core, waits for, and ends by their own id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

UNDER_TEST, CLIENT = (
    1,
    0,
)  # cores: interrupts mostly go to the first, so the process under test has the second


class NotStarted(Exception):
    """A process ended, or did not listen in time; the text says what it wrote."""


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One started process (and whatever it starts: it leads a process group of its own)."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        core: int,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, ports: Sequence[int], seconds: float = 20.0) -> None:
        """Return when every port accepts; raise NotStarted when the process ends or the time is over."""
        until = time.monotonic() + seconds
        for port in ports:
            while not _accepts(port):
                if self.process.poll() is not None:
                    raise NotStarted(f"ended with {self.process.returncode}: {self.told()}")
                if time.monotonic() > until:
                    raise NotStarted(f"does not listen on port {port} after {seconds:.0f} s: {self.told()}")
                time.sleep(0.05)

    def told(self) -> str:
        """The last lines of what the process wrote."""
        return (
            " / ".join(self.log.read_text(errors="replace").split("\n")[-4:]).strip(" /")[-400:] or "it wrote nothing"
        )

    def stop(self) -> None:
        """End the process and its children: politely, then not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
