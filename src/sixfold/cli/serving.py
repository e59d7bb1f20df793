"""Running a worker in this process: the loop, the log, the signals, the words of start and end."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import re
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sixfold.cli.talk import INTERRUPTED, UNREACHABLE, USAGE, Stop, command_name, say

if TYPE_CHECKING:
    from sixfold.policy import Policy
    from sixfold.proxy.worker import Worker
    from sixfold.watch import AccessLog, Watch

_LOOPBACK: Final = re.compile(r"(127\.0\.0\.1|\[::1\]|localhost):([0-9]{1,5})")
Advise = Callable[["Policy", str, str], str]
_CANNOT: Final = {
    errno.EADDRINUSE: "is taken",
    errno.EACCES: "may not be used by this user",
    errno.EADDRNOTAVAIL: "is no address of this machine",
}


def run_worker(
    load: Callable[[], Policy],
    *,
    folder: Path,
    watch: Watch,
    files: Callable[[Policy], list[Path]],
    ready: Callable[[Worker], None],
    advise: Advise | None = None,
) -> int:
    """Serve until a signal ends it; returns the exit code.

    SIGTERM and the first Ctrl-C finish what runs, a second Ctrl-C ends at once.

    Arguments:
        load: returns the policy, at start and for each reload.
        folder: the user's state folder.
        watch: is told what was decided.
        files: what to watch for changes.
        ready: called once everything listens.
        advise: what to do about an address that cannot be had, from policy, dotted key and address.

    Raises:
        PolicyError: the policy cannot be used.
        Stop: an address cannot be had.
    """
    from sixfold.proxy.worker import Worker

    talk = logging.StreamHandler(sys.stderr)
    talk.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("sixfold")
    logger.addHandler(talk)
    logger.setLevel(logging.INFO)
    held: list[Policy] = []

    def loading() -> Policy:
        held[:] = [load()]
        return held[0]

    async def serve() -> int:
        worker = Worker(loading, folder=folder, watch=watch, files=files)
        try:
            await worker.start()
        except OSError as problem:
            if held and (stop := _address(held[0], problem, advise or _in_the_file)):
                raise stop from problem
            raise
        # What was loaded lives as long as the process: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        return await _until_the_end(worker, ready)

    try:
        return _loop(serve())
    finally:
        logger.removeHandler(talk)


async def _until_the_end(worker: Worker, ready: Callable[[Worker], None]) -> int:
    serving = asyncio.current_task()
    asked = False

    def interrupted() -> None:
        nonlocal asked
        if asked and serving is not None:
            serving.cancel()
        elif worker.edge.connections:
            say("finishing what runs; Ctrl-C again ends at once")
        asked = True
        worker.stop()

    def begin() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted)
        ready(worker)

    try:
        await worker.run(begin)
    except asyncio.CancelledError:
        return INTERRUPTED
    return 0


def _address(policy: Policy, problem: OSError, advise: Advise) -> Stop | None:
    """Return words about the address that cannot be had; None if the trouble is another one."""
    from sixfold.proxy.listener import bind

    if problem.errno not in _CANNOT and not isinstance(problem, socket.gaierror):
        return None
    document = policy.document
    for key, address in (
        ("gateway.listen", document.gateway.listen),
        ("encryption.plain_listen", document.encryption.plain_listen),
        ("gateway.admin", document.gateway.admin),
    ):
        if address is None or address.startswith("unix:"):
            continue
        try:
            bind(address).close()
        except OSError as found:
            why = _CANNOT.get(found.errno or 0, "cannot be used")
            return Stop(f"{address} {why}; {advise(policy, key, address)}", UNREACHABLE)
    return None


def _in_the_file(policy: Policy, key: str, _address: str) -> str:
    return f"stop what serves there, or write another address as {policy.rule(key)}"


def check_listen(address: str, option: str = "--listen") -> tuple[str, str]:
    """Return host and port of an address that takes developer tokens: other machines are kept out (FIRST-05).

    Raises:
        Stop: not an address of this machine.
    """
    found = _LOOPBACK.fullmatch(address)
    if found is None or int(found[2]) > 65535:
        raise Stop(
            f"{option} is an address of this machine, like 127.0.0.1:8400, since developer tokens are accepted. "
            f"For other machines: {command_name()} protect URL --save sixfold.toml, then a certificate and an issuer",
            USAGE,
        )
    return found[1], found[2]


def free_address(host: str, first: int) -> str:
    """Return an address whose port is free now, and the port after it as well."""
    from sixfold.proxy.listener import bind

    for port in range(first, first + 200, 2):
        try:
            for one in (port, port + 1):
                bind(f"{host}:{one}").close()
        except (OSError, ValueError):
            continue
        return f"{host}:{port}"
    return f"{host}:0"


def _loop(serving: Coroutine[Any, Any, int]) -> int:
    if sys.platform == "win32":
        return asyncio.run(serving)
    import uvloop

    return int(uvloop.run(serving))


def make_log(target: str, *, refused_only: bool = False, folder: str = ".") -> AccessLog | None:
    """Return the access log of `[log] access`, or None for "off"."""
    from sixfold.watch import AccessLog

    if target == "off":
        return None
    if target not in ("stdout", "stderr"):
        target = str(Path(folder, target))
    return AccessLog(target, refused_only=refused_only)
