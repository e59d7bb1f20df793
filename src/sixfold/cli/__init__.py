"""The command line: one file per command, imported only when it is asked for (CLI-01)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

COMMANDS = {
    "demo": "Show the six layers on a sample API: each request, answer, layer and reason.",
    "protect": "Put Sixfold before an API, in one line, with nothing to configure.",
    "serve": "Serve the policy of a sixfold.toml.",
    "check": "Say whether a policy is right and complete; for CI.",
    "routes": "List every operation with what guards it, unprotected ones first.",
    "explain": "Tell why a request was refused: a decision id, or an imagined request.",
    "token": "Print a developer token for `protect` and `demo`.",
    "api-keys": "Make, list and revoke API keys.",
    "schema": "Print the JSON Schema of sixfold.toml.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (CLI-08)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):  # answered without loading anything
        from sixfold import __version__

        print(f"sixfold {__version__}")
        return 0
    from sixfold.cli.app import run

    return run(given)
