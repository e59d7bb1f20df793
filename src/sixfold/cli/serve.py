"""`sixfold serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from sixfold.cli.policies import policy_path, sources
from sixfold.cli.serving import make_log, run_worker
from sixfold.cli.talk import counted, printable, say
from sixfold.state_folder import state_folder

if TYPE_CHECKING:
    from sixfold.proxy.worker import Worker


def serve(*, config: Annotated[Path | None, Parameter(metavar="FILE")] = None) -> int:
    """Serve the policy of a sixfold.toml.

    SIGTERM and Ctrl-C finish what runs, a second Ctrl-C ends at once. SIGHUP or a changed file reloads the policy.

    Parameters
    ----------
    config: Path
        The policy file; default `$SIXFOLD_CONFIG`, or sixfold.toml in this folder.
    """
    from sixfold.policy import read_policy
    from sixfold.watch import Watch

    path = policy_path(config)
    first = read_policy(path, os.environ)
    log = make_log(
        first.document.log.access, refused_only=first.document.log.requests == "refused", folder=first.folder
    )

    def ready(worker: Worker) -> None:
        policy = worker.edge.engine.policy
        scheme = "https" if worker.channel.context is not None else "http"
        say(
            f"Guarding {scheme}://{worker.address} -> {policy.document.gateway.upstream}"
            f"   {counted(len(policy.operations), 'operation')}, policy {policy.version}"
            + (f"   admin http://{worker.admin_address}" if worker.admin_address else "")
        )
        for finding in policy.findings:
            if finding.severity == "warning":
                say(f"warn  {printable(f'{finding.rule}: {finding.text}')}")

    return run_worker(
        lambda: read_policy(path, os.environ),
        folder=state_folder(),
        watch=Watch(log),
        files=sources,
        ready=ready,
    )
