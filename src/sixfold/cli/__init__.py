"""The command line: one file per command, imported only when it is asked for (CLI-01)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

COMMANDS = {  # the first sentence of each command's own page
    "demo": "Show the six layers on a sample API, request by request.",
    "protect": "Put Sixfold before an API, in one line, with nothing to configure.",
    "serve": "Serve the policy of a sixfold.toml.",
    "check": "Say whether a policy is right and complete; for CI.",
    "routes": "List every operation with what guards it, the open ones first.",
    "explain": "Tell why a request was refused, or whether it would be.",
    "token": "Print a developer token for `protect` and `demo`.",
    "api-keys": "Make, list and revoke API keys.",
    "schema": "Print the JSON Schema of sixfold.toml, for editors.",
}
_START = """\
Usage: sixfold COMMAND

One policy, six layers: protect an HTTP API.

Commands:
{commands}

`sixfold COMMAND --help` tells the rest, `sixfold --version` the version; `--debug` adds the trace to an error.
Begin with `sixfold demo`, or with an API of your own: `sixfold protect http://localhost:8000`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (CLI-08)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):  # answered without loading anything
        from sixfold import __version__
        from sixfold.cli.talk import show

        show(f"sixfold {__version__}")
        return 0
    if given in ([], ["--help"], ["-h"]):
        from sixfold.cli.talk import columns, show

        show(_START.format(commands=columns(list(COMMANDS.items()), indent="  ")))
        return 0
    from sixfold.cli.app import run

    return run(given)
