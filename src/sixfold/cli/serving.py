"""Running a worker in this process: the loop, the log, the words of start and end."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sixfold.cli.talk import UNREACHABLE, Stop

if TYPE_CHECKING:
    from sixfold.policy import Policy
    from sixfold.proxy.worker import Worker
    from sixfold.watch import Watch


def run_worker(
    load: Callable[[], Policy],
    *,
    folder: Path,
    watch: Watch,
    files: Callable[[Policy], list[Path]],
    ready: Callable[[Worker], None],
) -> int:
    """Serve until a signal ends it; returns the exit code.

    Arguments:
        load: returns the policy, at start and for each reload.
        folder: the user's state folder.
        ready: called once everything listens.

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

    async def serve() -> int:
        worker = Worker(load, folder=folder, watch=watch, files=files)
        try:
            await worker.start()
        except OSError as problem:
            raise Stop(
                f"cannot listen: {problem.strerror or problem}; is another server on that port? "
                "Choose `[gateway] listen` and `admin`",
                UNREACHABLE,
            ) from problem
        # What was loaded lives as long as the process: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        await worker.run(lambda: ready(worker))
        return 0

    try:
        return _runner(serve)
    finally:
        logger.removeHandler(talk)


def _runner(serve: Callable[[], object]) -> int:
    if sys.platform == "win32":
        return asyncio.run(serve())  # type: ignore[arg-type]
    import uvloop

    return uvloop.run(serve())  # type: ignore[arg-type]


def make_log(target: str, *, refused_only: bool = False, folder: str = ".") -> object:
    """Return the access log of `[log] access`, or None for "off"."""
    from sixfold.watch import AccessLog

    if target == "off":
        return None
    if target not in ("stdout", "stderr"):
        target = str(Path(folder, target))
    return AccessLog(target, refused_only=refused_only)
