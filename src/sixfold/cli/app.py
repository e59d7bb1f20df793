"""Puts the commands together and turns what goes wrong into words and exit codes."""

from __future__ import annotations

import os
import sys

from cyclopts import App

from sixfold import __version__
from sixfold.cli import COMMANDS
from sixfold.cli.talk import INTERRUPTED, INVALID, UNREACHABLE, USAGE, Stop, say

app = App(name="sixfold", version=__version__, help="One policy, six layers: protect an HTTP API.", help_format="plaintext")
for _name, _help in COMMANDS.items():
    _module = _name.replace("-", "_")
    app.command(f"sixfold.cli.{_module}:{'app' if _name == 'api-keys' else _module}", name=_name, help=_help)


def run(arguments: list[str]) -> int:
    """Run a command line."""
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        result = app(arguments, exit_on_error=False, result_action="return_value")
    except Stop as stop:
        say(str(stop))
        return stop.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USAGE
    except Exception as problem:
        if debug:
            raise
        return _tell(problem)
    return result if isinstance(result, int) else 0


def _tell(problem: Exception) -> int:
    from cyclopts import CycloptsError

    from sixfold.policy.errors import PolicyError

    if isinstance(problem, CycloptsError):
        return USAGE  # Cyclopts has said it already
    if isinstance(problem, PolicyError):
        for line in str(problem).splitlines():
            say(line)
        say("nothing was started: mend the policy, then run `sixfold check`")
        return INVALID
    if isinstance(problem, OSError):
        say(f"{problem.strerror or problem}{f': {problem.filename}' if problem.filename else ''}")
        return UNREACHABLE
    say(f"a bug in sixfold ({type(problem).__name__}: {problem}); run again with --debug for the trace, and please report it")
    return 70
